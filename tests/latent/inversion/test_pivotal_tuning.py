"""Pivotal tuning on a tiny random generator: the pivot draws the photo, the rest stays, the checkpoint is untouched."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from latent.checkpoints import Checkpoint
from latent.editing.render import synthesize
from latent.errors import Cancelled, LatentError, PivotalError
from latent.features.perceptual import PerceptualDistance, load_perceptual
from latent.features.st_lpips import st_lpips
from latent.inversion import pivotal_tuning as pivotal
from latent.inversion.invert import Inversion, Progress, measure
from latent.inversion.pivotal_tuning import (
    Pivotal,
    PivotalSettings,
    TunedGenerator,
    codes_nearby,
    tune,
    tuned_names,
    tuned_network,
)
from latent.inversion.settings import PRESETS
from tests.latent.tiny import own_codes, own_faces, tiny_checkpoint

SETTINGS = PivotalSettings(steps=30, learning_rate=3e-3, locality=1.0, coarsest=4, close=0.0, tolerance=0.0)


class Blurred(PerceptualDistance):
    """A distance that costs nothing: of the pictures, averaged in squares of 4 px."""

    name = "blurred"

    def features(self, images: Tensor) -> list[Tensor]:
        return [F.avg_pool2d(images, 4)]

    def between(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        return (a[0] - b[0]).square().mean((1, 2, 3))


@pytest.fixture(autouse=True)
def cheap_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pivotal, "load_perceptual", lambda device: Blurred())


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint(32)


@pytest.fixture(scope="module")
def photo(checkpoint: Checkpoint) -> np.ndarray:
    return own_faces(checkpoint, 2)[1]


@pytest.fixture(scope="module")
def inversion(checkpoint: Checkpoint) -> Inversion:
    """A code that does not draw the photo at all: that of another face."""
    ws = own_codes(checkpoint, 1)[0]
    picture = synthesize(checkpoint, ws[None])[0]
    return Inversion(ws, picture, picture, {}, 0.0, PRESETS["fast"], checkpoint.sha256)


@pytest.fixture(scope="module")
def result(checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray) -> Pivotal:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pivotal, "load_perceptual", lambda device: Blurred())
        return tune(checkpoint, inversion, photo, SETTINGS)


def same_picture(a: np.ndarray, b: np.ndarray) -> bool:
    """Alike but for a step of one of 255 where another way to the same picture rounds differently."""
    return bool(np.abs(a.astype(int) - b).max() <= 1)


def mean_square(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a.astype(float) - b) ** 2))


def test_the_pivot_draws_the_photo(result: Pivotal, inversion: Inversion, photo: np.ndarray) -> None:
    assert same_picture(result.code_picture, inversion.reconstruction)
    assert mean_square(result.picture, photo) < 0.25 * mean_square(result.code_picture, photo)
    assert result.losses["fit"][-1] < 0.25 * result.losses["fit"][0]
    assert (result.steps, result.stopped) == (30, "steps")
    assert len(result.losses["fit"]) == 31


def test_metrics_are_those_of_an_inversion(result: Pivotal, photo: np.ndarray) -> None:
    before, after = measure(np.stack([photo] * 2), np.stack([result.code_picture, result.picture]), "cpu")
    assert result.before == before
    assert result.after == after
    assert result.after["psnr"] > result.before["psnr"] + 6


@pytest.mark.slow
def test_far_codes_hardly_change(
    checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray, result: Pivotal
) -> None:
    """As far as the regulariser looks, on codes that it did not draw; and less than without it."""
    near = codes_nearby(checkpoint, torch.from_numpy(inversion.ws)[None], replace(SETTINGS, seed=1)).numpy()
    before = synthesize(checkpoint, near)
    change = mean_square(result.tuned.draw(checkpoint, near), before)
    assert change < 0.1 * mean_square(result.picture, result.code_picture)
    free = tune(checkpoint, inversion, photo, replace(SETTINGS, locality=0.0))
    assert "locality" not in free.losses
    assert change < 0.5 * mean_square(free.tuned.draw(checkpoint, near), before)


def test_interpolated_codes_lie_at_the_distance_asked_for(checkpoint: Checkpoint, inversion: Inversion) -> None:
    pivot = torch.from_numpy(inversion.ws)[None]
    near = codes_nearby(checkpoint, pivot, replace(SETTINGS, distance=0.5))
    lengths = (near - pivot).square().sum(2).mean(1).sqrt()
    spread = float(np.sqrt(checkpoint.statistics.variances.sum()))
    torch.testing.assert_close(lengths, torch.full((31,), 0.5 * spread))
    assert len({round(float(code.sum()), 4) for code in near}) == 31, "a new code every step"


@pytest.mark.slow
def test_deterministic(checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray) -> None:
    settings = replace(SETTINGS, steps=4)
    first, second = (tune(checkpoint, inversion, photo, settings) for _ in range(2))
    assert first.tuned.sha256 == second.tuned.sha256
    assert first.losses == second.losses
    assert tune(checkpoint, inversion, photo, replace(settings, seed=1)).tuned.sha256 != first.tuned.sha256


def test_the_checkpoint_is_untouched_and_shared(
    checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray
) -> None:
    before = {name: (t.clone(), t.data_ptr()) for name, t in checkpoint.generator.state_dict().items()}
    result = tune(checkpoint, inversion, photo, replace(SETTINGS, steps=3, coarsest=32))
    for name, tensor in checkpoint.generator.state_dict().items():
        assert torch.equal(tensor, before[name][0])
        assert tensor.data_ptr() == before[name][1]
    assert not any(p.requires_grad or p.grad is not None for p in checkpoint.generator.parameters())
    assert set(result.tuned.changed) == set(tuned_names(checkpoint.generator, 32))
    assert {name.partition(".")[0] for name in result.tuned.changed} == {"b32"}
    network = tuned_network(checkpoint.generator, result.tuned.changed)
    for name, tensor in network.state_dict().items():
        own = checkpoint.generator.synthesis.state_dict()[name]
        assert (tensor.data_ptr() == own.data_ptr()) == (name not in result.tuned.changed)


def test_which_blocks_move(checkpoint: Checkpoint) -> None:
    every = [name for name, _ in checkpoint.generator.synthesis.named_parameters()]
    assert tuned_names(checkpoint.generator, 4) == every
    assert {name.partition(".")[0] for name in tuned_names(checkpoint.generator, 16)} == {"b16", "b32"}
    assert tuned_names(checkpoint.generator, 1024) == tuned_names(checkpoint.generator, 32)


def test_no_step_changes_nothing(checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray) -> None:
    result = tune(checkpoint, inversion, photo, replace(SETTINGS, steps=0))
    assert np.array_equal(result.picture, result.code_picture)
    assert result.before == result.after
    assert result.steps == 0


def test_a_tuned_generator_is_no_checkpoint(checkpoint: Checkpoint, result: Pivotal) -> None:
    tuned = result.tuned
    assert isinstance(tuned, TunedGenerator)
    assert not isinstance(tuned, Checkpoint)
    assert tuned.sha256 != checkpoint.sha256 == tuned.checkpoint_sha256
    assert not any(hasattr(tuned, part) for part in ("generator", "encoder", "statistics"))
    assert tuned.megabytes == pytest.approx(sum(p.numel() for p in checkpoint.generator.synthesis.parameters()) * 4e-6)
    with pytest.raises(PivotalError, match="another checkpoint"):
        tuned.draw(replace(checkpoint, sha256="1" * 64), own_codes(checkpoint, 1))
    with pytest.raises(LatentError, match="shape"):
        tuned.draw(checkpoint, own_codes(checkpoint, 1)[:, :-1])
    with pytest.raises(FrozenInstanceError):
        tuned.sha256 = checkpoint.sha256  # type: ignore[misc]


def test_progress_and_cancel(checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray) -> None:
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        tune(checkpoint, inversion, photo, SETTINGS, seen.append, lambda: len(seen) == 4)
    assert [progress.step for progress in seen] == [0, 1, 2, 3]
    assert same_picture(seen[0].image, inversion.reconstruction)
    assert not same_picture(seen[3].image, seen[0].image)
    assert seen[3].seconds_left > 0
    assert set(seen[3].losses) == {"perceptual", "pixel", "fit", "locality"}


@pytest.mark.slow
def test_the_first_closer_picture_is_given_by_the_distance_nobody_minimised(
    checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray
) -> None:
    seen: list[np.ndarray] = []
    result = tune(checkpoint, inversion, photo, SETTINGS, on_closer=seen.append)
    (early,) = seen
    assert st_lpips(photo[None], early[None])[0] < result.before["st_lpips"]
    assert result.closer
    assert not replace(result, after=result.before).closer


@pytest.mark.slow
def test_stops_when_close_or_when_nothing_comes_any_more(
    checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray
) -> None:
    full = tune(checkpoint, inversion, photo, replace(SETTINGS, locality=0.0)).losses["perceptual"]
    enough = replace(SETTINGS, locality=0.0, close=0.5 * full[0])
    stopped = tune(checkpoint, inversion, photo, enough)
    assert stopped.stopped == "close"
    assert stopped.losses["perceptual"][-1] <= 0.5 * full[0] < min(stopped.losses["perceptual"][:-1])
    still = tune(checkpoint, inversion, photo, replace(SETTINGS, learning_rate=1e-9, patience=3, tolerance=0.01))
    assert (still.stopped, still.steps) == ("plateau", 3)


def test_the_locality_term_can_come_every_few_steps(
    checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray
) -> None:
    result = tune(checkpoint, inversion, photo, replace(SETTINGS, steps=5, locality_every=3))
    assert (len(result.losses["locality"]), len(result.losses["fit"])) == (2, 6)


@pytest.mark.slow
def test_the_distance_at_hand_is_what_is_minimised(
    checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pivotal, "load_perceptual", load_perceptual)
    result = tune(checkpoint, inversion, photo, replace(SETTINGS, steps=6, pixel=0.0))
    assert result.after["perceptual_name"] == load_perceptual().name
    assert result.after["perceptual"] < result.before["perceptual"]
    assert result.losses["perceptual"] == result.losses["fit"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": -1}, "steps"),
        ({"learning_rate": 0.0}, "learning rate"),
        ({"pixel": float("nan")}, "finite"),
        ({"locality": -1.0}, "not negative"),
        ({"locality_every": 0}, "locality_every"),
        ({"warm_up": 0}, "warm_up"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, float], words: str) -> None:
    with pytest.raises(PivotalError, match=words):
        replace(SETTINGS, **change)  # type: ignore[arg-type]
    assert PivotalSettings(**SETTINGS.as_dict()) == SETTINGS


def test_refusals_are_sentences(checkpoint: Checkpoint, inversion: Inversion, photo: np.ndarray) -> None:
    with pytest.raises(PivotalError, match="another checkpoint than tiny"):
        tune(checkpoint, replace(inversion, checkpoint_sha256="1" * 64), photo, SETTINGS)
    with pytest.raises(PivotalError, match="square aligned faces"):
        tune(checkpoint, inversion, photo[:-1], SETTINGS)
    with pytest.raises(PivotalError, match="no longer finite"):
        tune(checkpoint, replace(inversion, ws=np.full_like(inversion.ws, np.nan)), photo, SETTINGS)
