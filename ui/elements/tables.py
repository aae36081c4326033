"""One HTML table, escaped: every table on a page is made here."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import streamlit as st

from common.text import DASH, limits, number


@dataclass(frozen=True)
class Cell:
    """text, and what stands after it in small print. columns: how many it takes."""

    text: str
    small: str = ""
    columns: int = 1

    def html(self, tag: str = "td", scope: str = "") -> str:
        attributes = (f' scope="{scope}"' if scope else "") + (f' colspan="{self.columns}"' if self.columns > 1 else "")
        small = f" <small>{html.escape(self.small)}</small>" if self.small else ""
        return f"<{tag}{attributes}>{html.escape(self.text)}{small}</{tag}>"


@dataclass(frozen=True)
class Row:
    """cells: texts or Cells, the first of which names the row. kind: class of the row in the style sheet; "head" for a
    heading over the rows that follow."""

    cells: Sequence[str | Cell]
    kind: str = ""

    def html(self) -> str:
        first, *rest = (cell if isinstance(cell, Cell) else Cell(cell) for cell in self.cells)
        head = first.html("th", "rowgroup" if self.kind == "head" else "row")
        cells = "".join(cell.html() for cell in rest)
        kind = f' class="{html.escape(self.kind)}"' if self.kind else ""
        return f"<tr{kind}>{head}{cells}</tr>"


def table(head: Sequence[str], rows: Iterable[Row | Sequence[str | Cell]], style: str = "lh-table") -> None:
    """Show a table; it scrolls by itself where it is wider than the page. style: its classes in the style sheet."""
    heads = "".join(Cell(text).html("th", "col") for text in head)
    body = "".join((row if isinstance(row, Row) else Row(row)).html() for row in rows)
    st.html(
        f'<div class="lh-scroll"><table class="{html.escape(style)}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def estimate(value: float, low: float, high: float, digits: int) -> Cell:
    """A value with its limits in small print; a dash where there is none."""
    if not math.isfinite(value):
        return Cell(DASH)
    return Cell(number(value, digits), limits(low, high, digits) or "no interval")
