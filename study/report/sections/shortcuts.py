"""What a model can read from the photo apart from the face, and how far a score moves when only the photo changes."""

from __future__ import annotations

from common.html import Html
from common.text import listed, number
from study.comparison.measuring.shortcuts import BACKDROP, SHORTCUT_SETS, WHOLE
from study.comparison.record import CONTROL, CandidateResult, Comparison
from study.report.facts import Facts
from study.report.page import figure, note, paragraph, subsection, table, warning
from study.report.words import interval, signed
from study.robustness.record import Robustness, stale_reasons
from survival.plots.intervals import interval_figure

CHANGE_AXIS = "Change of log HR, in SD (95 % CI)"  # short enough for a telephone


def is_shortcut(judged: CandidateResult) -> bool:
    """Whether a candidate looks at a part of the photo as a control."""
    return judged.role == CONTROL and judged.features in SHORTCUT_SETS


def shortcuts(facts: Facts) -> Html:
    """Subsection with backdrop, face, blurred and whole photo; empty where they were not run."""
    c = facts.comparison
    controls = [judged for judged in c.candidates if is_shortcut(judged)] if c is not None else []
    if c is None or not controls:
        return Html("")
    photo = photo_model(c)
    rows = []
    for judged in controls:
        if judged.error:
            rows.append((judged.label, f"not fitted: {judged.error}", "–"))
            continue
        less = signed(c.difference(judged.name, photo.name)) if photo is not None else "–"
        rows.append((judged.label, interval(c.estimate(judged.name)), less))
    heads = ("Pixels of", "Harrell C (95 % CI)", f"Minus {photo.label}, paired" if photo else "")
    parts = [
        paragraph(
            "The same ridge Cox model on pixels of parts of the aligned photo at 32 px, on the same folds. The "
            "backdrop (shoulders at its edge included, hair and neck not) shows nothing of the face: whatever it "
            "achieves, a photo model may achieve from how photos were taken. A photo blurred so that nobody can be "
            "recognised still shows light, colour and outline. The same pixels are used for all photos, so that no "
            "mask reveals the shape of a face."
        ),
        table(heads, rows),
        _verdict(c, controls),
    ]
    return subsection("Parts of the photo", *parts)


def photo_model(c: Comparison) -> CandidateResult | None:
    """The model that shortcuts are measured by: the best one of the codes, else the best of all."""
    of_codes = [judged for judged in c.models if judged.features == "photo"]
    if of_codes:
        return max(of_codes, key=lambda judged: c.estimate(judged.name).value)
    return c.best() if c.models else None


def _verdict(c: Comparison, controls: list[CandidateResult]) -> Html:
    fitted = {judged.name for judged in controls if not judged.error}
    if BACKDROP not in fitted:
        return Html("")
    e = c.estimate(BACKDROP)
    if e.high - e.low < 1e-9:
        return paragraph("The backdrop does not predict the outcome: at no penalty was it better than no model at all.")
    share = ""
    if WHOLE in fitted and (whole := c.estimate(WHOLE).value) > 0.5:
        part = max(0.0, (e.value - 0.5) / (whole - 0.5))
        share = f" That is {100 * part:.0f} % of what the whole photo's pixels reach above 0.5."
    if e.low > 0.5:
        words = f"The backdrop alone predicts the outcome: C {interval(e)}.{share} A part of any score of these photos "
        return warning(words + "may be read from how they were taken, not from the person.")
    return paragraph(
        f"No evidence that the backdrop predicts the outcome: C {interval(e)}.{share} Values up to {number(e.high)} "
        "are not excluded."
    )


def changed_photos(facts: Facts) -> Html:
    """Subsection with the study's model under changes of the photo; empty where it was not measured."""
    result = facts.robustness
    if result is None:
        return Html("")
    rows = [
        (
            *(c.label, signed(c.mean, 2), interval(c.size, 2), number(c.largest, 2)),
            f"{c.patients}" + (f", {c.failed} without a face" if c.failed else ""),
        )
        for c in result.conditions
    ]
    drawn = interval_figure(result.frame(), CHANGE_AXIS, 0.0, signed=True, digits=2)
    heads = ("Change of the photo", "Mean change", "Mean absolute change", "Largest", "Patients")
    caption = (
        f"In standard deviations of the cohort's out-of-fold log hazard ratio ({result.sd:.3f}); 95 % bootstrap "
        "intervals over patients."
    )
    parts = [
        paragraph(
            f"Photos of {result.patients} patients, sampled with seed {result.seed}, were changed in one way at a "
            f"time and passed through the study's alignment, inversion (preset {result.preset}) and model "
            f"({result.model}). Nothing about the person changed, so a score that depends on the person alone would "
            "stay the same."
        ),
        table(heads, rows, caption),
        figure(drawn, "Mean change of the score under each change of the photo; the line at 0 means no change."),
        paragraph(" ".join(agreement_words(result))),
    ]
    if reasons := stale_reasons(facts.study, result):
        parts.append(warning(f"Out of date: {' '.join(reasons)}"))
    return subsection("The same person, another photo", *parts)


def agreement_words(result: Robustness) -> list[str]:
    """Sentences on ICC, mean size and what limits them."""
    return [
        f"Over all changes the score moves by {interval(result.size, 2)} standard deviations (mean absolute change). "
        f"ICC(2,1) over the unchanged and all changed photos of {result.complete} patients: "
        f"{interval(result.icc, 2)}; 1 means that the photo does not matter. It describes simulated changes of one "
        "photo; photos from two visits differ more.",
        *result.caveats,
    ]


def not_run(facts: Facts) -> Html:
    """What was not measured, and the command that does it."""
    if not facts.study.photos:
        return Html("")
    name, rest = facts.study.name, []
    c = facts.comparison
    if c is None or not any(is_shortcut(judged) for judged in c.candidates):
        rest.append(f"parts of the photo on their own (python -m study compare {name} --controls)")
    if facts.robustness is None:
        rest.append(f"photos changed in light, colour, blur, compression, pose (python -m study robustness {name})")
    never = ["accessories alone", "glasses and garments put on", "a second photo of the same person (test-retest)"]
    parts = [note(f"Not measured: {listed(rest)}.")] if rest else []
    parts.append(note(f"Not done by this software and left to the authors: {listed(never)}."))
    return Html("".join(parts))
