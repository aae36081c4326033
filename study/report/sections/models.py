"""All models side by side: performance, paired differences, measures along time, decision curves."""

from __future__ import annotations

from typing import Any

import pandas as pd

from common.html import Html, join, tag
from common.text import number, p_value, sentence_case
from study.comparison.measuring.added_value import clinical_models, weak_comparator, wrong_way
from study.comparison.record import Comparison
from study.description.delayed_entry import LATE_ENTRY
from study.report.facts import Facts
from study.report.page import figure, note, paragraph, section, subsection, table
from study.report.words import interval
from survival.comparison.over_time import NULL
from survival.metrics.calibration import COX_SLOPE, SLOPE_NAME
from survival.metrics.decision import TREAT_ALL, TREAT_NONE
from survival.plots.intervals import concordance_dots, paired_differences
from survival.plots.probability import auc_figure, brier_figure, decision_figure

HARRELL, UNO, SCALED_IBS, SLOPE = "Harrell C", "Uno C", "scaled IBS", COX_SLOPE
NULL_NAME = "kaplan-meier"
MOST_CURVES = 5  # lines that can be distinguished in one figure
SENSIBLE = (0.1, 0.5)  # thresholds at which a risk of death by the horizon could change what one does


def models(facts: Facts) -> Html:
    """Section Models compared; empty without a comparison."""
    c = facts.comparison
    if c is None:
        return Html("")
    parts = [
        subsection("Discrimination and overall fit", _figures(c)),
        subsection("Differences, paired", *_differences(c)),
    ]
    if c.horizons:
        parts.append(subsection("At the horizons", _at_horizons(c), _calibration(c)))
    if c.scores.entry is None:
        parts.append(subsection("Along time", *_along_time(facts, c)))
    if c.horizons:
        parts.append(subsection("Decision curves", *_decisions(facts, c)))
    intro = (
        f"Every estimate is out of fold: {c.plan.repeats} × {c.plan.folds} folds by patient, the same for all models; "
        f"{len(c.patients):,} patients, {c.events:,} events. In brackets: 95 % bootstrap intervals over patients."
    )
    return section("models", "Models compared", paragraph(intro), *parts)


def _pick(c: Comparison, name: str, measure: str, digits: int = 3) -> str:
    row = c.rows("figures", candidate=name, measure=measure)
    return "–" if row.empty else interval(row.iloc[0], digits)


def _figures(c: Comparison) -> Html:
    rows = [
        (judged.label, *(_pick(c, judged.name, m) for m in (HARRELL, UNO, SCALED_IBS)), _pick(c, judged.name, SLOPE, 2))
        for judged in c.best_first()
    ]
    failed = [note(f"{judged.label}: no result. {judged.error}") for judged in c.candidates if judged.error]
    caption = f"Table 2. Out-of-fold performance, models first, controls last. Uno's C up to {c.tau:.3g} {c.time_unit}."
    dots = c.rows("figures", measure=HARRELL).set_index("candidate").loc[[judged.name for judged in c.best_first()]]
    shown = figure(
        concordance_dots(labelled(c, dots[["value", "low", "high"]].rename_axis("model").reset_index())),
        "Harrell's C of each model and control. With permuted outcomes it should be near 0.5.",
    )
    late = note(LATE_ENTRY) if c.scores.entry is not None else ""
    return Html(
        table(("", HARRELL, UNO, "Scaled IBS", sentence_case(SLOPE_NAME)), rows, caption)
        + late
        + shown
        + "".join(failed)
    )


def labelled(c: Comparison, frame: pd.DataFrame, column: str = "model") -> pd.DataFrame:
    """With labels for people in place of candidates' names; names that are no candidate's stay."""
    labels = {judged.name: judged.label for judged in c.candidates}
    return frame.assign(**{column: [labels.get(name, name) for name in frame[column]]})


def _differences(c: Comparison) -> list[Html]:
    base = next(iter(clinical_models(c)), None) or c.best()
    others = [judged for judged in c.best_first() if judged.role == "model" and judged.name != base.name]
    if not others:
        return [paragraph("There is only one model.")]
    rows, drawn = [], []
    for judged in others:
        d = c.difference(judged.name, base.name)
        matching = c.rows("added_value", base=base.name, added=judged.name)
        test = ("–", "–") if matching.empty else (number(matching["chisq"].iloc[0], 1), p_value(matching["p"].iloc[0]))
        scaled = interval(c.difference(judged.name, base.name, SCALED_IBS)) if c.scores.entry is None else "–"
        rows.append((judged.label, interval(d), scaled, *test))
        drawn.append((judged.label, d.value, d.low, d.high))
    frame = pd.DataFrame(drawn, columns=["model", "value", "low", "high"])
    caption = (
        f"Table 3. Each model minus {base.label}. The last two columns: likelihood-ratio test of adding the model's "
        f"out-of-fold score to that of {base.label} (1 degree of freedom, first repeat)."
    )
    caveats = [wrong_way(c, [judged.name for judged in others]), weak_comparator(c)]
    return [
        table(("", HARRELL, "Scaled IBS", "χ²", "p"), rows, caption),
        *(note(caveat) for caveat in caveats if caveat),
        figure(paired_differences(frame, base.label), "Differences in Harrell's C on the same bootstrap samples."),
    ]


def estimate(row: Any, digits: int = 3) -> Html:
    """A value with its interval in a line below, for tables of many columns."""
    value, _, limits = interval(row, digits).partition(" ")
    return join([value, tag("small", limits.strip("()"))] if limits else [value])


def _at_horizons(c: Comparison) -> Html:
    measures = [f"{kind}({t:g})" for kind in ("AUC", "Brier") for t in c.horizons]
    values = c.tables["figures"].set_index(["candidate", "measure"])
    rows = [
        (
            judged.label,
            *(estimate(values.loc[key]) if (key := (judged.name, m)) in values.index else "–" for m in measures),
        )
        for judged in c.best_first()
    ]
    return table(("", *measures), rows, f"Table 4. AUC(t) and Brier score; t in {c.time_unit}.")


def _calibration(c: Comparison) -> Html:
    rows = []
    for judged in c.best_first():
        for horizon in c.horizons:
            part = c.rows("calibration", candidate=judged.name, horizon=horizon).set_index("measure")
            if part.empty or judged.role != "model":
                continue
            cells = [interval(part.loc[m], 2) if m in part.index else "–" for m in ("ratio", "intercept", "slope")]
            ici = interval(part.loc["ici"]) if "ici" in part.index else "–"
            rows.append((judged.label, f"{horizon:g}", *cells, ici))
    heads = ("", f"t ({c.time_unit})", "Observed / expected", "Intercept at t", "Calibration slope at t", "ICI")
    return table(
        heads,
        rows,
        "Table 5. Calibration of the risk by t, first repeat. Perfect values, from left to right: 1, 0, 1, 0.",
    )


def _curves(c: Comparison) -> tuple[list[str], list[str]]:
    """The best models, whose curves are drawn; labels of all in the order of their colours, one for all figures."""
    models = [judged for judged in c.best_first() if judged.role == "model"]
    return [judged.name for judged in models[:MOST_CURVES]], [judged.label for judged in models]


def _along_time(facts: Facts, c: Comparison) -> list[Html]:
    names, labels = _curves(c)
    auc, brier = (c.rows("over_time", measure=m).rename(columns={"candidate": "model"}) for m in ("AUC", "Brier"))
    brier = brier.assign(model=brier["model"].replace(NULL_NAME, NULL))
    auc, brier = _in_order(auc, names), _in_order(brier, [*names, NULL])
    left_out = f"Only the {len(names)} best models by Harrell's C are drawn." if len(c.models) > len(names) else ""
    return [
        figure(auc_figure(labelled(c, auc), facts.unit, order=labels), "AUC(t); the dashed line is guessing."),
        figure(
            brier_figure(labelled(c, brier), facts.unit, order=labels),
            "Brier score; a model above the dotted line does worse than one survival curve for all.",
        ),
        *([note(left_out)] if left_out else []),
    ]


def _in_order(frame: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The rows of these models, in this order."""
    chosen = frame[frame["model"].isin(names)]
    return chosen.sort_values("model", key=lambda column: column.map(names.index), kind="stable")


def _decisions(facts: Facts, c: Comparison) -> list[Html]:
    (best, labels), shown = _curves(c), [*(judged.name for judged in c.featured), TREAT_ALL, TREAT_NONE]
    horizon = c.horizons[len(c.horizons) // 2]
    frame = c.rows("decision", horizon=horizon).rename(columns={"candidate": "model"}).drop(columns="horizon")
    frame = _in_order(frame, [name for name in (*best, *shown) if name in shown])
    words = (
        f"Net benefit of treating patients whose risk by {horizon:g} {facts.unit} exceeds the threshold, compared "
        "with treating everyone and treating nobody. Which thresholds are sensible is a clinical question; 10 to 50 "
        "% is shaded."
    )
    return [figure(decision_figure(labelled(c, frame), horizon, facts.unit, SENSIBLE, order=labels), words)]
