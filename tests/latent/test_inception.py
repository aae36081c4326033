"""The Inception network against torchvision's, and what may be read as its weights."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from latent.errors import LatentError
from latent.features import inception
from latent.features.inception import TENSORFLOW, TORCHVISION, InceptionFeatures, Mixed, inception_from, load_inception


@pytest.fixture(scope="module")
def inception_module() -> ModuleType:
    """torchvision's module; beside a CPU build of torch two operators must be declared before it imports."""
    try:
        from torchvision.models import inception as module
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision.models import inception as module
    return module


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights that keep signals at about their size."""
    rng = torch.Generator().manual_seed(3)
    network = InceptionFeatures(TORCHVISION)
    tensors = {}
    for name, value in network.state_dict().items():
        if value.ndim == 4:
            tensors[name] = torch.randn(value.shape, generator=rng) * (2 / value[0].numel()) ** 0.5
        elif name.endswith("num_batches_tracked"):
            continue
        else:
            scale = name.endswith(("running_var", "bn.weight"))
            tensors[name] = torch.rand(value.shape, generator=rng) * 0.4 + (0.8 if scale else -0.2)
    return tensors | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


@pytest.mark.slow
def test_features_are_torchvisions(inception_module: ModuleType, weights: dict[str, Tensor]) -> None:
    reference = inception_module.Inception3(aux_logits=False, transform_input=False, init_weights=False)
    reference.load_state_dict(weights, strict=False)
    reference.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    network = inception_from(weights)
    assert network.name == TORCHVISION
    with torch.no_grad():
        expected = reference.eval()(F.interpolate(images, size=(299, 299), mode="bilinear", align_corners=False))
        got = network(images)
    assert got.shape == (2, 2048)
    assert expected.std() > 1e-2
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_the_poolings_of_the_tensorflow_network() -> None:
    """Averages over the pixels that exist; in the last block the maximum."""
    x = torch.rand(1, 4, 5, 5, generator=torch.Generator().manual_seed(2))
    for pool, corner in (("average", x[..., :2, :2].mean((2, 3))), ("maximum", x[..., :2, :2].amax((2, 3)))):
        block = Mixed(4, [[("branch1x1", 1, (1, 1))]], 2, pool).eval()
        out = block(x)[:, 1:]  # the pooled branch comes last
        expected = F.relu(block.branch_pool.bn(block.branch_pool.conv(corner[..., None, None])))
        assert torch.allclose(out[..., :1, :1], expected, atol=1e-6)
    network = InceptionFeatures(TENSORFLOW)
    assert network.get_submodule("Mixed_7c").pool == "maximum"
    assert {network.get_submodule(f"Mixed_{b}").pool for b in ("5b", "5d", "6b", "6e", "7b")} == {"average"}


def test_the_classifier_tells_the_networks_apart(weights: dict[str, Tensor]) -> None:
    assert inception_from(weights | {"fc.weight": torch.zeros(1008, 2048)}).name == TENSORFLOW
    with pytest.raises(LatentError, match="neither"):
        inception_from(weights | {"fc.weight": torch.zeros(10, 2048)})
    with pytest.raises(LatentError, match=r"Mixed_7c\.branch_pool\.conv\.weight is missing"):
        inception_from({k: v for k, v in weights.items() if k != "Mixed_7c.branch_pool.conv.weight"})


def test_files_are_found_and_read(weights: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "FOLDER", tmp_path / "placed")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert inception.weights_file() is None
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(weights, cache / "inception_v3_google-0cc3c7bd.pth")
    found = inception.weights_file()
    assert found is not None
    assert load_inception(found).name == TORCHVISION
    (tmp_path / "placed").mkdir()
    save_file(weights | {"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "placed" / "fid.safetensors")
    found = inception.weights_file()
    assert found is not None
    assert load_inception(found).name == TENSORFLOW


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(LatentError, match="cannot be read as Inception"):
        load_inception(tmp_path / name)


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    torch.save(InceptionFeatures(TORCHVISION).Conv2d_1a_3x3, tmp_path / "module.pt")  # a whole module, not its numbers
    with pytest.raises(LatentError, match="plain state dict"):
        load_inception(tmp_path / "module.pt")
