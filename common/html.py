"""HTML from Python values: every text is escaped unless it was made here."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


class Html(str):
    """Markup that needs no escaping."""

    __slots__ = ()


def text(value: object) -> Html:
    """Any value as text of a page, with no line break before a percent sign; Html stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)).replace(" %", "\u00a0%"))


def join(parts: Iterable[object], between: str = "") -> Html:
    """The parts one after the other; between: markup, not escaped."""
    return Html(between.join(text(part) for part in parts))


def tag(name: str, *children: object, **attributes: object) -> Html:
    """<name attributes>children</name>; an attribute class_ is written class."""
    written = "".join(f' {key.rstrip("_")}="{html.escape(str(value))}"' for key, value in attributes.items())
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], numbers: int = 1, **attributes: object) -> Html:
    """<table attributes> with a head and a body; numbers: from this column on, cells have the class "number"."""

    def cells(kind: str, values: Sequence[object]) -> list[Html]:
        return [tag(kind, v, class_="number") if i >= numbers else tag(kind, v) for i, v in enumerate(values)]

    head = tag("thead", tag("tr", *cells("th", headers)))
    body = tag("tbody", *(tag("tr", *cells("td", row)) for row in rows))
    return tag("table", head, body, **attributes)
