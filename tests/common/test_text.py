"""How numbers are written for people."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.text import count, interval, limits, listed, number, p_value, percent, probability


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


def test_a_number_has_a_true_minus_and_no_minus_before_zero() -> None:
    assert [number(v, 2) for v in (1.234, -1.234, -0.001, math.inf, -math.inf, math.nan)] == [
        "1.23",
        "\u22121.23",
        "0.00",
        "\u221e",
        "\u2212\u221e",
        "\u2013",
    ]
    assert [number(v, 1, sign=True) for v in (0.5, 0.0, -0.5)] == ["+0.5", "0.0", "\u22120.5"]


def test_an_interval_is_left_out_where_it_is_not_known() -> None:
    assert interval(0.674, 0.6464, 0.7019) == "0.674 (0.646 to 0.702)"
    assert interval(-0.1, -0.2, 0.05, 2, sign=True) == "\u22120.10 (\u22120.20 to +0.05)"
    assert interval(0.5, math.nan, 0.7) == "0.500"
    assert interval(math.nan, 0.1, 0.7) == "\u2013"
    assert limits(math.nan, 1.0) == ""


def test_a_p_value_is_never_zero() -> None:
    assert [p_value(p) for p in (0.0, 0.0004, 0.0312, math.nan)] == ["< 0.001", "< 0.001", "0.031", "\u2013"]
    assert [p_value(p, named=True) for p in (1e-9, 0.5)] == ["p < 0.001", "p = 0.500"]


def test_counts_and_lists() -> None:
    assert [count(1, "patient"), count(1600, "patient"), count(2, "study", "studies")] == [
        "1 patient",
        "1,600 patients",
        "2 studies",
    ]
    assert [listed(x) for x in ([], ["a"], ["a", "b"], ("a", "b", "c"))] == ["none", "a", "a and b", "a, b and c"]
