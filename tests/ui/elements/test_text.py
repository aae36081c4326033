"""How numbers are written."""

import pytest

from ui.elements import text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (text.ratio(2.0), "×\u20092.00"),
        (text.ratio(12.34), "×\u200912.3"),
        (text.ratio(0.125), "×\u20090.125"),
        (text.ratio(0.9999), "×\u20091.00"),
        (text.percent(0.812), "81\u2009%"),
        (text.percent(0.0312), "3.1\u2009%"),
        (text.interval(-0.2, 0.1, 2), "95 % CI \u22120.20 to 0.10"),
        (text.interval(float("nan"), 0.1), "too few events for an interval"),
        (text.elapsed(0.42), "0.4 s"),
        (text.elapsed(9.94), "9.9 s"),
        (text.elapsed(9.96), "10 s"),
        (text.plain_time(12.0), "12"),
        (text.plain_time(1.5), "1.5"),
    ],
)
def test_numbers_for_people(written: str, expected: str) -> None:
    assert written == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, "1st"),
        (2.2, "2nd"),
        (3, "3rd"),
        (11, "11th"),
        (12, "12th"),
        (43, "43rd"),
        (99, "99th"),
        (100, ">\u200999th"),
        (0.2, "<\u20091st"),
    ],
)
def test_percentiles(value: float, expected: str) -> None:
    assert text.ordinal(value) == expected


@pytest.mark.parametrize(
    ("ratio", "expected"), [(1.62, "1.6 times"), (0.38, "0.38 times"), (12.3, "12 times"), (1.02, "about the risk")]
)
def test_hazard_ratios_in_words(ratio: float, expected: str) -> None:
    assert text.times_hazard(ratio).startswith(expected)
    assert text.times_hazard(ratio).endswith("of the typical patient")


def test_limits_are_written_like_their_value() -> None:
    assert text.between(48.2, 74.4, text.place) == "48 to 74"
    assert text.between(0.2, 99.8, text.place) == "<\u20091 to >\u200999"
    assert text.between(0.9, 1.84, text.short_ratio) == "0.90 to 1.8"
    assert text.between(0.243, 0.451, text.probability) == "24 to 45\u2009%"
