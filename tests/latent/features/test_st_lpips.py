"""ST-LPIPS against the package's own forward pass; a distance's laws; weights that are missing or damaged."""

from pathlib import Path

import numpy as np
import pytest
import torch

from latent.errors import LatentError
from latent.features import st_lpips as module
from latent.features.st_lpips import CONVOLUTIONS, MAX_SIDE, NAME, ShiftTolerantDistance, load_st_lpips, st_lpips
from latent.images import to_tensor
from tests.latent.features.st_lpips_pairs import pair

# stlpips-pytorch 0.0.2, `LPIPS(net="alex", variant="shift_tolerant")`, in double precision
REFERENCE = {
    "same": 0.0,
    "shift": 0.003595699304352501,
    "jpeg": 0.08682312968992645,
    "noise": 0.16382676164049342,
    "blur": 0.4542250336189222,
    "mirror": 0.35235351504380147,
    "cat": 0.7620858061416113,
    "noise@64": 0.025061016616201765,
    "blur@97": 0.14011677914210757,
    "mirror@128": 0.2554777835323929,
    "noise@512": 0.4379409528063881,
    "mirror@1024": 0.3366845763895524,
}
SMALL = ("noise@64", "blur@97", "mirror@128")


@pytest.fixture(scope="module")
def distance() -> ShiftTolerantDistance:
    return load_st_lpips()


def tensors(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    one, other = pair(name)
    return to_tensor(one[None]), to_tensor(other[None])


@pytest.mark.parametrize(
    "name", [name if name in SMALL else pytest.param(name, marks=pytest.mark.slow) for name in REFERENCE]
)
def test_agrees_with_the_package(distance: ShiftTolerantDistance, name: str) -> None:
    with torch.no_grad():
        assert float(distance(*tensors(name))) == pytest.approx(REFERENCE[name], abs=1e-5)


def test_zero_for_equal_pictures_and_symmetric(distance: ShiftTolerantDistance) -> None:
    x, y = tensors("blur@97")
    assert float(distance(x, x)) == 0
    torch.testing.assert_close(distance(x, y), distance(y, x))
    torch.testing.assert_close(distance.between(distance.features(x), distance.features(y)), distance(x, y))


@pytest.mark.parametrize("side", [16, 64])
def test_gradient_is_finite_and_points_uphill(distance: ShiftTolerantDistance, side: int) -> None:
    y = tensors("noise@64")[0]
    y = torch.nn.functional.interpolate(y, size=side)
    x = (y + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))).requires_grad_(True)
    before = distance(x, y).sum()
    gradient = torch.autograd.grad(before, x)[0]
    assert gradient.isfinite().all()
    assert distance(x.detach() - 1e-2 * gradient / gradient.norm(), y).sum() < before.detach()
    flat = torch.zeros_like(y, requires_grad=True)  # a picture without structure must not give a NaN
    assert torch.autograd.grad(distance(flat, y).sum(), flat)[0].isfinite().all()


def test_pictures_are_compared_one_by_one_in_any_number(distance: ShiftTolerantDistance) -> None:
    one, other = pair("noise@64")
    a, b = np.stack([one] * 5), np.stack([one, other, one, one, other])
    assert st_lpips(a, b) == pytest.approx([0, REFERENCE["noise@64"], 0, 0, REFERENCE["noise@64"]], abs=1e-5)
    assert st_lpips(a[:0], b[:0]) == []


@pytest.mark.slow
def test_large_pictures_are_averaged_down() -> None:
    one, other = (np.repeat(np.repeat(picture, 2, 0), 2, 1)[None] for picture in pair("jpeg"))
    assert one.shape[1] == 2 * MAX_SIDE
    assert st_lpips(one, other) == pytest.approx([REFERENCE["jpeg"]], abs=1e-5)


def random_weights() -> dict[str, torch.Tensor]:
    weights = {}
    for stage, (index, (out, channels, kernel), _) in enumerate(CONVOLUTIONS):
        weights[f"net.slice{stage + 1}.{index}.weight"] = torch.zeros(out, channels, kernel, kernel)
        weights[f"net.slice{stage + 1}.{index}.bias"] = torch.zeros(out)
        weights[f"lin{stage}.model.1.weight"] = torch.zeros(1, out, 1, 1)
    return weights


def test_other_weights_are_refused() -> None:
    assert ShiftTolerantDistance(random_weights()).name == NAME
    with pytest.raises(LatentError, match="Layer 1 is missing"):
        ShiftTolerantDistance({})
    with pytest.raises(LatentError, match=r"Layer 4 .* another shape"):
        ShiftTolerantDistance(random_weights() | {"net.slice4.11.weight": torch.zeros(3, 3)})


def test_a_missing_package_and_a_damaged_file_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = load_st_lpips.__wrapped__
    monkeypatch.setattr(module, "weights_file", lambda: None)
    with pytest.raises(LatentError, match=r"pip install stlpips-pytorch==0\.0\.2"):
        load()
    damaged = tmp_path / "alex_shift_tolerant.pth"
    monkeypatch.setattr(module, "weights_file", lambda: damaged)
    damaged.write_bytes(b"not a weight file")
    with pytest.raises(LatentError, match=r"cannot be read \(alex_shift_tolerant\.pth\)"):
        load()
    torch.save({"net": 3}, damaged)
    with pytest.raises(LatentError, match="cannot be read"):
        load()
