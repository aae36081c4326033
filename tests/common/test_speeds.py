"""Times promised from what was measured on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import speeds


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(speeds.FOLDER, str(tmp_path / "cache"))
    return tmp_path / "cache" / speeds.NAME


def test_nothing_is_promised_before_something_was_measured() -> None:
    assert speeds.seconds("fits", 23.0) is None
    speeds.record("other", 2.0)
    assert speeds.seconds("fits", 23.0) is None


def test_a_slow_machine_says_so() -> None:
    """A comparison promised 23 s and took 143."""
    speeds.record("fits", 143 / 23)
    low, high = speeds.seconds("fits", 23.0) or (0, 0)
    assert low == pytest.approx(143 / 1.5, abs=0.1)
    assert high == pytest.approx(143 * 1.5, abs=0.1)


def test_the_range_holds_all_that_was_measured_lately() -> None:
    for ratio in (100.0, 1.0, 1.0, 6.0, 1.0, 1.0):
        speeds.record("fits", ratio)
    low, high = speeds.seconds("fits", 10.0) or (0, 0)
    assert low < 10.0
    assert high == 60.0, "the oldest is forgotten"


def test_another_machine_with_the_same_home_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds.record("fits", 2.0)
    monkeypatch.setattr(speeds.platform, "node", lambda: "elsewhere")
    assert speeds.seconds("fits", 10.0) is None


@pytest.mark.parametrize(
    "text", ["", "[]", "no json", '{"x": 3}', '{"KEY": ["a", null, -1, 0, true]}', "[" * 50_000, "9" * 70_000]
)
def test_a_damaged_file_promises_nothing_and_is_replaced(text: str, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text(text.replace("KEY", speeds._key("fits")), "utf-8")
    assert speeds.seconds("fits", 1.0) is None
    speeds.record("fits", 2.0)
    assert speeds.seconds("fits", 1.0) is not None
    assert json.loads(cache.read_text("utf-8"))


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(speeds.FOLDER, str(tmp_path / "file" / "below"))
    speeds.record("fits", 2.0)
    assert speeds.seconds("fits", 1.0) is None


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_ratio_is_not_kept(ratio: float, cache: Path) -> None:
    speeds.record("fits", ratio)
    assert not cache.exists()


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.floats(0.1, 1e5))
def test_a_promise_is_a_range_in_proportion_to_the_work(ratios: list[float], expected: float) -> None:
    path = speeds._path()
    path.unlink(missing_ok=True)
    for ratio in ratios:
        speeds.record("fits", ratio)
    low, high = speeds.seconds("fits", expected) or (0.0, 0.0)
    assert 0 < low < high
    double = speeds.seconds("fits", 2 * expected) or (0.0, 0.0)
    assert double == pytest.approx((2 * low, 2 * high))
    assert low <= expected * round(ratios[-1], 4) * 1.001
    assert high >= expected * round(ratios[-1], 4) * 0.999
