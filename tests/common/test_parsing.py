"""JSON and TOML of unknown origin: plain values, or a ValueError after work that grows with the text alone."""

from __future__ import annotations

import ast
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.parsing import MAX_DEPTH, MAX_KEY_PARTS, json_value, toml_table
from tests.work import calls

ROOT = Path(__file__).resolve().parents[2]
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


@given(PLAIN)
def test_what_python_writes_is_read(value: Any) -> None:
    assert json_value(json.dumps(value)) == value


def test_not_a_number_is_read_unless_it_may_not_be() -> None:
    assert math.isnan(json_value(b"NaN"))
    for text in ("NaN", "[Infinity]", '{"a": -Infinity}'):
        with pytest.raises(ValueError, match="is not a number"):
            json_value(text, finite=True)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        '{"a":' * 50_000,
        "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        "1" * 100_000,
        "-" + "9" * 21,
        "1e999",
        "[1, -1e400]",
        "",
        "{",
        '{"a": 1,}',
        b"\xff\xfe",
        b"\x00",
    ],
)
def test_json_that_is_refused(text: str | bytes) -> None:
    def read() -> None:
        with pytest.raises(ValueError):
            json_value(text)

    assert calls(read, 10_000) < 10_000


def test_depth_up_to_the_bound_is_read() -> None:
    assert json_value("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert toml_table(b"a = " + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1))


@pytest.mark.parametrize(
    "text",
    [
        ".".join(["a"] * 100_000) + " = 1",
        "[" + ".".join(["a"] * 100_000) + "]",
        "[" + " . ".join(['"a.b"'] * 20_000) + "]",
        "x = { " + ".".join(["a"] * 50_000) + " = 1 }",
        "[" + ".".join(["a"] * 900) + "]\n" + "b = 1\n" * 10,
        "a = " + "[" * 100_000,
        "a = " + "{a = " * 20_000,
        "a = " + "1" * 100_000,
        "a",
        "\x00",
    ],
)
def test_toml_that_is_refused(text: str) -> None:
    """tomllib takes quadratic time for the first of these: at 100,000 parts, 10 ** 10 steps."""

    def read() -> None:
        with pytest.raises(ValueError):
            toml_table(text.encode())

    assert calls(read) < 40 * len(text) + 10_000


def test_toml_as_people_write_it_is_read() -> None:
    text = """\ufeffname = "x"
citation = "Smith J. et al. e.g. vol. 1. no. 2. pp. 3.4.5.6.7.8.9.10.11.12.13.14.15.16.17 doi:10.1000/a.b.c. ..... "
[covariates."a.b".c]
1.2.3 = 4.5
"""
    table = toml_table(text.encode())
    assert table["covariates"]["a.b"]["c"] == {"1": {"2": {"3": 4.5}}}
    assert toml_table(".".join(["a"] * MAX_KEY_PARTS).encode() + b" = 1")


@pytest.mark.slow
def test_one_home_for_the_readers() -> None:
    """Nothing else reads JSON or TOML: each reader by hand would need the same bounds again."""
    found = []
    for room in ("common", "faces", "latent", "survival", "study", "ui", "pages"):
        for file in (ROOT / room).rglob("*.py"):
            if file == ROOT / "common" / "parsing.py":
                continue
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                if name in ("json.loads", "json.load", "tomllib.loads", "tomllib.load", "pd.read_json"):
                    found.append(f"{file.relative_to(ROOT)}:{node.lineno} {name}")
    assert not found, found
