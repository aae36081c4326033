"""Which times a cohort's follow-up carries a figure at."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from survival.horizons import EVERY_PART, MIN_BEYOND, MIN_EVENTS, carried_horizons


def test_the_end_of_follow_up_carries_nothing() -> None:
    time = np.concatenate([np.arange(1.0, 41.0), np.full(60, 60.0)])
    event = time < 60
    found = carried_horizons((5, 12, 60, 72), time, event)
    assert found.carried == (12.0,)
    assert found.sentences("months") == (
        "There is no estimate at 5 months: only 5 events have happened by then.",
        "There is no estimate at 60 and 72 months: no patient is under observation afterwards.",
    )


def test_who_has_not_come_yet_is_not_under_observation() -> None:
    time, event = np.concatenate([np.arange(1.0, 31.0), np.full(30, 50.0)]), np.arange(60) < 30
    entry = np.where(time == 50, 45.0, 0.0)
    assert carried_horizons((20,), time, event).carried == (20.0,)
    assert carried_horizons((20,), time, event, np.where(time == 50, 5.0, 0.0)).carried == (20.0,)
    assert carried_horizons((25,), time, event, entry).carried == ()


def test_a_training_part_that_ends_earlier_counts() -> None:
    time, event = np.concatenate([np.arange(1.0, 31.0), np.full(30, 50.0)]), np.arange(60) < 30
    fold = (time == 50).astype(int)
    found = carried_horizons((20, 40), time, event, fold=fold)
    assert found.carried == (20.0,)
    assert found.left_out == ((40.0, EVERY_PART),)


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=80), st.integers(1, 60))
def test_a_carried_time_has_events_before_and_patients_beyond(rows: list[tuple[int, bool]], at: int) -> None:
    time, event = np.array([t for t, _ in rows], float), np.array([e for _, e in rows])
    found = carried_horizons((at,), time, event)
    enough = (event & (time <= at)).sum() >= MIN_EVENTS and (time > at).sum() >= MIN_BEYOND
    assert (found.carried == (float(at),)) == bool(enough)
    assert len(found.carried) + len(found.left_out) == 1


def test_asked_for_nothing() -> None:
    assert carried_horizons((), [1.0], [True]).carried == ()
    with pytest.raises(ValueError, match="could not convert"):
        carried_horizons((1,), ["x"], [True])
