"""docs/measurements.md is what its generator makes of the records, and its headings are those of the methods."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.measurements import DOCS, PAGE, RECORDS
from bench.measurements.tables import BEGIN, END, page, read_records, section
from study.errors import StudyError

HEADINGS = re.compile(r"^#+ (.+)$", re.MULTILINE)


def headings(text: str) -> list[str]:
    return HEADINGS.findall(text)


def test_the_page_is_made_of_the_records() -> None:
    text = PAGE.read_text("utf-8")
    assert text == page(text, read_records(RECORDS)), "run: python -m bench measurements"


def test_earlier_measurements_stand_under_headings_of_the_methods() -> None:
    earlier = PAGE.read_text("utf-8").partition("## Earlier measurements\n")[2]
    known = headings((DOCS / "methods.md").read_text("utf-8")) + headings((DOCS / "scale.md").read_text("utf-8"))
    ours = headings(earlier)
    assert ours
    assert set(ours) <= set(known)
    assert ours == sorted(ours, key=known.index)


def test_a_record_says_command_date_machine_and_every_table() -> None:
    record = {
        "bench": "no such benchmark",
        "command": "python -m bench x --n 2",
        "date": "2026-01-02",
        "commit": "abc1234",
        "machine": {"cpu": "A | B", "cores": 2, "python": "3.11", "torch": "2"},
        "photos": 3,
        "rows": [{"way": "ours", "seconds": 1.23456}, {"way": "theirs", "seconds": None, "more": True}],
        "series": {"a": [1.0, 2.0, 9.0]},
        "memory_mb": {"start": 1.5},
        "nested": {"a": [{"x": [1]}]},
        "problems": [],
    }
    text = section("fast", record)
    assert text.startswith("### fast\n\n`python -m bench x --n 2`; 2026-01-02; commit abc1234; A | B, 2 cores;")
    assert "photos 3." in text
    assert "| ours | 1.235 |  |\n| theirs |  | True |" in text
    assert "| a | 3 | 2 | 1 | 9 |" in text
    assert "*memory mb:*\n\n|  | value |\n| --- | --- |\n| start | 1.5 |" in text
    assert "nested" not in text
    assert "problems" not in text


def test_prose_around_the_markers_stays() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = page(text, {"a": {"bench": "a", "rows": []}})
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "old" not in once
    assert page(once, {"a": {"bench": "a", "rows": []}}) == once


def test_a_page_without_markers_and_a_damaged_record_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="put them back"):
        page("no markers", {})
    (tmp_path / "a.json").write_text("{", "utf-8")
    with pytest.raises(StudyError, match=r"a\.json is not JSON"):
        read_records(tmp_path)
