import numpy as np
import pytest

from bench.parts import cox_nested, cox_paths
from survival.cox_regression.path import penalty_grid
from survival.metrics.concordance import harrell_c
from survival.outcome import patient_folds
from tests.survival.cohorts import made_up


def test_the_ways_of_the_benchmark_do_the_same_work():
    """One path a fold gives each penalty the C that fitting it alone gives; so does the path on all components."""
    study = made_up(n=120, shape=(30,))
    flat, time, event = study["X"], study["time"], study["event"]
    fold = patient_folds(event, cox_paths.FOLDS, np.random.default_rng(0))
    z = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    alphas = penalty_grid(z, time, event, cox_paths.L1_RATIO, 8, 1e-2)[3:]
    alone = cox_paths.one_at_a_time(flat, time, event, fold, alphas)
    path = cox_paths.path_a_fold(flat, time, event, fold, alphas, reduce=False)
    reduced = cox_paths.path_a_fold(flat, time, event, fold, alphas, reduce=True)
    assert path == pytest.approx(alone, abs=5e-3)
    assert reduced == pytest.approx(alone, abs=1e-2)
    assert alone.max() > 0.65


def test_the_nested_benchmark_compares_two_ways_of_the_same_work(capsys):
    """Both choose on the same inner folds; a fold of ours predicts what the baseline's does."""
    study = made_up(n=130, shape=(24,))
    found = cox_nested.nested(study["X"], study["time"], study["event"], penalties=7, baseline_folds=1)
    assert found["baseline_folds"] == len(found["rows"]) == 1
    row = found["rows"][0]
    assert row["agrees"]
    assert row["C ours"] == pytest.approx(row["C theirs"], abs=0.03)
    assert found["times_faster"] > 0
    assert "scaled" in capsys.readouterr().out


def test_made_up_codes_carry_a_hazard():
    codes, time, event = cox_nested.made_up_codes(300, 120)
    assert codes.dtype == np.float32
    assert 0.4 < event.mean() < 0.8
    train = np.arange(300) < 200
    part = cox_nested.outer_fold(codes, time, event, train, 8, 0, ours=True)
    assert harrell_c(time[~train], event[~train], part.risk) > 0.6
