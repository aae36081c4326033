"""The end-to-end image network: it finds a planted signal, honestly, the same one each time, and can be stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from survival.comparison.crossval import Candidate, cross_validate, draw_folds
from survival.cox_regression.likelihood import log_likelihood
from survival.errors import FitCancelled, SurvivalError
from survival.metrics.concordance import harrell_c
from survival.models import make_model
from survival.models.deep import ImageCox, cox_loss
from survival.models.deep.image import augmented
from survival.outcome import check_outcome

QUICK: dict[str, Any] = {
    "widths": (8, 16),
    "members": 2,
    "epochs": 14,
    "batch": 32,
    "learning_rate": 3e-3,
    "device": "cpu",
}
SIZE = 16


def discs(n: int = 150, seed: int = 0, effect: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(photos, time, event, redness): a disc anywhere on a backdrop of any grey; its redness carries the hazard."""
    rng = np.random.default_rng(seed)
    redness = rng.uniform(-1, 1, n)
    y, x = np.mgrid[:SIZE, :SIZE]
    photos = np.empty((n, SIZE, SIZE, 3), np.uint8)
    for i in range(n):
        photos[i] = rng.integers(40, 200)
        centre = rng.uniform(6, 10, 2)
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 25
        photos[i][disc] = (128 + 90 * redness[i], 110, 128 - 90 * redness[i])
    lp = effect * redness
    death, censoring = 20 * rng.exponential(size=n) / np.exp(lp), rng.exponential(60, n)
    return photos, np.minimum(death, censoring), death <= censoring, redness


@pytest.fixture(scope="module")
def fitted() -> tuple[ImageCox, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    photos, time, event, redness = discs()
    model = make_model("cnn", **QUICK).fit({"image": photos}, time, event)
    assert isinstance(model, ImageCox)
    return model, photos, time, event, redness


def test_it_finds_a_planted_signal_in_photos_it_has_not_seen(fitted: Any) -> None:
    model, _, time, event, _ = fitted
    photos, later, died, redness = discs(120, seed=1)
    risk = model.predict({"image": photos})
    assert np.corrcoef(risk, redness)[0, 1] > 0.9
    assert harrell_c(later, died, risk) > 0.7
    assert harrell_c(time, event, model.out_of_fold_) > 0.7
    at, survival = model.predict_survival_function(photos, [1, 10, 30])
    assert at.tolist() == [1, 10, 30]
    assert (np.diff(survival, axis=1) <= 0).all()
    assert np.corrcoef(survival[:, 1], risk)[0, 1] < -0.8


def test_mirror_images_have_the_same_risk(fitted: Any) -> None:
    model, photos, *_ = fitted
    np.testing.assert_allclose(model.predict(photos[:, :, ::-1]), model.predict(photos), atol=1e-6)


def test_a_risk_does_not_depend_on_the_photos_beside_it(fitted: Any) -> None:
    model, photos, *_ = fitted
    alone = np.concatenate([model.predict(photos[i : i + 1]) for i in (3, 50)])
    np.testing.assert_allclose(alone, model.predict(photos)[[3, 50]], atol=1e-5)
    assert abs(np.median(model.predict(photos))) < 0.6, "0 lies at about the training median"


def test_a_fit_repeats_and_another_seed_gives_another() -> None:
    photos, time, event, _ = discs(60)
    quick = {**QUICK, "epochs": 3}
    one, two, three = (
        make_model("cnn", **quick, seed=seed).fit(photos, time, event).predict(photos) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, three, atol=1e-3)


def test_shuffled_outcomes_tell_nothing() -> None:
    """Nor is a risk claimed where none was found."""
    photos, time, event, _ = discs(140, seed=4)
    order = np.random.default_rng(1).permutation(140)
    model = make_model("cnn", **QUICK).fit(photos, time[order], event[order])
    assert abs(harrell_c(time[order], event[order], model.out_of_fold_) - 0.5) < 0.12
    assert np.std(model.predict(photos)) < 0.5


def test_a_stop_ends_a_fit_between_two_batches(fitted: Any) -> None:
    _, photos, time, event, _ = fitted
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(FitCancelled):
        make_model("cnn", **QUICK).fit(photos, time, event, None, cancelled)
    assert len(asked) == 4


def test_it_runs_as_a_job_of_a_comparison_and_is_kept(tmp_path: Any) -> None:
    photos, time, event, _ = discs(60)
    fold = draw_folds(check_outcome(time, event), 2, 1)
    asked = [Candidate("image / cnn", "cnn", ("image",), {**QUICK, "epochs": 4, "missing": "refuse"})]
    at = np.array([1.0, 5.0])
    one = cross_validate(asked, {"image": photos}, time, event, at, fold, cache=tmp_path)
    assert not one.failed
    assert len(list(tmp_path.glob("*.npz"))) == 2
    kept = cross_validate(asked, {"image": photos}, time, event, at, fold, cache=tmp_path, on_progress=None)
    np.testing.assert_array_equal(kept.scores["image / cnn"].log_risk, one.scores["image / cnn"].log_risk)
    spoilt = photos.copy()
    spoilt[0] = 255 - spoilt[0]
    cross_validate(asked, {"image": spoilt}, time, event, at, fold, cache=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 4, "another photo is another job"


def test_augmentation_moves_and_colours_but_makes_nothing_up() -> None:
    draws = np.random.default_rng(0)
    x = torch.rand(6, 3, 16, 16)
    assert torch.equal(augmented(x, draws, 0, 0, False), x)
    mirrored = augmented(x, draws, 0, 0, True)
    same = [bool(torch.equal(a, b)) for a, b in zip(mirrored, x, strict=True)]
    other = [bool(torch.equal(a, b.flip(2))) for a, b in zip(mirrored, x, strict=True)]
    assert all(a != b for a, b in zip(same, other, strict=True))
    assert any(same)
    assert any(other)
    moved = augmented(x, draws, 0.1, 0, False)
    assert moved.shape == x.shape
    assert all(set(a.flatten().tolist()) <= set(b.flatten().tolist()) for a, b in zip(moved, x, strict=True))
    coloured = augmented(x, np.random.default_rng(1), 0, 0.1, False)
    for a, b in zip(coloured, x, strict=True):
        for channel in range(3):  # one straight line a channel
            assert np.corrcoef(a[channel].flatten(), b[channel].flatten())[0, 1] > 1 - 1e-6


def test_the_loss_of_a_batch_is_the_exact_partial_likelihood_of_its_patients() -> None:
    rng = np.random.default_rng(2)
    time, event, lp = rng.integers(1, 6, 30).astype(float), rng.random(30) < 0.7, rng.normal(size=30)
    from survival.models.deep.members import risk_order

    places, end = risk_order(time, np.arange(30))
    own = torch.tensor(lp[places]), torch.tensor(event[places], dtype=torch.float64), torch.tensor(end)
    expected = -log_likelihood(time, event, lp[:, None])[0] / event.sum()
    assert float(cox_loss(*own)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        (np.zeros((8, 16, 16, 3), np.float32), "8-bit"),
        (np.zeros((8, 16, 20, 3), np.uint8), "square"),
        (np.zeros((8, 2, 2, 3), np.uint8), "4 px and more"),
        ({"image": np.zeros((8, 16, 16, 3), np.uint8), "photo": np.zeros((8, 4))}, "one block"),
    ],
)
def test_what_is_no_photo_is_refused(block: Any, told: str) -> None:
    with pytest.raises(SurvivalError, match=told):
        make_model("cnn", **QUICK).fit(block, np.arange(1.0, 9), np.ones(8, bool))


def test_settings_and_order_that_cannot_be_are_refused(fitted: Any) -> None:
    for wrong in ({"members": 1}, {"widths": (5,)}, {"dropout": 1.0}, {"shift": 0.6}):
        with pytest.raises(SurvivalError):
            make_model("cnn", **wrong)
    with pytest.raises(SurvivalError, match="not been fitted"):
        make_model("cnn").predict(np.zeros((1, 16, 16, 3), np.uint8))
    with pytest.raises(SurvivalError, match="16 px, not 32"):
        fitted[0].predict(np.zeros((1, 32, 32, 3), np.uint8))
    with pytest.raises(SurvivalError, match="no gradient"):
        fitted[0].log_hr_gradient()
