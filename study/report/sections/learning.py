"""How well the model predicts by the number of patients."""

from __future__ import annotations

from common.html import Html
from study.comparison.provenance import stale_reasons
from study.learning_curve.reference import WORDS, reference
from study.report.facts import Facts
from study.report.page import bullets, figure, note, paragraph, section, subsection, table, warning
from study.report.words import interval
from survival.plots.learning_curve import learning_figure


def learning(facts: Facts) -> Html:
    """Section Learning curve."""
    result = facts.learning_curve
    if result is None:
        words = f"Not measured (python -m study learning-curve {facts.study.name})."
        return section("learning", "Learning curve", note(words))
    parts = [
        paragraph(
            f"{result.label}: in each of {result.plan.repeats} × {result.plan.folds} folds by patient the model was "
            "fitted to random parts of the training patients, events in the cohort's proportion, and evaluated on the "
            "patients left out. The curve through the values is limit − drop × patients^−power; its band comes from "
            "bootstrap samples of patients and repeats. That the curve goes on in this way beyond the study's patients "
            "is an assumption."
        ),
        bullets([*result.sentences(), *map(facts.without_ids, result.notes)]),
    ]
    if reasons := stale_reasons(facts.study, result):
        parts.append(warning(f"Out of date: {' '.join(reasons)}"))
    for measure in result.measures:
        points, curve = result.of(measure)
        grey = reference(measure)
        target = next((t.target for t in result.targets if t.measure == measure), None)
        rows = [(f"{r['patients']:,.0f}", f"{r['events']:,.0f}", interval(r)) for r in points.to_dict("records")]
        caption = f"{measure} by the number of patients." + (f" {WORDS}" if grey is not None else "")
        parts.append(
            subsection(
                measure,
                figure(learning_figure(points, curve, measure, grey, target), caption),
                table(("Patients", "Events", f"{measure} (95 % CI)"), rows, numbers=0),
            )
        )
    return section("learning", "Learning curve", *parts)
