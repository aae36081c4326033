import numpy as np
import pytest

from survival.errors import SurvivalError
from survival.outcome import check_outcome, patient_folds, require_events


@pytest.mark.parametrize(
    ("time", "event", "sentence"),
    [
        ([1, 0], [1, 1], "Row 2: the time is not above 0"),
        ([1, -3, -4], [1, 1, 1], r"Row 2 \(and 1 more rows\): the time is not above 0"),
        ([np.nan, 1], [1, 1], "Row 1: the time is missing"),
        ([1, np.inf], [1, 1], "Row 2: the time is missing or not finite"),
        ([1, 2], [1, 2], "Row 2: the event is neither 0 nor 1"),
        ([1, 2], [1, None], "Row 2: the event is missing"),
        ([1, "soon"], [1, 1], "not a number"),
        ([1, 2], [1], "2 times but 1 events"),
        ([], [], "no patients"),
        ([[1, 2]], [1, 2], "one number per row"),
    ],
)
def test_impossible_outcomes_get_a_sentence(time, event, sentence):
    with pytest.raises(SurvivalError, match=sentence):
        check_outcome(time, event)


def test_folds_share_events_and_patients_evenly():
    event = np.random.default_rng(0).uniform(size=203) < 0.3
    fold = patient_folds(event, 5, np.random.default_rng(1))
    sizes, events = np.bincount(fold, minlength=5), np.bincount(fold[event], minlength=5)
    assert np.ptp(sizes) <= 1
    assert np.ptp(events) <= 1
    assert not np.array_equal(fold, patient_folds(event, 5, np.random.default_rng(2)))


def test_too_few_events_are_refused():
    outcome = check_outcome(np.arange(1, 101), np.arange(100) < 19)
    with pytest.raises(SurvivalError, match="only 19 events among 100 patients"):
        require_events(outcome, 5)
    require_events(outcome, 4)
    with pytest.raises(SurvivalError, match="at least 2 folds"):
        require_events(outcome, 1)
