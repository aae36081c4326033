import numpy as np
import pytest

from bench import cox
from survival.outcome import patient_folds
from survival.path import penalty_grid
from tests.survival.cohorts import made_up


def test_the_rivals_of_the_benchmark_do_the_same_work():
    """One path a fold gives each penalty the C that fitting it alone gives; so does the path on all components."""
    study = made_up(n=120, shape=(30,))
    flat, time, event = study["X"], study["time"], study["event"]
    fold = patient_folds(event, cox.FOLDS, np.random.default_rng(0))
    z = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    alphas = penalty_grid(z, time, event, cox.L1_RATIO, 8, 1e-2)[3:]
    alone = cox.one_at_a_time(flat, time, event, fold, alphas)
    path = cox.path_a_fold(flat, time, event, fold, alphas, reduce=False)
    reduced = cox.path_a_fold(flat, time, event, fold, alphas, reduce=True)
    assert path == pytest.approx(alone, abs=5e-3)
    assert reduced == pytest.approx(alone, abs=1e-2)
    assert alone.max() > 0.65
