"""Controls against shortcuts: what a model must not be able to do, and what might lead it astray."""

from __future__ import annotations

from common.text import number, p_value
from study.comparison.record import CONTROL
from study.description.inversion_error import ERROR, ErrorSurvival, Ratio
from study.report.facts import Facts
from study.report.page import Html, bullets, paragraph, section, subsection, table, warning
from study.report.sections.shortcuts import changed_photos, is_shortcut, not_run, shortcuts
from study.report.words import interval


def robustness(facts: Facts) -> Html:
    """Section Robustness and shortcuts."""
    parts = [_controls(facts), shortcuts(facts), changed_photos(facts), _errors(facts), _truth(facts), not_run(facts)]
    told = [part for part in parts if part]
    return section("robustness", "Robustness and shortcuts", *told) if told else Html("")


def _controls(facts: Facts) -> Html:
    c = facts.comparison
    if c is None:
        return Html("")
    rows = [
        (judged.label, interval(c.figure(judged.name)))
        for judged in c.candidates
        if judged.role == CONTROL and not is_shortcut(judged) and not judged.error
    ]
    parts = [
        paragraph(
            "Where outcomes are dealt to other patients there is nothing to know: the same model and evaluation on "
            "such outcomes must give a C about 0.5, and one that leaks would lie above. A random direction of the "
            "codes, whose sign and size alone are fitted, shows what any direction reaches that was chosen without a "
            "look at the outcome: a model must do clearly better."
        )
    ]
    parts += [table(("Control", "Harrell C (95 % CI)"), rows)] if rows else [paragraph("No control was run.")]
    shuffles = c.tables["shuffles"]
    if len(shuffles) > 1:
        each = ", ".join(number(v) for v in shuffles["harrell"])
        mean, low, high = (number(v) for v in (shuffles["harrell"].agg(["mean", "min", "max"])))
        parts.append(
            paragraph(
                f"{len(shuffles)} shuffles of the outcome gave C {each} (mean {mean}, {low} to {high}): a procedure "
                "that leaks would lie above 0.5."
            )
        )
    return subsection("Controls", *parts)


def _errors(facts: Facts) -> Html:
    found = facts.errors
    if found is None:
        return Html("")
    parts = [
        paragraph(
            "A model of codes could read how well a photo can be reconstructed in place of the person. Cox regression "
            f"of the outcome on the {ERROR} of each reconstruction and on quality flags of the photos."
        )
    ]
    if found.alone:
        adjusted = {r.name: r for r in found.together}
        rows = [(_name(r), _ratio(r), _ratio(adjusted.get(r.name))) for r in found.alone]
        last = f"Adjusted for {', '.join(found.adjusted_for)}" if found.adjusted_for else "Adjusted"
        parts.append(table(("Hazard ratio (95 % CI), p", "Alone", last), rows))
    parts += [warning(facts.without_ids(words)) for words in found.warnings]
    parts += [bullets([facts.without_ids(words) for words in found.notes])]
    parts += [] if found.warnings or not found.alone else [_no_sign(found)]
    return subsection("Inversion error, photo quality and survival", *parts)


def _no_sign(found: ErrorSurvival) -> Html:
    first = found.alone[0]
    return paragraph(
        f"No sign that the error goes along with survival; hazard ratios between {first.low:.2f} and {first.high:.2f} "
        "are not excluded."
    )


def _name(r: Ratio) -> str:
    return f"{r.name}, per SD" if r.per == "SD" else f"{r.name} ({r.patients} photos)"


def _ratio(r: Ratio | None) -> str:
    return "–" if r is None else f"{r.hr:.2f} ({r.low:.2f} to {r.high:.2f}), p {_p(r.p)}"


def _p(p: float) -> str:
    words = p_value(p)
    return words if words.startswith("<") else f"= {words}"


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
        paragraph("Only a simulated study knows its hazard: what a perfect model would reach, and what the models do."),
        table(("", "Value (95 % CI)"), rows),
    )
