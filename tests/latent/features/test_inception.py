"""The Inception network against torchvision's, and what may be read as its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from latent.errors import LatentError
from latent.features import inception
from latent.features.inception import (
    AVERAGED,
    TENSORFLOW,
    TORCHVISION,
    InceptionFeatures,
    average_pool,
    inception_from,
    load_inception,
    maximum_pool,
    repool,
)


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """Random weights that keep signals at about their size."""
    rng = torch.Generator().manual_seed(3)
    network = InceptionFeatures(TORCHVISION)
    tensors = {}
    for name, value in network.network.state_dict().items():
        if value.ndim == 4:
            tensors[name] = torch.randn(value.shape, generator=rng) * (2 / value[0].numel()) ** 0.5
        elif name.endswith("num_batches_tracked"):
            continue
        else:
            scale = name.endswith(("running_var", "bn.weight"))
            tensors[name] = torch.rand(value.shape, generator=rng) * 0.4 + (0.8 if scale else -0.2)
    return tensors | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


@pytest.mark.slow
def test_features_are_torchvisions(weights: dict[str, Tensor]) -> None:
    network = inception_from(weights)
    from torchvision.models import Inception3

    reference = Inception3(aux_logits=False, transform_input=False, init_weights=False)
    reference.load_state_dict(weights, strict=False)
    reference.fc = torch.nn.Identity()
    images = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert network.name == TORCHVISION
    with torch.no_grad():
        expected = reference.eval()(F.interpolate(images, size=(299, 299), mode="bilinear", align_corners=False))
        got = network(images)
    assert got.shape == (2, 2048)
    assert expected.std() > 1e-2
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.slow
def test_the_poolings_of_the_tensorflow_network() -> None:
    """Averages over the pixels that exist; in the last block the maximum. The other branches stay torchvision's."""
    network = InceptionFeatures(TENSORFLOW).network
    other = InceptionFeatures(TORCHVISION).network
    other.load_state_dict(network.state_dict())
    x = torch.rand(1, 192, 5, 5, generator=torch.Generator().manual_seed(2))
    plain, changed = other.get_submodule("Mixed_5b"), network.get_submodule("Mixed_5b")
    assert torch.equal(changed(x)[:, :-32], plain(x)[:, :-32])
    corner = x[..., :2, :2].mean((2, 3))[..., None, None]
    assert torch.allclose(changed(x)[:, -32:, :1, :1], changed.branch_pool(corner), atol=1e-6)
    repool(plain, maximum_pool)
    corner = x[..., :2, :2].amax((2, 3))[..., None, None]
    assert torch.allclose(plain(x)[:, -32:, :1, :1], plain.branch_pool(corner), atol=1e-6)
    repooled = [name for name, block in network.named_children() if block._forward_hooks]
    assert repooled == [*AVERAGED, "Mixed_7c"]
    assert torch.equal(average_pool(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 3, 3))


def test_the_classifier_tells_the_networks_apart(weights: dict[str, Tensor]) -> None:
    assert inception_from(weights | {"fc.weight": torch.zeros(1008, 2048)}).name == TENSORFLOW
    with pytest.raises(LatentError, match="neither"):
        inception_from(weights | {"fc.weight": torch.zeros(10, 2048)})
    with pytest.raises(LatentError, match=r"Mixed_7c\.branch_pool\.conv\.weight is missing"):
        inception_from({k: v for k, v in weights.items() if k != "Mixed_7c.branch_pool.conv.weight"})


@pytest.mark.slow
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
    torch.save(
        InceptionFeatures(TORCHVISION).network.Conv2d_1a_3x3, tmp_path / "module.pt"
    )  # a whole module, not its numbers
    with pytest.raises(LatentError, match="plain state dict"):
        load_inception(tmp_path / "module.pt")
