"""How numbers are written for people."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.text import percent, probability


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.0, "< 1 %"), (0.0004, "< 1 %"), (0.0101, "1 %"), (0.634, "63 %"), (0.9899, "99 %"), (0.996, "> 99 %")],
)
def test_a_probability_is_never_0_or_100(p: float, expected: str) -> None:
    assert probability(p) == expected


@given(st.floats(0, 1))
def test_whatever_the_probability(p: float) -> None:
    assert probability(p).split()[-2] not in ("0", "100")
    assert not percent(p, 1).startswith("0.0") or p == 0


def test_what_is_not_known_is_a_dash() -> None:
    assert probability(math.nan) == percent(math.nan) == "\u2013"


@pytest.mark.parametrize(
    ("share", "digits", "expected"),
    [
        (0.0, 1, "0.0 %"),
        (1.0, 1, "100.0 %"),
        (0.0001, 1, "< 0.1 %"),
        (0.9999, 1, "> 99.9 %"),
        (0.0001, 0, "< 1 %"),
        (0.125, 1, "12.5 %"),
        (-0.02, 0, "\u22122 %"),
        (1.06, 0, "106 %"),
    ],
)
def test_a_share_is_0_or_100_only_where_it_is(share: float, digits: int, expected: str) -> None:
    assert percent(share, digits) == expected
