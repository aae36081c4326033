"""Controls against shortcuts: what a model must not achieve, and what might mislead it."""

from __future__ import annotations

from common import text
from common.html import Html
from common.text import DASH, count, number, p_value
from study.comparison.record import CONTROL
from study.description.inversion_error import ERROR, Ratio
from study.report.facts import Facts
from study.report.page import bullets, paragraph, section, subsection, table, warning
from study.report.sections.shortcuts import changed_photos, is_shortcut, not_run, shortcuts
from study.report.words import interval


def robustness(facts: Facts) -> Html:
    """Section Robustness and shortcuts."""
    parts = [_controls(facts), shortcuts(facts), changed_photos(facts), _errors(facts), _truth(facts), not_run(facts)]
    shown = [part for part in parts if part]
    return section("robustness", "Robustness and shortcuts", *shown) if shown else Html("")


def _controls(facts: Facts) -> Html:
    c = facts.comparison
    if c is None:
        return Html("")
    rows = [
        (judged.label, interval(c.estimate(judged.name)))
        for judged in c.candidates
        if judged.role == CONTROL and not is_shortcut(judged) and not judged.error
    ]
    parts = [
        paragraph(
            "If outcomes are assigned to patients at random, there is nothing to learn: the same model and evaluation "
            "must then give a C of about 0.5, and a procedure that leaks information would give more. A random "
            "direction of the codes (the numbers that describe a photo to the face model), of which only sign and size "
            "are fitted, shows what can be reached almost without using the outcome: a model must do clearly better."
        )
    ]
    parts += [table(("Control", "Harrell C (95 % CI)"), rows)] if rows else [paragraph("No control was run.")]
    shuffles = c.tables["shuffles"]
    if len(shuffles) > 1:
        each = ", ".join(number(v) for v in shuffles["harrell"])
        mean, low, high = (number(v) for v in (shuffles["harrell"].agg(["mean", "min", "max"])))
        parts.append(
            paragraph(f"{len(shuffles)} permutations of the outcome gave C {each} (mean {mean}, {low} to {high}).")
        )
    return subsection("Controls", *parts)


def _errors(facts: Facts) -> Html:
    errors = facts.errors
    if errors is None:
        return Html("")
    parts = [
        paragraph(
            "A model of codes could depend on how well a photo can be reconstructed, and not on the person. Cox "
            f"regression of the outcome on the {ERROR} of each reconstruction and on quality flags of the photos."
        )
    ]
    if errors.alone:
        adjusted = {r.name: r for r in errors.together}
        names = [
            f"{r.name}, per SD" if r.per == "SD" else f"{r.name} ({count(r.patients, 'photo')})" for r in errors.alone
        ]
        rows = [(n, _ratio(r), _ratio(adjusted.get(r.name))) for n, r in zip(names, errors.alone, strict=True)]
        last = f"Adjusted for {', '.join(errors.adjusted_for)}" if errors.adjusted_for else "Adjusted"
        parts.append(table(("Hazard ratio (95 % CI), p", "Alone", last), rows))
    parts += [warning(facts.without_ids(words)) for words in errors.warnings]
    parts += [bullets([facts.without_ids(words) for words in errors.notes])]
    if errors.alone and not errors.warnings:
        words = "No evidence that the error is associated with survival; hazard ratios between"
        first = errors.alone[0]
        parts.append(paragraph(f"{words} {first.low:.2f} and {first.high:.2f} are not excluded."))
    return subsection("Inversion error, photo quality and survival", *parts)


def _ratio(r: Ratio | None) -> str:
    return DASH if r is None else f"{text.interval(r.hr, r.low, r.high, 2)}, {p_value(r.p, named=True)}"


def _truth(facts: Facts) -> Html:
    c = facts.comparison
    if c is None or c.tables["truth"].empty:
        return Html("")
    labels = {judged.name: judged.label for judged in c.candidates}
    rows = [
        (f"{r['measure']}{', ' + labels.get(r['candidate'], r['candidate']) if r['candidate'] else ''}", interval(r))
        for r in c.tables["truth"].to_dict("records")
    ]
    return subsection(
        "Against the truth",
        paragraph(
            "The true hazard is known only because the study is simulated: what a perfect model would reach, "
            "and what the models do reach."
        ),
        table(("", "Value (95 % CI)"), rows),
    )
