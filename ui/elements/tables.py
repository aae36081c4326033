"""One HTML table, escaped: every table on a page is made here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import streamlit as st

from common.html import Html, tag
from common.text import DASH, limits, number


@dataclass(frozen=True)
class Cell:
    """text, and what stands after it in small print. columns: how many it takes."""

    text: str
    small: str = ""
    columns: int = 1

    def html(self, name: str = "td", **attributes: object) -> Html:
        span = {"colspan": self.columns} if self.columns > 1 else {}
        small = (" ", tag("small", self.small)) if self.small else ()
        return tag(name, self.text, *small, **attributes, **span)


@dataclass(frozen=True)
class Row:
    """cells: texts or Cells, the first of which names the row. kind: class of the row in the style sheet; "head" for a
    heading over the rows that follow."""

    cells: Sequence[str | Cell]
    kind: str = ""

    def html(self) -> Html:
        first, *rest = (cell if isinstance(cell, Cell) else Cell(cell) for cell in self.cells)
        head = first.html("th", scope="rowgroup" if self.kind == "head" else "row")
        return tag("tr", head, *(cell.html() for cell in rest), **({"class_": self.kind} if self.kind else {}))


def table(head: Sequence[str], rows: Iterable[Row | Sequence[str | Cell]], style: str = "lh-table") -> None:
    """Show a table; it scrolls by itself where it is wider than the page. style: its classes in the style sheet."""
    heads = tag("tr", *(tag("th", text, scope="col") for text in head))
    body = tag("tbody", *((row if isinstance(row, Row) else Row(row)).html() for row in rows))
    st.html(tag("div", tag("table", tag("thead", heads), body, class_=style), class_="lh-scroll"))


def estimate(value: float, low: float, high: float, digits: int) -> Cell:
    """A value with its limits in small print; a dash where there is none."""
    if not math.isfinite(value):
        return Cell(DASH)
    return Cell(number(value, digits), limits(low, high, digits) or "no interval")
