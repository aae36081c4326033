"""Adaptive augmentation against the reference's values, by its own laws, and its controller by hand."""

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.errors import LatentError
from latent.stylegan2.augment import geometry
from latent.stylegan2.augment.adaptive_strength import AdaptiveStrength
from latent.stylegan2.augment.colour import draw_colour
from latent.stylegan2.augment.draws import Draws
from latent.stylegan2.augment.pipeline import AugmentPipe, apply_gains, draw_gains
from latent.stylegan2.augment.settings import PRESETS, Transforms, preset
from latent.stylegan2.augment.wavelets import SYM2, SYM6, filter_bank
from latent.stylegan2.banded import BandedMatrix, multiply
from tests.latent.importing.weight_files import GOLDENS

TOLERANCE = 1e-4  # of the reference's range
with np.load(GOLDENS / "ada32.npz") as arrays:
    REFERENCE = dict(arrays)
BLITS = ("xflip", "rotate90", "xint")
PERCENTILES = st.floats(0.01, 0.99)


def pipe_of(strength: float = 1.0, seed: int = 5, **weights: float) -> AugmentPipe:
    pipe = AugmentPipe(Transforms(**weights), torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    pipe.p.fill_(strength)
    return pipe


def draws_of(count: int, p: float = 1.0, percentile: float | None = None) -> Draws:
    return Draws(count, p, torch.Generator().manual_seed(11), percentile)


def noise(n: int, size: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(size), dtype=dtype) * 2 - 1


def smooth(n: int, size: int) -> torch.Tensor:
    """Images without detail that a filter could change."""
    small = torch.nn.functional.interpolate(noise(n, 4), size, mode="bicubic", align_corners=False)
    return torch.nn.functional.avg_pool2d(small, 5, stride=1, padding=2, count_include_pad=False)


@pytest.mark.parametrize("key", [key for key in REFERENCE if "@" in key])
def test_agrees_with_the_reference(key: str) -> None:
    spec, percentile = key.split("@")
    pipe = AugmentPipe(spec if spec in PRESETS else Transforms(**{spec: 1.0}))  # type: ignore[arg-type]
    pipe.p.fill_(1)
    ours, want = pipe(torch.from_numpy(REFERENCE["images"]), float(percentile)).numpy(), REFERENCE[key]
    assert np.abs(ours - want).max() <= TOLERANCE * np.ptp(want)


@pytest.mark.parametrize("name", PRESETS)
def test_strength_zero_changes_nothing(name: str) -> None:
    images = noise(3, 16)
    assert torch.equal(AugmentPipe(name)(images), images)
    changed = AugmentPipe(name)
    changed.p.fill_(1)
    assert not torch.equal(changed(images), images)
    assert changed(noise(2, 64)).shape == (2, 3, 64, 64)


def test_an_image_is_augmented_by_its_own_draws_alone() -> None:
    """Images whose gates stay shut come out bit for bit, whatever happens to the others."""
    images = noise(40, 16)
    for weights in ({"rotate": 1.0}, {"xint": 1.0}):
        augmented = pipe_of(0.3, **weights)(images)
        same = (augmented == images).flatten(1).all(dim=1)
        assert 15 < int(same.sum()) < 40
        assert (augmented - images).abs().flatten(1).amax(dim=1)[~same].min() > 0.1


@pytest.mark.parametrize("name", ["bgcfnc", "geom"])
def test_derivatives(name: str) -> None:
    pipe = AugmentPipe(name)
    pipe.p.fill_(0.9)

    def augment(images: torch.Tensor) -> torch.Tensor:
        pipe.generator.manual_seed(3)
        return pipe(images)

    images = noise(2, 16, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(augment, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(augment, images, fast_mode=True)


def test_gradient_penalty_behind_the_pipe() -> None:
    """The derivative of |d D(pipe(x)) / dx|^2 in D's weights, against differences."""
    pipe = AugmentPipe("bgcf")
    pipe.p.fill_(0.8)
    images = noise(2, 16, torch.float64)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) / 5

    def penalty(kernel: torch.Tensor) -> torch.Tensor:
        pipe.generator.manual_seed(4)
        x = images.clone().requires_grad_()
        score = torch.tanh(torch.nn.functional.conv2d(pipe(x), kernel)).square().sum()
        (gradient,) = torch.autograd.grad(score, x, create_graph=True)
        return gradient.square().sum()

    kernel = weight.clone().requires_grad_()
    (slope,) = torch.autograd.grad(penalty(kernel), kernel)
    way = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    difference = (penalty(weight + 1e-5 * way) - penalty(weight - 1e-5 * way)) / 2e-5
    torch.testing.assert_close((slope * way).sum(), difference.detach(), rtol=1e-6, atol=0)


# ------------------------------------------------------------------------------------------------ statistics of draws


@pytest.mark.parametrize(
    ("name", "share"),  # of the images for which a gate is open that change by it
    [(n, {"xflip": 1 / 2, "rotate90": 3 / 4, "lumaflip": 1 / 2}.get(n, 1.0)) for n in PRESETS["bgc"]],
)
@pytest.mark.parametrize("p", [0.2, 0.7])
def test_share_of_images_transformed(name: str, share: float, p: float) -> None:
    count, t = 4000, Transforms(**{name: 0.5})  # type: ignore[arg-type]
    draws = draws_of(count, p)
    matrices = draw_colour(t, draws) if name in PRESETS["color"] else geometry.draw_affine(t, draws, 4096)
    changed = (matrices != torch.eye(matrices.shape[-1])).flatten(1).any(dim=1).double().mean()
    expected = 0.5 * p * share
    assert abs(float(changed) - expected) < 4 * math.sqrt(expected * (1 - expected) / count)


def test_ranges_of_values() -> None:
    count, one = 20000, draws_of(20000)
    scale = geometry.draw_affine(Transforms(scale=1), one, 64)
    assert torch.log2(scale[:, 0, 0]).std() == pytest.approx(0.2, rel=0.03)
    assert torch.equal(scale[:, 0, 0], scale[:, 1, 1])
    aniso = geometry.draw_affine(Transforms(aniso=1), one, 64)
    torch.testing.assert_close(aniso[:, 0, 0] * aniso[:, 1, 1], torch.ones(count, dtype=torch.float64))
    moved = geometry.draw_affine(Transforms(xint=1), one, 64)[:, :2, 2]
    assert moved.abs().max() == 8
    assert torch.equal(moved, moved.round())
    assert geometry.draw_affine(Transforms(xfrac=1), one, 64)[:, :2, 2].std() == pytest.approx(8, rel=0.03)
    turn = geometry.draw_affine(Transforms(rotate=1), one, 64)
    assert turn[:, 0, 0].mean() == pytest.approx(0, abs=0.02)
    assert turn[:, 0, 0].square().mean() == pytest.approx(0.5, abs=0.02)
    assert draw_colour(Transforms(brightness=1), one)[:, 0, 3].std() == pytest.approx(0.2, rel=0.03)
    assert torch.log2(draw_colour(Transforms(contrast=1), one)[:, 0, 0]).std() == pytest.approx(0.5, rel=0.03)


def test_band_gains_keep_the_expected_power() -> None:
    count = 20000
    one_band = draw_gains(Transforms(imgfilter=1, imgfilter_bands=(0, 0, 1, 0)), draws_of(count))
    power = torch.tensor([10, 1, 1, 1], dtype=torch.float64) / 13
    torch.testing.assert_close((power * one_band.square()).sum(dim=1), torch.ones(count, dtype=torch.float64))
    assert torch.log2(one_band[:, 2] / one_band[:, 0]).std() == pytest.approx(1, rel=0.03)
    shut = (draw_gains(Transforms(imgfilter=1), draws_of(count, 0.2)) == 1).all(dim=1).double().mean()
    assert shut == pytest.approx(0.8**4, abs=0.014)


def test_noise_and_cutout() -> None:
    n, size = 400, 32
    images = torch.full((n, 3, size, size), 0.5)
    spread = (pipe_of(0.5, noise=1.0)(images) - images).flatten(1).std(dim=1)
    assert (spread == 0).double().mean() == pytest.approx(0.5, abs=0.1)
    assert spread[spread > 0].square().mean().sqrt() == pytest.approx(0.1, rel=0.15)  # of a half normal
    hole = pipe_of(0.5, cutout=1.0)(images) == 0
    assert torch.equal(hole[:, 0], hole[:, 2])
    holed = hole[:, 0].flatten(1).any(dim=1)
    assert holed.double().mean() == pytest.approx(0.5, abs=0.1)
    for mask in hole[holed, 0]:
        rows, columns = mask.any(dim=1), mask.any(dim=0)
        assert torch.equal(mask, rows[:, None] & columns)  # one rectangle, cut off at the image's edge
        assert size // 4 <= int(rows.sum()) <= size // 2
        assert size // 4 <= int(columns.sum()) <= size // 2


def test_draws_go_on_from_a_saved_state() -> None:
    images = noise(4, 16)
    first, second = AugmentPipe("bgcfnc", torch.Generator().manual_seed(8)), AugmentPipe("bgcfnc")
    first.p.fill_(0.6)
    first(images)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    want = [first(images), first(images)]
    second.load_state_dict(torch.load(file, weights_only=True))
    assert all(torch.equal(second(images), augmented) for augmented in want)
    assert not torch.equal(*want)


# ---------------------------------------------------------------------------------------------------------------- laws


@settings(max_examples=25)
@given(percentile=PERCENTILES, size=st.sampled_from([16, 32, 64]))
def test_integer_translation_moves_pixels_and_reflects(percentile: float, size: int) -> None:
    images = noise(1, size, torch.float64)
    offset = int((torch.tensor((2 * percentile - 1) * 0.125, dtype=torch.float64) * size).round())
    place = (torch.arange(size) - offset).abs()
    place = torch.where(place > size - 1, 2 * (size - 1) - place, place)
    want = images[..., place, :][..., place]
    torch.testing.assert_close(pipe_of(xint=1.0).double()(images, percentile), want, rtol=0, atol=1e-9)


@settings(max_examples=15)
@given(percentile=PERCENTILES)
def test_flips_and_quarter_turns_move_pixels(percentile: float) -> None:
    """Nearly: sym6 is not quite symmetric, which the reference has too; a quarter pixel would show as 0.1."""
    images = smooth(2, 32)
    flipped = images.flip(-1) if percentile >= 0.5 else images
    quarters = int(percentile * 4)
    for weights, want in (({"xflip": 1.0}, flipped), ({"rotate90": 1.0}, torch.rot90(images, quarters, (-2, -1)))):
        pipe = pipe_of(**weights)
        once = pipe(images, percentile)
        torch.testing.assert_close(once, want, rtol=0, atol=0.06)
        if "xflip" in weights:
            torch.testing.assert_close(pipe(once, percentile), images, rtol=0, atol=0.06)


@settings(max_examples=20)
@given(percentile=st.floats(0.001, 0.999), size=st.sampled_from([16, 64]), level=st.floats(-1, 1))
def test_geometry_leaves_a_plain_image(percentile: float, size: int, level: float) -> None:
    """However far it zooms out: there is image everywhere, by reflection."""
    images = torch.full((1, 3, size, size), level)
    t = Transforms(**PRESETS["bg"], scale_std=1, xfrac_std=0.5)  # type: ignore[arg-type]
    pipe = AugmentPipe(t)
    pipe.p.fill_(1)
    torch.testing.assert_close(pipe(images, percentile), images, rtol=0, atol=1e-5)


@settings(max_examples=20)
@given(percentile=PERCENTILES)
def test_hue_and_saturation_keep_luma(percentile: float) -> None:
    images = noise(2, 16)
    for name in ("hue", "saturation"):
        augmented = pipe_of(**{name: 1.0})(images, percentile)
        torch.testing.assert_close(augmented.mean(dim=1), images.mean(dim=1), rtol=0, atol=1e-5)
        grey = images[:, :1].expand(-1, 3, -1, -1)
        torch.testing.assert_close(pipe_of(**{name: 1.0})(grey, percentile), grey, rtol=0, atol=1e-5)
    turned = pipe_of(hue=1.0)(images, percentile)
    torch.testing.assert_close(turned.square().sum(dim=1), images.square().sum(dim=1), rtol=1e-4, atol=1e-5)


def test_colour_by_hand() -> None:
    images = noise(2, 16)
    shifted = pipe_of(brightness=1.0)(images, 0.9)
    torch.testing.assert_close(shifted, images + 0.2 * math.sqrt(0.5) * 1.2815515655446004)
    flipped = pipe_of(lumaflip=1.0)(images, 0.9)
    torch.testing.assert_close(flipped, images - 2 * images.mean(dim=1, keepdim=True))


@settings(max_examples=20)
@given(angle=st.floats(-3.2, 3.2), zoom=st.floats(0.6, 1.6), x=st.floats(-9, 9), y=st.floats(-9, 9))
def test_margins_hold_all_that_is_seen(angle: float, zoom: float, x: float, y: float) -> None:
    cos, sin = math.cos(angle) * zoom, math.sin(angle) * zoom
    inverse = torch.tensor([[[cos, -sin, x], [sin, cos, y], [0, 0, 1]]], dtype=torch.float64)
    images = noise(1, 32, torch.float64)
    close = geometry.apply_affine(images, inverse)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(geometry, "margins_of", lambda inverse, size: (3 * size, 3 * size))
        wide = geometry.apply_affine(images, inverse)
    if max(geometry.margins_of(inverse, 32)) < 32 + geometry.HALF:
        torch.testing.assert_close(close, wide, rtol=0, atol=1e-10)


def test_a_band_limited_wave_is_sampled_where_it_should_be() -> None:
    """Rotate and scale a slow wave: away from the edges the formula of the turned wave comes out."""
    size = 64
    inverse = torch.tensor([[[0.8, -0.5, 1.3], [0.5, 0.8, -2.2], [0, 0, 1]]], dtype=torch.float64)
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64) - (size - 1) / 2] * 2, indexing="ij")

    def wave(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.sin(0.3 * x + 0.2 * y + 0.5)

    images = wave(x, y).expand(1, 3, size, size)
    there = wave(0.8 * x - 0.5 * y + 1.3, 0.5 * x + 0.8 * y - 2.2)
    got = geometry.apply_affine(images, inverse)[0, 0]
    inner = slice(18, 46)
    torch.testing.assert_close(got[inner, inner], there[inner, inner], rtol=0, atol=0.02)


@settings(max_examples=20)
@given(size=st.integers(8, 70), margin=st.integers(0, 80), axis=st.sampled_from([-1, -2]))
def test_products_and_their_adjoints(size: int, margin: int, axis: int) -> None:
    """Blocks equal the dense matrix, and the derivative is the product with the transpose."""
    matrix = geometry.doubling(size, margin + 4, torch.float64, torch.device("cpu"))
    dense = torch.zeros(matrix.shape, dtype=torch.float64)
    dense.index_put_((matrix.row, matrix.column), matrix.value, accumulate=True)
    shape = (2, 3, 5, size) if axis == -1 else (2, 3, size, 5)
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    want = x @ dense.t() if axis == -1 else dense @ x
    got = multiply(x, matrix, axis)
    torch.testing.assert_close(got, want)
    weights = torch.randn(got.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for one, other in zip(torch.autograd.grad(got, x, weights), torch.autograd.grad(want, x, weights), strict=True):
        torch.testing.assert_close(one, other)


def test_entries_at_one_place_add_up() -> None:
    row, column = torch.tensor([0, 1, 1]), torch.tensor([0, 1, 1])
    value = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    matrix = BandedMatrix(row, column, value, (2, 2), torch.float32, torch.device("cpu"))
    assert torch.equal(multiply(torch.ones(1, 2, 1), matrix, -2)[0, :, 0], torch.tensor([1.0, 5.0]))


@pytest.mark.parametrize("taps", [SYM2, SYM6])
def test_wavelets(taps: tuple[float, ...]) -> None:
    """Orthonormal to their even shifts, with half as many vanishing moments as taps."""
    h = np.array(taps)
    assert h.sum() == pytest.approx(math.sqrt(2), abs=1e-10)
    for shift in range(0, len(h), 2):
        assert (h[shift:] * h[: len(h) - shift]).sum() == pytest.approx(float(shift == 0), abs=1e-10)
    alternating = h * (-1.0) ** np.arange(len(h))
    for moment in range(len(h) // 2):
        assert (alternating * np.arange(len(h)) ** float(moment)).sum() == pytest.approx(0, abs=1e-6)


def test_bands() -> None:
    bank = filter_bank()
    assert bank.shape == (4, 43)
    assert torch.equal(bank, bank.flip(1)) or (bank - bank.flip(1)).abs().max() < 1e-15
    impulse = torch.zeros(43, dtype=torch.float64)
    impulse[21] = 1
    torch.testing.assert_close(bank.sum(dim=0), impulse)
    spectrum = torch.fft.rfft(bank, 512).abs()  # bin 256 is half a cycle a pixel
    for frequency, band in ((0, 0), (48, 1), (96, 2), (230, 3)):
        assert int(spectrum[:, frequency].argmax()) == band
    images = noise(1, 16)  # smaller than the filter: reflected again and again
    torch.testing.assert_close(apply_gains(images, torch.full((1, 4), 1.5)), 2.25 * images, rtol=1e-5, atol=1e-5)


def test_what_is_refused() -> None:
    with pytest.raises(LatentError, match="blit, geom"):
        preset("bgx")
    pipe = AugmentPipe()
    for shape in ((2, 1, 16, 16), (2, 3, 16, 32), (2, 3, 24, 24), (2, 3, 8, 8)):
        with pytest.raises(ValueError, match="power of two"):
            pipe(torch.zeros(shape))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees() -> None:
    images = noise(4, 32)
    here, there = AugmentPipe("bgcfnc"), AugmentPipe("bgcfnc").cuda()
    here.p.fill_(0.8)
    there.p.fill_(0.8)
    torch.testing.assert_close(there(images.cuda()).cpu(), here(images), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------------------------------------------- controller


def test_strength_by_hand() -> None:
    control = AdaptiveStrength()
    sure, unsure = torch.full((8, 1), 3.0), torch.tensor([[3.0]] * 6 + [[-1.0]] * 2)
    assert [control.update(sure) for _ in range(4)] == [False, False, False, True]
    assert (control.r, control.p) == (1, 32 / 500_000)
    for logits in (sure, sure, unsure, unsure):  # r = (8 + 8 + 4 + 4) / 32 = 0.75
        control.update(logits)
    assert (control.r, control.p) == (0.75, 64 / 500_000)
    for _ in range(4):
        control.update(unsure)  # r = 0.5
    assert (control.r, control.p) == (0.5, 32 / 500_000)
    for _ in range(12):
        control.update(-sure)
    assert (control.r, control.p) == (-1, 0)


def test_strength_stands_still_at_the_target_and_ends_at_one() -> None:
    still = AdaptiveStrength(target=0.5, p=0.3)
    for _ in range(8):
        still.update(torch.tensor([1.0, 1.0, 1.0, -1.0]))
    assert still.p == 0.3
    fast = AdaptiveStrength(kimg=0.1, every=1)
    history = []
    for _ in range(7):
        fast.update(torch.ones(20))
        history.append(fast.p)
    assert history == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1, 1])


@settings(max_examples=30)
@given(
    signs=st.lists(st.lists(st.sampled_from([-1.0, 1.0]), min_size=1, max_size=6), min_size=2, max_size=20),
    stop=st.integers(1, 19),
)
def test_strength_goes_on_from_a_saved_state(signs: list[list[float]], stop: int) -> None:
    whole, before, after = (AdaptiveStrength(kimg=0.05) for _ in range(3))
    for batch in signs:
        whole.update(torch.tensor(batch))
    for batch in signs[:stop]:
        before.update(torch.tensor(batch))
    after.load_state_dict(before.state_dict())
    for batch in signs[stop:]:
        after.update(torch.tensor(batch))
    assert after.p == whole.p
    assert 0 <= after.p <= 1
