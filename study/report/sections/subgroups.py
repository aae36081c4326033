"""Every model in every subgroup, side by side."""

from __future__ import annotations

import pandas as pd

from common.html import Html, tag
from common.text import count, sentence_case
from study.comparison.record import Comparison
from study.report.facts import Facts
from study.report.page import note, paragraph, section, subsection
from study.report.sections.models import estimate
from survival.comparison.subgroups import ALL, MIN_EVENTS
from survival.metrics.calibration import COX_SLOPE, SLOPE_NAME


def subgroups(facts: Facts) -> Html:
    """Section Subgroups; empty without a comparison."""
    c = facts.comparison
    if c is None:
        return Html("")
    frame = c.tables["subgroups"]
    measures = [("Harrell C", "Harrell's C", 3)]
    if c.horizons:
        middle = c.horizons[len(c.horizons) // 2]
        measures.append((f"O/E({middle:g})", f"Observed over expected events by {middle:g} {c.time_unit}", 2))
    measures.append((COX_SLOPE, sentence_case(SLOPE_NAME), 2))
    small = int((frame["measure"] == "").sum())
    left = f" {count(small, 'subgroup')} with fewer than {MIN_EVENTS} events left out." if small else ""
    return section(
        "subgroups",
        "Subgroups",
        paragraph(
            "The models are those of the whole cohort; they are evaluated within each subgroup, out of fold. "
            f"Estimates from few patients are uncertain, and among many subgroups some are far off by chance.{left}"
        ),
        *(subsection(title, _table(c, frame, measure, digits)) for measure, title, digits in measures),
        note(
            "95 % intervals: bootstrap over the subgroup's patients; of the slope, Wald. "
            "Observed over expected: above 1, predicted risks are too low."
        ),
    )


def _table(c: Comparison, frame: pd.DataFrame, measure: str, digits: int) -> Html:
    models = [judged for judged in c.models if judged.name in set(frame["candidate"])]
    head = tag(
        "tr",
        tag("th", "Subgroup"),
        *(tag("th", words, class_="number") for words in ("n", "Events", *(judged.label for judged in models))),
    )
    rows, before = [], ""
    selected = frame[frame["measure"].isin([measure, ""])]
    figures = {(r["variable"], r["level"], r["candidate"]): r for r in selected.to_dict("records")}
    for group in frame.drop_duplicates(["variable", "level"]).to_dict("records"):
        variable, level = str(group["variable"]), str(group["level"])
        if variable not in (before, ALL):
            rows.append(tag("tr", tag("td", variable, colspan=3 + len(models)), class_="group"))
        before = variable
        found = [figures.get((variable, level, judged.name)) for judged in models]
        cells = [tag("td", "–" if row is None else estimate(row, digits), class_="number") for row in found]
        if group["measure"] == "":
            cells = [tag("td", "too few events", class_="number", colspan=len(models))]
        counts = [tag("td", f"{group[key]:,}", class_="number") for key in ("n", "events")]
        rows.append(tag("tr", tag("td", level or variable), *counts, *cells))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")
