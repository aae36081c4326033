"""Perceptual distances: a distance's laws, LPIPS against the `lpips` package, what stands in without its backbone, and
PSNR / SSIM against scikit-image."""

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from latent.errors import LatentError
from latent.features import perceptual
from latent.features.image_metrics import identity_distances, psnr, ssim
from latent.features.perceptual import (
    ALEXNET,
    FACE_NAME,
    LPIPS_NAME,
    LearnedDistance,
    PerceptualDistance,
    face_feature_distance,
    load_face_distance,
    load_perceptual,
    lpips_heads_file,
)
from latent.images import to_tensor, to_uint8


def random_backbone(seed: int = 0) -> dict[str, torch.Tensor]:
    """AlexNet's tensors, random: the real ones are not on every machine."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for index, (out, channels, kernel), *_ in ALEXNET:
        fan_in = channels * kernel**2
        weight = torch.randn(out, channels, kernel, kernel, generator=generator)
        tensors[f"features.{index}.weight"] = weight * math.sqrt(2 / fan_in)
        tensors[f"features.{index}.bias"] = torch.randn(out, generator=generator) * 0.1
    return tensors


def heads() -> dict[str, torch.Tensor]:
    file = lpips_heads_file()
    assert file is not None
    return torch.load(file, map_location="cpu", weights_only=True)


@pytest.fixture(scope="module", params=["lpips", "face"])
def distance(request: pytest.FixtureRequest) -> PerceptualDistance:
    return LearnedDistance(random_backbone(), heads()) if request.param == "lpips" else load_face_distance()


def faces(seed: int, n: int = 2, side: int = 32) -> torch.Tensor:
    """Smooth random pictures: noise of 8 px enlarged, so that there is something to see at every stage."""
    noise = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.nn.functional.interpolate(noise, size=side, mode="bicubic").clamp(-1, 1)


@pytest.mark.slow
@settings(max_examples=6)
@given(seed=st.integers(0, 2**31))
def test_zero_at_identity_and_symmetric(distance: PerceptualDistance, seed: int) -> None:
    x, y = faces(seed), faces(seed + 1)
    assert distance(x, x).abs().max() < 1e-6
    forward, backward = distance(x, y), distance(y, x)
    assert forward.shape == (2,)
    assert forward.min() > 1e-4
    torch.testing.assert_close(forward, backward, atol=1e-6, rtol=1e-5)


def test_grows_with_damage(distance: PerceptualDistance) -> None:
    x = faces(3)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    values = torch.stack([distance(x, x + strength * noise) for strength in (0.02, 0.1, 0.4)])
    assert (values[1:] > values[:-1]).all()


def test_gradient_is_finite_and_points_uphill(distance: PerceptualDistance) -> None:
    y = faces(5)
    x = (y + 0.2 * faces(6)).requires_grad_(True)
    before = distance(x, y).sum()
    gradient = torch.autograd.grad(before, x)[0]
    assert gradient.isfinite().all()
    step = 1e-2 * gradient / gradient.norm()
    assert distance(x.detach() - step, y).sum() < before.detach()
    flat = torch.zeros(1, 3, 32, 32, requires_grad=True)  # a picture without structure must not give a NaN
    assert torch.autograd.grad(distance(flat, y[:1]).sum(), flat)[0].isfinite().all()


def test_features_once_equal_the_pair(distance: PerceptualDistance) -> None:
    x, y = faces(7), faces(8)
    torch.testing.assert_close(distance.between(distance.features(x), distance.features(y)), distance(x, y))


@pytest.mark.slow
def test_agrees_with_the_lpips_package() -> None:
    """Same backbone weights, same heads: the package's own forward pass is the reference."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = _reference_lpips()
    x, y = faces(9, side=64), faces(10, side=64)
    with torch.no_grad():
        expected = reference(x, y).flatten()
        ours = LearnedDistance(random_backbone(), heads())(x, y)
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=1e-4)


_SCHEMAS: list[torch.library.Library] = []


def _reference_lpips() -> torch.nn.Module:
    try:
        import torchvision  # noqa: F401
    except RuntimeError:  # a CPU build of torch beside a torchvision built for CUDA: its operators must be declared
        _SCHEMAS.append(torch.library.Library("torchvision", "FRAGMENT"))
        for name in ("nms", "qnms"):
            _SCHEMAS[-1].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import lpips

    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    tensors = random_backbone()
    for stage, (index, *_) in enumerate(ALEXNET, 1):
        layer = getattr(reference.net, f"slice{stage}").get_submodule(str(index))
        layer.load_state_dict({part: tensors[f"features.{index}.{part}"] for part in ("weight", "bias")})
    return reference.eval()


def test_backbone_decides_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "BACKBONE_FOLDER", tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    assert load_perceptual().name == FACE_NAME
    assert load_perceptual().name == FACE_NAME
    torch.save(random_backbone(), tmp_path / "alexnet-owt-00000000.pth")
    found = load_perceptual()
    assert found.name == LPIPS_NAME
    assert load_perceptual() is found


def test_wrong_backbones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LatentError, match="no layer 1"):
        LearnedDistance({}, heads())
    wrong = random_backbone()
    wrong["features.3.weight"] = torch.zeros(3, 3)
    with pytest.raises(LatentError, match="Layer 2"):
        LearnedDistance(wrong, heads())
    monkeypatch.setattr(perceptual, "BACKBONE_FOLDER", tmp_path)
    (tmp_path / "alexnet-damaged.pth").write_bytes(b"not a weight file")
    with pytest.raises(LatentError, match=r"alexnet-damaged\.pth cannot be read"):
        load_perceptual()


def test_face_distance_sees_a_face_change_more_than_grain() -> None:
    """Closing the eyes' region must count for more than noise of the same squared error all over the picture."""
    astronaut = data.astronaut()[:256, 90:346]  # head and shoulders, face in the middle
    x = to_tensor(astronaut[None])
    changed = x.clone()
    changed[:, :, 80:110, 90:170] = x[:, :, 120:150, 90:170]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    noisy = x + noise * ((changed - x).square().mean().sqrt() / noise.square().mean().sqrt())
    assert face_feature_distance(x, changed) > 0.01
    assert identity_distances(x, changed)[0] > identity_distances(x, x)[0]
    assert identity_distances(x, x)[0] < 1e-6
    assert face_feature_distance(x, noisy) > 0


def pair(seed: int = 0, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    a = data.astronaut()[100 : 100 + side, 200 : 200 + side]
    return a, np.clip(a + rng.normal(0, 20, a.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", [11, 32, 49])
def test_psnr_and_ssim_against_skimage(side: int) -> None:
    a, b = pair(side, side)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)
    expected = structural_similarity(
        a, b, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(a, b) == pytest.approx(expected, abs=1e-7)


def test_metrics_of_equal_images() -> None:
    a, _ = pair()
    assert psnr(a, a) == math.inf
    assert ssim(a, a) == pytest.approx(1)
    with pytest.raises(ValueError, match="at least 11 px"):
        ssim(a[:8, :8], a[:8, :8])


def test_image_border_is_lossless() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    np.testing.assert_array_equal(to_uint8(to_tensor(levels)), levels)
    assert to_uint8(torch.full((1, 3, 1, 1), 1.7)).max() == 255
