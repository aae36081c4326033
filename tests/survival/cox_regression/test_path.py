import warnings
from typing import ClassVar

import numpy as np
import pytest
import sksurv.linear_model
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

from survival.cox_regression.likelihood import log_likelihood
from survival.cox_regression.path import fit_path, penalty_grid
from survival.errors import SurvivalError
from tests.survival.cohorts import made_up


@pytest.fixture(scope="module")
def scores():
    study = made_up(n=150, shape=(30,))
    x = study["X"].astype(float)
    return (x - x.mean(axis=0)) / x.std(axis=0), study["time"], study["event"]


@pytest.mark.parametrize("l1_ratio", [1e-3, 0.5, 1.0])
def test_optimality_conditions_hold_along_the_path(scores, l1_ratio):
    """Gradient of the log-likelihood = penalty's subgradient, by finite differences of our own likelihood."""
    x, time, event = scores
    grid = penalty_grid(x, time, event, l1_ratio, 12, 1e-2)
    path = fit_path(x, time, event, grid, l1_ratio)
    assert len(path.alphas) == 12
    n, k = x.shape
    for alpha, coef in zip(path.alphas[[0, 5, 11]], path.coef.T[[0, 5, 11]], strict=True):
        step = 1e-5
        ends = np.concatenate([coef + step * np.eye(k), coef - step * np.eye(k)])
        up, down = np.split(log_likelihood(time, event, x @ ends.T) / n, 2)
        gradient = (up - down) / (2 * step) - alpha * (1 - l1_ratio) * coef
        limit = alpha * l1_ratio
        assert np.abs(gradient).max() <= limit + 1e-4
        active = coef != 0
        np.testing.assert_allclose(gradient[active], limit * np.sign(coef[active]), atol=1e-4)


def test_first_penalty_is_the_smallest_that_keeps_everything_at_zero(scores):
    x, time, event = scores
    grid = penalty_grid(x, time, event, 1.0, 20, 0.5)
    path = fit_path(x, time, event, grid, 1.0)
    assert np.count_nonzero(path.coef[:, 0]) == 0
    assert np.count_nonzero(path.coef[:, 1]) == 1


def test_explained_deviance_rises_within_0_and_1(scores):
    path = fit_path(*scores, penalty_grid(*scores, 1e-3, 40, 1e-6), 1e-3)
    assert ((path.deviance_ratio >= -1e-12) & (path.deviance_ratio <= 1)).all()
    assert (np.diff(path.deviance_ratio) > -1e-6).all()


def test_heavy_ties_do_not_end_the_path(scores):
    """The solver alone stops after five penalties here: its own measure of deviance ignores ties."""
    x, time, event = scores
    time = np.ceil(time / 20)
    grid = penalty_grid(x, time, event, 1e-3, 50, 1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = CoxnetSurvivalAnalysis(alphas=grid, l1_ratio=1e-3).fit(x, Surv.from_arrays(event, time))
    assert len(alone.alphas_) < 10
    path = fit_path(x, time, event, grid, 1e-3)
    assert len(path.alphas) >= 40
    reference = fit_path(x, time, event, grid[25:], 1e-3)  # started further down, reaches the same
    both = slice(25, min(len(path.alphas), 25 + len(reference.alphas)))
    np.testing.assert_allclose(
        path.coef[:, both], reference.coef[:, : both.stop - 25], atol=3e-3 * np.abs(path.coef).max()
    )


class Breaking:
    """Stands in for the solver: breaks down when the path goes below a penalty."""

    floor = 0.0
    tries: ClassVar[list[int]] = []

    def __init__(self, alphas, **settings):
        self.alphas, self.settings = alphas, settings

    def fit(self, x, y):
        Breaking.tries.append(len(self.alphas))
        if self.alphas.min() < Breaking.floor:
            raise ArithmeticError("weights are too large")
        self.coef_ = CoxnetSurvivalAnalysis(alphas=self.alphas, **self.settings).fit(x, y).coef_
        return self


def test_a_breakdown_keeps_the_sound_part_and_never_starts_cold_below_it(scores, monkeypatch):
    x, time, event = scores
    grid = penalty_grid(x, time, event, 0.5, 16, 1e-2)
    monkeypatch.setattr(sksurv.linear_model, "CoxnetSurvivalAnalysis", Breaking)
    monkeypatch.setattr(Breaking, "floor", grid[9])
    monkeypatch.setattr(Breaking, "tries", [])
    path = fit_path(x, time, event, grid, 0.5)
    assert Breaking.tries == [16, 12, 9]
    np.testing.assert_array_equal(path.alphas, grid[:9])


def test_a_path_that_never_works_is_a_sentence(scores, monkeypatch):
    x, time, event = scores
    monkeypatch.setattr(sksurv.linear_model, "CoxnetSurvivalAnalysis", Breaking)
    monkeypatch.setattr(Breaking, "floor", np.inf)
    with pytest.raises(SurvivalError, match="could not be fitted"):
        fit_path(x, time, event, np.geomspace(1, 0.1, 8), 0.5)


def test_garbage_fits_are_cut_off(scores, monkeypatch):
    """A fit that explains less than a more penalised one, or is not finite, ends the path before it."""
    x, time, event = scores
    grid = penalty_grid(x, time, event, 0.5, 16, 1e-2)
    sound = fit_path(x, time, event, grid, 0.5).coef

    for where, garbage in ((7, np.nan), (9, -4.0)):

        class Garbage(Breaking):
            def fit(self, x, y, where=where, garbage=garbage):
                self.coef_ = sound.copy()
                self.coef_[:, where:] = garbage
                return self

        monkeypatch.setattr(sksurv.linear_model, "CoxnetSurvivalAnalysis", Garbage)
        assert len(fit_path(x, time, event, grid, 0.5).alphas) == where


def test_features_without_any_relation_are_refused():
    with pytest.raises(SurvivalError, match="No feature is associated with the outcome"):
        penalty_grid(np.zeros((10, 2)), np.arange(1.0, 11), np.ones(10, dtype=bool), 1.0, 5, 0.1)
