"""The result of a comparison at a glance: the best model, by how much, and whether the controls predict nothing."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from common.text import number, p_value
from study.comparison.measuring.added_value import clinical_models, weak_comparator, wrong_way
from study.comparison.measuring.shortcuts import PIXEL_REFERENCES
from study.comparison.record import CandidateResult, Comparison
from study.description.delayed_entry import LATE_ENTRY
from study.errors import StudyError
from survival.metrics.calibration import COX_SLOPE
from survival.metrics.estimate import Estimate
from survival.plots.intervals import concordance_dots, paired_differences
from ui.elements import blocks
from ui.elements.escaping import plain, trusted
from ui.elements.figures import drawn
from ui.elements.glossary import GLOSSARY
from ui.elements.keep_figure import csv_button, figure_block
from ui.elements.tables import DASH, Cell, estimate, table
from ui.elements.text import interval, percent, plain_time
from ui.survival import comparisons

HARRELL, UNO, SCALED, SLOPE = "Harrell C", "Uno C", "scaled IBS", COX_SLOPE


def headline(result: Comparison) -> None:
    """Best model, what it adds to clinical data, and the permuted outcomes, each with its interval."""
    best = result.best()
    c = result.estimate(best.name)
    values = [("C of the best model", f"{c.value:.3f}", f"{best.label}; Harrell's C, {ci(c)}", GLOSSARY["C"])]
    base = next(iter(clinical_models(result)), None)
    other = best if base is None or best.name != base.name else None
    if base is not None and other is not None:
        d = result.difference(other.name, base.name)
        words = f"paired difference in Harrell's C from {base.label}, {ci(d, sign=True)}"
        if weak := weak_comparator(result):
            words = f"{words}. {weak}"
        explanation = "Both models were evaluated on the same patients."
        values.append(("Gain over clinical data", number(d.value, 3, sign=True), words, explanation))
    scored = {c.name for c in result.candidates if not c.error}
    if "shuffled" in scored:
        s = result.estimate("shuffled")
        values.append(
            (
                "Permuted outcomes",
                f"{s.value:.3f}",
                f"Harrell's C, mean of {result.plan.shuffles}, {ci(s)}",
                "The same model and evaluation after the outcomes were permuted at random between patients. C should "
                "be near 0.5 (slightly below is common); if it is clearly above, the evaluation itself is flawed.",
            )
        )
    slope = result.estimate(best.name, SLOPE)
    words = f"of the best model, {ci(slope, 2)}"
    values.append(("Calibration slope (Cox, log hazard)", number(slope.value, 2), words, GLOSSARY["slope"]))
    blocks.value_row("survival", values)
    _truth(result)


def _truth(result: Comparison) -> None:
    """Of a simulated study: what a perfect photo model would reach."""
    truth = result.tables["truth"]
    if truth.empty:
        return
    parts = []
    for row in truth.to_dict("records"):
        low, high, value = row["low"], row["high"], row["value"]
        if row["candidate"]:
            label = result.candidate(str(row["candidate"])).label
            parts.append(f"{label} recovers {percent(value)} of it ({percent(low)} to {percent(high)})")
        else:
            parts.append(f"{row['measure']} {value:.3f} ({low:.3f} to {high:.3f})")
    blocks.note(
        "The study is simulated, so we know what a perfect photo model could reach: "
        + "; ".join(parts)
        + ". Share recovered: (C − 0.5) / (C of the true risk in the face − 0.5)."
    )


def ci(e: Estimate, digits: int = 3, sign: bool = False) -> str:
    """'95 % CI 0.646 to 0.702'. sign: a plus before a gain."""
    return interval(e.low, e.high, digits, sign)


def choose_base(result: Comparison) -> str:
    """The model that the others are compared with: clinical data alone where there are some."""
    called = comparisons.labels(result)
    order = [c.name for c in comparisons.best_first(result)]
    default = next((n for f in ("clinical", "age-sex") for n in order if result.candidate(n).features == f), order[-1])
    return str(
        st.selectbox(
            "Compared with",
            order,
            index=order.index(default),
            format_func=lambda n: called[n],
            key=f"survival-base-{result.study}-{result.name}",
            width=420,
        )
    )


def models_view(result: Comparison, base_name: str) -> None:
    """The table of all candidates with intervals, dots below it, and paired differences."""
    order = comparisons.best_first(result, controls=True)
    _table(result, order)
    blocks.note(
        "All results are out of fold: each patient was scored by models that were not fitted to that patient. In small "
        f"print: 95 % bootstrap intervals over patients ({result.plan.samples:,} samples). Controls come last and "
        "should predict nothing: permuted outcomes, and the background of the photo if it was tested. References "
        "show what pixels of the face predict without a face model. The best of several models looks slightly "
        "better here than it is, because it was picked as the best."
    )
    rows, rank = comparisons.frame(result, "figures"), {c.label: i for i, c in enumerate(order)}
    shown = rows.sort_values("model", key=lambda labels: labels.map(rank), kind="stable").reset_index(drop=True)
    if result.scores.entry is not None:
        blocks.note(LATE_ENTRY)
    csv_button(shown, "csv-models", f"{result.study}-models", "Table as CSV")
    st.space("small")
    plotted = list(dict.fromkeys(result.tables["differences"]["measure"])) or [HARRELL]
    times = ", ".join(plain_time(t) for t in result.horizons)
    about = f"AUC(t) at {times} {result.time_unit}. {GLOSSARY['AUC(t)']} {GLOSSARY['Brier score']}"
    measure = str(st.selectbox("Measure in the plots", plotted, key="survival-measure", width=260, help=trusted(about)))
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown(f"**{plain(measure)} of every model**")
        ordered = comparisons.best_first(result, measure, controls=True)
        rows = comparisons.frame(result, "figures", measure=measure)
        rank = {c.label: i for i, c in enumerate(ordered)}
        rows = rows.sort_values("model", key=lambda labels: labels.map(rank)).reset_index(drop=True)
        reference = 0.5 if measure in (HARRELL, UNO) or measure.startswith("AUC") else 0.0
        figure_block(
            drawn(concordance_dots, rows, measure, reference),
            rows[["model", "measure", "value", "low", "high", "n"]],
            "dots",
            f"{result.study}-{_slug(measure)}",
            f"{measure} of every model with its interval",
            "each square is a model, the line its 95 % interval. The dashed line is guessing; an interval that crosses "
            "it does not rule guessing out.",
        )
    with right:
        base = result.candidate(base_name)
        st.markdown(f"**Differences from {plain(base.label)}**")
        others = [c for c in ordered if c.name not in (base.name, "shuffled")]
        d = [(c.label, result.difference(c.name, base.name, measure)) for c in others]
        rows = pd.DataFrame(
            [(label, e.value, e.low, e.high) for label, e in d], columns=["model", "value", "low", "high"]
        )
        figure_block(
            drawn(paired_differences, rows, base.label, measure),
            rows.assign(compared_with=base.label, measure=measure),
            "differences",
            f"{result.study}-{_slug(measure)}-differences",
            f"Paired differences in {measure}",
            "right of the dashed line a model is better than the one it is compared with"
            + (" (for IBS: worse)" if measure == "IBS" else "")
            + ". Both were evaluated on the same patients, so this interval, not the overlap of two, shows whether "
            "they differ.",
        )
    _added(result, base)


def _columns(result: Comparison) -> dict[str, int]:
    """Measures of the table and their digits."""
    auc = [f"AUC({plain_time(t)})" for t in result.horizons][-1:]
    return {HARRELL: 3, UNO: 3, **dict.fromkeys(auc, 3), SCALED: 3, SLOPE: 2}


def _table(result: Comparison, order: list[CandidateResult]) -> None:
    columns = _columns(result)
    heads = {
        SLOPE: "Calibration slope (Cox, log hazard)",
        UNO: f"Uno C to {plain_time(round(result.tau, 1))} {result.time_unit}",
        **{m: f"AUC at {m[4:-1]} {result.time_unit}" for m in columns if m.startswith("AUC")},
        SCALED: "Scaled Brier score",
    }
    rows = [
        [
            Cell(candidate.label, _tag(candidate)),
            *(_cell(result, candidate.name, measure, digits) for measure, digits in columns.items()),
        ]
        for candidate in order
    ]
    rows += [
        [Cell(candidate.label), Cell(f"not fitted: {candidate.error}", columns=len(columns))]
        for candidate in result.candidates
        if candidate.error
    ]
    table(["Model", *(heads.get(m, m) for m in columns)], rows, "lh-table lh-models")


def _tag(candidate: CandidateResult) -> str:
    """Whether a row is a control, which should predict nothing, or a reference made of the photo's pixels."""
    if candidate.role != "control":
        return ""
    return "reference" if candidate.features in PIXEL_REFERENCES else "control"


def _cell(result: Comparison, name: str, measure: str, digits: int) -> Cell:
    try:
        e = result.estimate(name, measure)
    except StudyError:
        return Cell(DASH)
    return estimate(e.value, e.low, e.high, digits)


def _added(result: Comparison, base: CandidateResult) -> None:
    """Whether the others' scores add anything to the base model's."""
    rows = result.tables["added_value"]
    rows = rows[rows["base"] == base.name]
    if rows.empty:
        return
    called = comparisons.labels(result)
    weak = weak_comparator(result) if base.features == "clinical" else ""
    st.markdown(f"**Added value over {plain(base.label)}**")
    table(
        ["Score added", "χ²", "df", "Likelihood-ratio test"],
        [
            [called[str(r["added"])], f"{r['chisq']:.1f}", f"{r['df']:d}", p_value(float(r["p"]), named=True)]
            for r in rows.sort_values("chisq", ascending=False).to_dict("records")
        ],
        "lh-table lh-models",
    )
    blocks.note(
        "Each row adds one model's out-of-fold score to a Cox regression that already contains the other model's "
        "score (first repeat). A small p value shows that it adds information; how much is shown by the paired "
        "difference above. " + " ".join(filter(None, (wrong_way(result, [str(name) for name in rows["added"]]), weak)))
    )
    csv_button(rows, "csv-added", f"{result.study}-added-value")


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text.lower()).strip("-")
