"""The pieces of a report: a page that loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from common import html
from common.html import Html, join, tag
from survival.plots.labels import plain_figure

STYLE = Path(__file__).with_name("style.css")
SCRIPT = Path(__file__).with_name("figures.js")
INK = "#1b2530"
FONT = 'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


paragraph, note, warning = partial(tag, "p"), partial(tag, "p", class_="note"), partial(tag, "p", class_="warning")


def bullets(items: Sequence[object]) -> Html:
    return tag("ul", *(tag("li", item) for item in items)) if items else Html("")


def section(place: str, title: str, *children: object) -> Html:
    return tag("section", tag("h2", title), *children, id=place)


def subsection(title: str, *children: object) -> Html:
    return join([tag("h3", title), *children])


def table(headers: Sequence[object], rows: Iterable[Sequence[object]], caption: object = "", numbers: int = 1) -> Html:
    """A table that scrolls by itself on a narrow page. numbers: from this column on, cells stand at the right."""
    title = tag("p", caption, class_="caption") if caption else Html("")  # outside, so that it does not scroll away
    return join([title, tag("div", html.table(headers, rows, numbers), class_="scroll")])


def facts(rows: Iterable[tuple[object, object]]) -> Html:
    """A list of terms and their explanations."""
    return tag("dl", *(join([tag("dt", name), tag("dd", value)]) for name, value in rows))


def figure(drawn: go.Figure, caption: object) -> Html:
    """A Plotly figure that the page's one script draws; its height is kept free from the start."""
    drawn = plain_figure(go.Figure(drawn))
    drawn.update_layout(template={}, font={"family": FONT, "size": 12, "color": INK})
    height = int(drawn.layout.height or 400)
    # no "<" in the JSON, so that nothing in it can end the script
    data = Html(str(drawn.to_json()).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
    holder = tag("div", class_="plot", style=f"height:{height}px")
    return tag(
        "figure", holder, tag("script", data, type="application/json"), tag("figcaption", caption), class_="drawn"
    )


def page(title: str, body: Html) -> bytes:
    """The whole document, UTF-8, with styles, Plotly and the drawing script inside."""
    head = join(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            # a page that may load nothing cannot be made to by anything that slipped into it
            Html(
                '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src '
                "'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; font-src data:\">"
            ),
            tag("title", title),
            tag("style", Html(STYLE.read_text(encoding="utf-8"))),
        ],
        "\n",
    )
    scripts = [tag("script", Html(get_plotlyjs())), tag("script", Html(SCRIPT.read_text(encoding="utf-8")))]
    inside = f"<head>\n{head}\n</head>\n<body>\n{body}\n{join(scripts)}\n</body>"
    return f'<!DOCTYPE html>\n<html lang="en">\n{inside}\n</html>\n'.encode()
