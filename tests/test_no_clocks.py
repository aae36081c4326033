"""A busy or slow machine makes no test fail: no deadlines, no clocks, and nothing waits for ever."""

import ast
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parent
WAITING = TESTS / "waiting.py"  # the one place that looks at a clock, to give up
CLOCKS = {
    f"{name}{unit}" for name in ("monotonic", "perf_counter", "process_time", "thread_time") for unit in ("", "_ns")
}


def test_hypothesis_has_one_profile_without_a_deadline(pytestconfig: pytest.Config) -> None:
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
    assert pytestconfig.getini("timeout"), "a test that hangs must end"


def clocks_and_deadlines(source: str) -> list[int]:
    """Lines that read a clock or set a deadline. time.time, the date, is allowed."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute | ast.Name):
            name = node.attr if isinstance(node, ast.Attribute) else node.id
            lines += [node.lineno] * (name in CLOCKS)
        elif isinstance(node, ast.keyword):
            lines += [node.lineno] * (node.arg == "deadline")
        elif isinstance(node, ast.alias):
            lines += [node.lineno] * (node.name in CLOCKS)
    return sorted(lines)


def test_clocks_and_deadlines_are_seen() -> None:
    source = "import time\nfrom time import perf_counter\n@settings(deadline=9)\ndef f():\n    time.monotonic()\n"
    assert clocks_and_deadlines(source) == [2, 3, 5]


def test_no_test_reads_a_clock_or_sets_a_deadline() -> None:
    found = {}
    for path in set(TESTS.rglob("*.py")) - {WAITING, TESTS / "conftest.py"}:
        if lines := clocks_and_deadlines(path.read_text(encoding="utf-8")):
            found[path.relative_to(TESTS).as_posix()] = lines
    assert not found, "count work instead (tests/work.py), or wait with tests/waiting.py"
