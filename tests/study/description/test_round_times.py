"""Round times: few, round, and inside the axis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.description.round_times import MOST_STEPS, STEPS, round_times


@pytest.mark.parametrize(
    ("end", "times"), [(60, [0, 12, 24, 36, 48, 60]), (7, [0, 2, 4, 6]), (3650, [0, 730, 1460, 2190, 2920, 3650])]
)
def test_known_axes(end: float, times: list[float]) -> None:
    assert round_times(end) == times


@given(st.floats(0.3, STEPS[-1] * MOST_STEPS))
def test_they_are_few_and_inside(end: float) -> None:
    times = round_times(end)
    assert times[0] == 0
    assert times[-1] <= end + 1e-6
    assert len(times) <= MOST_STEPS + 1
