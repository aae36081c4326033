"""Inversion on a tiny random generator: it finds codes, one photo and a batch agree, and it stops when it must."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from latent.checkpoints import Checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import Cancelled, InversionError
from latent.features.image_metrics import psnr
from latent.features.perceptual import load_perceptual
from latent.features.st_lpips import st_lpips
from latent.inversion import search
from latent.inversion.invert import Progress, invert
from latent.inversion.loss import FAR, NEAR, OPPONENT, colours, strangeness
from latent.inversion.search import step_length
from latent.inversion.settings import PRESETS, InversionSettings
from latent.inversion.whitening import Whitening
from tests.latent.tiny import own_faces, tiny_checkpoint

PIXELS = InversionSettings(
    "test", steps=60, learning_rate=0.1, perceptual=0.0, identity=0.0, plausibility=0.002, patience=30, tolerance=0.0
)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint(32)


@pytest.fixture(scope="module")
def faces(checkpoint: Checkpoint) -> np.ndarray:
    return own_faces(checkpoint, 3)


@pytest.mark.slow
def test_recovers_the_generators_own_faces(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    results = invert(checkpoint, faces, PIXELS)
    for face, result in zip(faces, results, strict=True):
        assert result.metrics["psnr"] == pytest.approx(psnr(face, result.reconstruction))
        assert result.metrics["psnr"] > max(24.0, psnr(face, result.start) + 5)
        assert [result.metrics["st_lpips"]] == pytest.approx(
            st_lpips(face[None], result.reconstruction[None]), abs=1e-5
        )
        assert result.losses["total"][-1] < 0.5 * result.losses["total"][0]
        assert len(result.losses["total"]) == PIXELS.steps + 1
        assert result.ws.shape == (checkpoint.num_ws, checkpoint.w_dim)
        assert result.ws.dtype == np.float32
        assert (result.settings, result.checkpoint_sha256) == (PIXELS, checkpoint.sha256)
        again = checkpoint.generator.synthesis(torch.from_numpy(result.ws)[None], noise_mode="const")
        levels = (again[0].detach().permute(1, 2, 0) * 127.5 + 127.5).clamp(0, 255).numpy()
        assert np.abs(levels - result.reconstruction).max() < 1.01  # the picture is that of the code alone


@pytest.mark.slow
def test_perceptual_term_lowers_what_it_measures(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    settings = replace(PIXELS, steps=15, perceptual=1.0, identity=0.1)
    result = invert(checkpoint, faces[:1], settings)[0]
    start = invert(checkpoint, faces[:1], replace(settings, steps=0))[0]
    assert result.metrics["perceptual_name"] == load_perceptual().name
    assert result.metrics["perceptual"] < start.metrics["perceptual"]
    assert result.losses["identity"][-1] < result.losses["identity"][0]
    assert set(result.losses) == {"pixel", "perceptual", "identity", "plausibility", "total"}


@pytest.mark.slow
def test_a_code_is_the_same_alone_among_others_and_on_any_number_of_threads(
    checkpoint: Checkpoint, faces: np.ndarray
) -> None:
    """Bit for bit, also when the photos of the batch stop at different steps."""
    settings = replace(PIXELS, steps=40, patience=5, tolerance=0.2, perceptual=1.0, identity=0.1, floor=1.0)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        together = invert(checkpoint, faces, settings)
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        for face, result in zip(faces, together, strict=True):
            alone = invert(checkpoint, face[None], settings)[0]
            np.testing.assert_array_equal(result.ws, alone.ws)
            assert result.losses == alone.losses
    finally:
        torch.set_num_threads(threads)
    assert len({len(result.losses["total"]) for result in together}) > 1


@pytest.mark.slow
def test_coarse_steps_lead_close_to_where_whole_ones_do(
    checkpoint: Checkpoint, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "COARSE", 16)
    sizes: list[int] = []
    whole = invert(checkpoint, faces, replace(PIXELS, steps=24))
    settings = replace(PIXELS, steps=24, coarse_steps=18)
    coarse = invert(checkpoint, faces, settings, on_step=lambda progress: sizes.append(len(progress.image)))
    assert sizes == [16] * 18 + [32] * 7
    for face, a, b in zip(faces, whole, coarse, strict=True):
        assert b.reconstruction.shape == (32, 32, 3)
        assert len(b.losses["total"]) == 25
        gained = a.metrics["psnr"] - psnr(face, a.start)
        assert b.metrics["psnr"] > psnr(face, b.start) + 0.5 * gained


def test_coarse_steps_begin_with_what_the_whole_picture_shows(
    checkpoint: Checkpoint, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sum up to a size, and what lies beyond it at the start: together the whole picture, reduced."""
    seen: list[Progress] = []
    settings = replace(PIXELS, steps=2, coarse_steps=2)
    monkeypatch.setattr(search, "COARSE", 16)
    start = invert(checkpoint, faces[:1], settings, on_step=seen.append)[0].start
    reduced = start.reshape(16, 2, 16, 2, 3).mean((1, 3))
    inside = (start > 0).all(-1) & (start < 255).all(-1)  # 8 bits end there, the pictures do not
    inside = inside.reshape(16, 2, 16, 2).all((1, 3))
    assert inside.mean() > 0.3
    assert np.abs(seen[0].image - reduced)[inside].max() <= 1


def test_coarse_steps_change_nothing_for_a_small_generator(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    whole, coarse = (invert(checkpoint, faces[:1], replace(PIXELS, steps=4, coarse_steps=n))[0] for n in (0, 3))
    np.testing.assert_array_equal(whole.ws, coarse.ws)


def test_deterministic_for_a_seed(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    settings = replace(PIXELS, steps=5)
    first, second = (invert(checkpoint, faces[:1], settings)[0] for _ in range(2))
    np.testing.assert_array_equal(first.ws, second.ws)
    other = invert(checkpoint, faces[:1], replace(settings, seed=1))[0]
    assert np.abs(first.ws - other.ws).max() > 0


def stripes() -> np.ndarray:
    """A photo (1, 32, 32, 3) that no face model draws: one colour over another."""
    photo = np.zeros((1, 32, 32, 3), np.uint8)
    photo[:, ::2], photo[:, 1::2] = (255, 0, 60), (0, 200, 255)
    return photo


@pytest.mark.slow
def test_colours_count_for_more_where_the_generator_cannot_draw_the_photo(
    checkpoint: Checkpoint, faces: np.ndarray
) -> None:
    settings = replace(PIXELS, steps=20)
    for photo, strange in ((faces[:1], False), (stripes(), True)):
        plain, coloured = (invert(checkpoint, photo, replace(settings, colour=c))[0] for c in (0.0, 1.0))
        assert "colour" not in plain.losses
        assert ("colour" in coloured.losses) == strange
        if strange:
            after = search.LOOK + 1
            assert len(coloured.losses["colour"]) == len(coloured.losses["total"]) - after
            assert plain.losses["pixel"][:after] == coloured.losses["pixel"][:after]
            assert coloured.losses["colour"][-1] < coloured.losses["colour"][0]
        else:
            np.testing.assert_array_equal(plain.ws, coloured.ws)


@pytest.mark.slow
def test_opponent_channels_are_of_length_one_and_see_no_grey() -> None:
    axes = torch.tensor(OPPONENT)
    torch.testing.assert_close(axes @ axes.T, torch.eye(2))
    grey = torch.linspace(-1, 1, 16).expand(1, 3, 4, 16)
    assert colours([grey])[0].abs().max() < 1e-6


def test_strangeness_rises_from_what_is_drawn_to_what_is_not() -> None:
    np.testing.assert_allclose(
        strangeness(torch.tensor([0.0, NEAR, (NEAR + FAR) / 2, FAR, 1.0])), [0, 0, 0.5, 1, 1], atol=1e-6
    )


@pytest.mark.slow
def test_stronger_pull_gives_a_more_plausible_code(checkpoint: Checkpoint) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    weak, strong = (invert(checkpoint, noise, replace(PIXELS, plausibility=p))[0].metrics for p in (0.0, 1.0))
    assert strong["plausibility"] < 0.5 * weak["plausibility"]


def test_starts_from_the_encoder(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    encoder = WPlusEncoder(32, checkpoint.num_ws, checkpoint.w_dim, width=8).eval()
    code = torch.randn(checkpoint.w_dim, generator=torch.Generator().manual_seed(2))
    encoder.set_w_avg(code)  # a new encoder answers its centre
    result = invert(replace(checkpoint, encoder=encoder), faces[:1], replace(PIXELS, steps=0))[0]
    np.testing.assert_allclose(result.ws, code.expand(checkpoint.num_ws, -1).numpy(), atol=1e-4)
    np.testing.assert_array_equal(result.start, result.reconstruction)


def test_other_sizes_are_resized_first(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    large = faces[:1].repeat(4, axis=1).repeat(4, axis=2)
    result = invert(checkpoint, large, replace(PIXELS, steps=2))[0]
    assert result.reconstruction.shape == (32, 32, 3)


def test_progress_and_cancel(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        invert(checkpoint, faces[:1], PIXELS, on_step=seen.append, cancelled=lambda: len(seen) == 4)
    assert [progress.step for progress in seen] == [0, 1, 2, 3]
    assert seen[0].image.shape == (32, 32, 3)
    assert seen[0].image.dtype == np.uint8
    assert np.any(seen[0].image != seen[3].image)
    assert seen[3].steps == PIXELS.steps
    assert seen[3].seconds_left > 0
    assert seen[3].losses["total"] < seen[0].losses["total"]


@pytest.mark.slow
def test_a_step_that_leads_astray_is_taken_back(
    checkpoint: Checkpoint, faces: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps far too long: the photo continues from its best code, and never ends worse than it began."""
    restarted: list[int] = []
    reset = search.LBFGS.reset
    monkeypatch.setattr(search.LBFGS, "reset", lambda self, rows: (restarted.extend(rows), reset(self, rows)))
    monkeypatch.setattr(search, "LENGTHENING", 1000.0)
    results = invert(checkpoint, faces, replace(PIXELS, steps=20, learning_rate=9.0))
    assert restarted
    for result in results:
        assert np.isfinite(result.ws).all()
        assert min(result.losses["total"]) <= result.losses["total"][0]


def test_stops_on_a_plateau(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    result = invert(checkpoint, faces[:1], replace(PIXELS, steps=400, patience=5, tolerance=0.1))[0]
    assert len(result.losses["total"]) < 100


def broken(checkpoint: Checkpoint, when: range) -> Checkpoint:
    """A checkpoint whose pictures are not numbers in the synthesis calls of `when`."""
    encoder = WPlusEncoder(32, checkpoint.num_ws, checkpoint.w_dim, width=8).eval()
    generator = copy.deepcopy(checkpoint.generator)
    calls = 0

    def spoil(module: torch.nn.Module, inputs: object, picture: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return picture * float("nan") if calls in when else picture

    generator.synthesis.register_forward_hook(spoil)
    return replace(checkpoint, generator=generator, encoder=encoder)


@pytest.mark.slow
def test_goes_on_after_a_loss_that_is_no_number(checkpoint: Checkpoint, faces: np.ndarray) -> None:
    result = invert(broken(checkpoint, range(6, 8)), faces[:2], PIXELS)[1]
    assert np.isfinite(result.ws).all()
    assert np.isfinite(result.losses["total"]).all()
    assert result.losses["total"][-1] < result.losses["total"][0]


@pytest.mark.parametrize("when", [range(1, 2), range(5, 1000)])
def test_gives_up_on_a_model_without_numbers(checkpoint: Checkpoint, faces: np.ndarray, when: range) -> None:
    with pytest.raises(InversionError, match="is not finite"):
        invert(broken(checkpoint, when), faces[:1], PIXELS)


@pytest.mark.parametrize(
    "images",
    [np.zeros((32, 32, 3), np.uint8), np.zeros((1, 32, 16, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32)],
)
def test_refuses_what_is_no_face_square(checkpoint: Checkpoint, images: np.ndarray) -> None:
    with pytest.raises(InversionError, match="square aligned faces"):
        invert(checkpoint, images)
    with pytest.raises(InversionError, match="no photo"):
        invert(checkpoint, np.zeros((0, 32, 32, 3), np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        {"steps": -1},
        {"pixel": -1.0},
        {"pixel": 0.0, "perceptual": 0.0},
        {"patience": 0},
        {"floor": -1.0},
        {"colour": -1.0},
    ],
)
def test_refuses_settings(change: dict) -> None:
    with pytest.raises(InversionError):
        replace(PIXELS, **change)


def test_presets_and_settings_survive_json() -> None:
    assert [PRESETS[name].name for name in ("fast", "balanced", "faithful")] == ["fast", "balanced", "faithful"]
    assert PRESETS["fast"].steps < PRESETS["balanced"].steps < PRESETS["faithful"].steps
    assert InversionSettings(**PRESETS["balanced"].as_dict()) == PRESETS["balanced"]
    assert set(PRESETS["balanced"].as_dict()) - set(PIXELS.as_dict()) == {"floor", "coarse_steps", "colour"}


def test_step_length_rises_holds_and_falls() -> None:
    assert 0 < step_length(0.0) < 0.1
    assert step_length(0.3) == pytest.approx(1)
    assert step_length(0.9) < 0.2
    assert step_length(1.0) == pytest.approx(0, abs=1e-12)


def test_whitening_is_invertible_and_white(checkpoint: Checkpoint) -> None:
    whitening = Whitening(checkpoint.statistics, "cpu")
    z = torch.randn(4000, checkpoint.generator.z_dim, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ws = checkpoint.generator.mapping(z)[:, :2]
    x, rest = whitening.split(ws)
    torch.testing.assert_close(whitening.join(x, rest), ws, atol=1e-4, rtol=1e-4)
    leading = x[:, 0, :5]
    assert leading.mean(0).abs().max() < 0.15
    assert (leading.var(0) - 1).abs().max() < 0.25
