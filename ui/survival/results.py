"""The result of a comparison at a glance: which model is best, by how much, and whether the controls are silent."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from study.comparison.measuring.added_value import clinical_models, weak_comparator
from study.description.clinical import LATE_ENTRY
from survival.metrics.calibration import COX_SLOPE
from ui.elements import page
from ui.elements.escaping import plain, trusted
from ui.elements.figures import drawn
from ui.elements.keep_figure import csv_button, figure_block
from ui.elements.text import GLOSSARY, number, percent, plain_time
from ui.survival import opened as files

if TYPE_CHECKING:
    from study.comparison.record import Comparison, Judged
    from survival.metrics.estimate import Estimate

HARRELL, UNO, SCALED, SLOPE = "Harrell C", "Uno C", "scaled IBS", COX_SLOPE
MEASURES = {
    HARRELL: GLOSSARY["C"],
    UNO: GLOSSARY["Uno"],
    SCALED: "How much of the Kaplan-Meier curve's prediction error over time is taken away: 0 is no better than giving "
    "everyone the same curve, 1 is perfect.",
    SLOPE: GLOSSARY["slope"],
}


def headline(result: Comparison) -> None:
    """Best model, what it adds to clinical data, and the shuffled control, each with its interval."""
    best = result.best()
    c = result.figure(best.name)
    figures = [("Best model's C", f"{c.value:.3f}", f"{best.label}; Harrell's C, {interval(c)}", GLOSSARY["C"])]
    base = next(iter(clinical_models(result)), None)
    other = best if base is None or best.name != base.name else None
    if base is not None and other is not None:
        d = result.difference(other.name, base.name)
        told = f"paired difference in Harrell's C to {base.label}, {interval(d, signed=True)}"
        if weak := weak_comparator(result):
            told = f"{told}. {weak}"
        figures.append(("More than clinical data", f"{d.value:+.3f}", told, "Both models judged on the same patients."))
    scored = {c.name for c in result.candidates if not c.error}
    if "shuffled" in scored:
        s = result.figure("shuffled")
        figures.append(
            (
                "Shuffled outcome",
                f"{s.value:.3f}",
                f"Harrell's C, mean of {result.plan.shuffles}, {interval(s)}",
                "The same model and evaluation on outcomes that were dealt to other patients. It must be near 0.5 "
                "(a little below is usual: of what a test fold has more, its training part has less); above it, the "
                "evaluation itself would be flawed.",
            )
        )
    slope = result.figure(best.name, SLOPE)
    figures.append(
        (
            "Calibration slope (Cox, log hazard)",
            f"{slope.value:.2f}",
            f"of the best model, {interval(slope, 2)}",
            GLOSSARY["slope"],
        )
    )
    page.figure_row("survival", figures)
    _truth(result)


def _truth(result: Comparison) -> None:
    """Of a simulated study: what a perfect photo model would reach."""
    table = result.tables["truth"]
    if table.empty:
        return
    told = []
    for row in table.to_dict("records"):
        low, high, value = row["low"], row["high"], row["value"]
        if row["candidate"]:
            label = result.candidate(str(row["candidate"])).label
            told.append(f"{label} recovers {percent(value)} of it ({percent(low)} to {percent(high)})")
        else:
            told.append(f"{row['measure']} {value:.3f} ({low:.3f} to {high:.3f})")
    page.note(
        "The study is simulated, so what could be reached is known: "
        + "; ".join(told)
        + ". Share recovered: (C − 0.5) / (C of the true face hazard − 0.5)."
    )


def interval(e: Estimate, digits: int = 3, signed: bool = False) -> str:
    """'95 % CI 0.646 to 0.702'."""
    if not (np.isfinite(e.low) and np.isfinite(e.high)):
        return "too few events for an interval"
    sign = "+" if signed else ""
    return f"95 % CI {e.low:{sign}.{digits}f} to {e.high:{sign}.{digits}f}"


def choose_base(result: Comparison) -> str:
    """The model that the others are compared with: clinical data alone where there are some."""
    called = files.labels(result)
    order = [c.name for c in files.best_first(result)]
    usual = next((n for f in ("clinical", "age-sex") for n in order if result.candidate(n).features == f), order[-1])
    return str(
        st.selectbox(
            "Compared with",
            order,
            index=order.index(usual),
            format_func=lambda n: called[n],
            key=f"survival-base-{result.study}-{result.name}",
            width=420,
        )
    )


def models_view(result: Comparison, base_name: str) -> None:
    """The table of all candidates with intervals, dots beside it, and paired differences."""
    from survival.plots import concordance_dots, paired_differences

    order = files.best_first(result, controls=True)
    _table(result, order)
    page.note(
        "All figures are out of fold: each patient was scored by models that never saw that patient. In small print: "
        f"95 % bootstrap intervals over patients ({result.plan.samples:,} samples). Controls come last: "
        "chance should tell nothing, and the backdrop of a photo, where it was looked at, as good as nothing. The best "
        "of several models looks a little better here than it is, for being chosen."
    )
    shown = _wide(result, order)
    if result.scores.entry is not None:
        page.note(LATE_ENTRY)
    csv_button(shown, "csv-models", f"{result.study}-models", "Table as CSV")
    st.space("small")
    measure = str(
        st.selectbox(
            "Measure in the plots", _plotted(result), key="survival-measure", width=260, help=trusted(_help(result))
        )
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{plain(measure)} of every model**")
        ordered = files.best_first(result, measure, controls=True)
        own = files.frame(result, "figures", measure=measure)
        rank = {c.label: i for i, c in enumerate(ordered)}
        own = own.sort_values("model", key=lambda labels: labels.map(rank)).reset_index(drop=True)
        reference = 0.5 if measure in (HARRELL, UNO) or measure.startswith("AUC") else 0.0
        figure_block(
            drawn(concordance_dots, own, measure, reference),
            own[["model", "measure", "value", "low", "high", "n"]],
            "dots",
            f"{result.study}-{_slug(measure)}",
            f"{measure} of every model with its interval",
            "each square is a model, the line its 95 % interval. The dashed line is what guessing reaches; an interval "
            "that crosses it does not rule guessing out.",
        )
    with right:
        base = result.candidate(base_name)
        st.markdown(f"**Differences to {plain(base.label)}**")
        rows = _differences(result, base, [c for c in ordered if c.name not in (base.name, "shuffled")], measure)
        figure_block(
            drawn(paired_differences, rows, base.label, measure),
            rows.assign(compared_with=base.label, measure=measure),
            "differences",
            f"{result.study}-{_slug(measure)}-differences",
            f"Paired differences in {measure}",
            "right of the dashed line a model is better than the one it is compared with"
            + (" (for IBS: worse)" if measure == "IBS" else "")
            + ". Both were judged on the same patients, so this interval, not the overlap of two, says whether they "
            "differ.",
        )
    _added(result, base)


def _plotted(result: Comparison) -> list[str]:
    there = list(dict.fromkeys(result.tables["differences"]["measure"]))
    return there or [HARRELL]


def _help(result: Comparison) -> str:
    times = ", ".join(plain_time(t) for t in result.horizons)
    return (
        f"AUC(t) at {times} {result.time_unit}: of a patient who had the event by t and one who had not, how often "
        "the first had the higher risk. IBS: prediction error over time, lower is better."
    )


def _differences(result: Comparison, base: Judged, others: list[Judged], measure: str) -> pd.DataFrame:
    rows = []
    for judged in others:
        d = result.difference(judged.name, base.name, measure)
        rows.append((judged.label, d.value, d.low, d.high))
    return pd.DataFrame(rows, columns=["model", "value", "low", "high"])


def _columns(result: Comparison) -> dict[str, int]:
    """Measures of the table and their digits."""
    auc = [f"AUC({plain_time(t)})" for t in result.horizons][-1:]
    return {HARRELL: 3, UNO: 3, **dict.fromkeys(auc, 3), SCALED: 3, SLOPE: 2}


def _table(result: Comparison, order: list[Judged]) -> None:
    columns = _columns(result)
    heads = {
        SLOPE: "Calibration slope (Cox, log hazard)",
        UNO: f"Uno C to {plain_time(round(result.tau, 1))} {result.time_unit}",
        **{m: f"AUC at {m[4:-1]} {result.time_unit}" for m in columns if m.startswith("AUC")},
        SCALED: "Scaled IBS",
    }
    cells = []
    for judged in order:
        own = "".join(f"<td>{_cell(result, judged.name, m, digits)}</td>" for m, digits in columns.items())
        small = "<small>control</small>" if judged.role == "control" else ""
        cells.append(f'<tr><th scope="row">{html.escape(judged.label)} {small}</th>{own}</tr>')
    for judged in result.candidates:
        if judged.error:
            told = f'<td colspan="{len(columns)}">not fitted: {html.escape(judged.error)}</td>'
            cells.append(f'<tr><th scope="row">{html.escape(judged.label)}</th>{told}</tr>')
    head = "".join(f'<th scope="col">{html.escape(heads.get(m, m))}</th>' for m in columns)
    st.html(
        f'<div class="lh-scroll"><table class="lh-table lh-models"><thead><tr><th scope="col">Model</th>{head}</tr>'
        f"</thead><tbody>{''.join(cells)}</tbody></table></div>"
    )


def _cell(result: Comparison, name: str, measure: str, digits: int) -> str:
    from study.errors import StudyError

    try:
        e = result.figure(name, measure)
    except StudyError:
        return "–"
    if not np.isfinite(e.value):
        return "–"
    known = np.isfinite(e.low) and np.isfinite(e.high)
    small = f"{number(e.low, digits)} to {number(e.high, digits)}" if known else "no interval"
    return f"{number(e.value, digits)} <small>{small}</small>"


def _wide(result: Comparison, order: list[Judged]) -> pd.DataFrame:
    """Every figure of every candidate, best first, for download."""
    table = files.frame(result, "figures")
    rank = {c.label: i for i, c in enumerate(order)}
    return table.sort_values("model", key=lambda labels: labels.map(rank), kind="stable").reset_index(drop=True)


def _added(result: Comparison, base: Judged) -> None:
    """Whether the others' scores tell anything beside the base model's."""
    from common.text import p_value
    from study.comparison.measuring.caveats import wrong_way

    table = result.tables["added_value"]
    own = table[table["base"] == base.name]
    if own.empty:
        return
    called = files.labels(result)
    weak = weak_comparator(result) if base.features == "clinical" else ""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(called[str(r["added"])])}</th><td>{r["chisq"]:.1f}</td><td>{r["df"]:d}</td>'
        f"<td>{p_value(float(r['p']), named=True)}</td></tr>"
        for r in own.sort_values("chisq", ascending=False).to_dict("records")
    )
    st.markdown(f"**What the others tell beside {plain(base.label)}**")
    st.html(
        '<table class="lh-table lh-models"><thead><tr><th scope="col">Out-of-fold score added</th>'
        '<th scope="col">χ²</th>'
        f'<th scope="col">df</th><th scope="col">Likelihood-ratio test</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    page.note(
        "Each row adds one model's out-of-fold score to a Cox regression that has the other's already (first repeat). "
        "A small p says that it tells something the other does not; how much is in the paired difference above. "
        + " ".join(filter(None, (wrong_way(result, [str(name) for name in own["added"]]), weak)))
    )
    csv_button(own, "csv-added", f"{result.study}-added-value")


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")
