"""What became of a portrait: how well the code fits the photo, what the model says, files to take away."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from survival.plots.labels import plain_figure
from ui.background.task import Job
from ui.elements import figures, pictures, scroll
from ui.elements.escaping import plain
from ui.elements.page import facts, figure_row, heat_legend, note, picture
from ui.elements.text import GLOSSARY, number, ordinal, plain_time, probability, ratio, signed, times_hazard
from ui.shell.session import SENTENCES, Portrait

if TYPE_CHECKING:
    from latent.checkpoints import Checkpoint
    from latent.inversion.settings import InversionSettings
    from study.scoring.score import Score, Withheld
    from ui.background.task import Reporter
    from ui.shell.resources import Cohort

LOSS_NAME = "Loss"
POOR_FIT = 0.95  # share of the cohort that is drawn more closely, from which on the page warns


def start(portrait: Portrait, cohort: Cohort, checkpoint: Checkpoint, settings: InversionSettings, guard: Any) -> None:
    """Begin to invert and score the portrait's aligned face in the background."""
    from latent.errors import Cancelled
    from study.errors import StudyError
    from study.scoring.score import Refused

    face = portrait.aligned
    if face is None:
        return
    if portrait.job is not None:
        portrait.job.cancel()

    confirmed = portrait.confirmed

    def work(report: Reporter) -> Score | Withheld:
        def on_step(step: Any) -> None:
            losses = {LOSS_NAME: step.losses["total"]}
            fraction = step.step / max(step.steps, 1)
            report(fraction, f"Step {step.step} of {step.steps}", step.seconds_left, step.image, losses)

        report(0.0, "Opening the networks")
        (result,) = cohort.scorer.score_faces([face], settings, on_step, report.cancelled, confirmed)
        if isinstance(result, Refused):
            raise StudyError(result.reason)
        return result

    portrait.forget_tuning()  # it was made for the code of the last score
    portrait.score, portrait.withheld, portrait.scored = None, None, face
    portrait.job = Job("inversion", work, guard, readable=SENTENCES, stopped=(Cancelled,)).start()
    scroll.ask("progress")


def collect(portrait: Portrait) -> None:
    """Take over the result of a job that is done."""
    if portrait.job is not None and portrait.job.snapshot().state == "done":
        _take(portrait, portrait.job.result)
        portrait.job = None
        scroll.ask("outcome")


def _take(portrait: Portrait, result: Score | Withheld | None) -> None:
    """What became of the face: its score, or why it has none."""
    from study.scoring.score import Score

    portrait.score = result if isinstance(result, Score) else None
    portrait.withheld = None if result is None or isinstance(result, Score) else result


def current(portrait: Portrait, cohort: Cohort) -> Score | None:
    """The score, where it is of the face on screen and by the model on screen."""
    score = portrait.score if portrait.scored is portrait.aligned else None
    return score if score is not None and score.stamp == cohort.stamp else None


def outdated(portrait: Portrait, cohort: Cohort) -> bool:
    """Say so where the photo was scored by another model than that on screen, and offer to score it again."""
    score = portrait.score
    if score is None or score.stamp == cohort.stamp:
        return False
    same = score.inversion.checkpoint_sha256 == cohort.scorer.checkpoint.sha256
    st.warning(
        "The study's model, the study or the checkpoint changed since this photo was scored, so its figures are not "
        "shown. "
        + ("Its code is still valid: only the score has to be computed again." if same else "Score the photo again."),
        title="Out of date: scored by an earlier model",
        icon=":material/update:",
    )
    if same:
        st.button("Score again", key="score-again", icon=":material/refresh:", on_click=again, args=(portrait, cohort))
    return True


def again(portrait: Portrait, cohort: Cohort) -> None:
    """Score the portrait's code by the model on screen (runs before the page)."""
    if portrait.score is not None and portrait.scored is not None:
        _take(portrait, cohort.scorer.score_inversion(portrait.score.inversion, portrait.scored, portrait.confirmed))


def original(portrait: Portrait, checkpoint: Checkpoint) -> np.ndarray:
    """The aligned face as the model sees it, uint8 (R, R, 3)."""
    from study.photos.prepare import pixels_for

    assert portrait.aligned is not None
    return pixels_for(checkpoint, portrait.aligned)


def withheld(portrait: Portrait) -> Withheld | None:
    """Why the face on screen has no figures, where its code is too far from a face."""
    return portrait.withheld if portrait.scored is portrait.aligned else None


def show_fit(score: Score | Withheld, original: np.ndarray) -> None:
    """Original, reconstruction and difference, and how close they are. original: uint8 at the model's resolution."""
    inversion = score.inversion
    made = inversion.reconstruction
    side = made.shape[0]
    columns = st.columns(3, gap="medium")
    picture(
        columns[0], pictures.data_uri(original), "Original", f"aligned, {side} px as the model sees it", "The photo"
    )
    picture(
        columns[1], pictures.data_uri(made), "Reconstruction", "drawn from the W+ code", "Reconstruction from the code"
    )
    difference = pictures.data_uri(pictures.difference(made, original))
    picture(columns[2], difference, "Difference", "amplified; mean of the three channels", "Where the two differ")
    heat_legend(columns[2], pictures.heat_gradient(), f"\u2265 {100 * pictures.HEAT_FULL:.0f} % of the grey range")
    m = inversion.metrics
    name = str(m["perceptual_name"])
    figure_row(
        "fit",
        [
            (name, number(m["perceptual"]), "no unit, 0 is identical", GLOSSARY.get(name, "")),
            ("PSNR", f"{number(m['psnr'], 1)} dB", "of the pixels", GLOSSARY["PSNR"]),
            ("SSIM", number(m["ssim"], 2), "of the pixels, 1 is identical", GLOSSARY["SSIM"]),
            ("Identity distance", number(m["identity"], 2), "0 is identical", GLOSSARY["identity"]),
        ],
    )


def fit_words(score: Score, cohort: Cohort) -> tuple[str, bool]:
    """How this code's distance to its photo compares with the cohort's, in a sentence ("" where it cannot be told);
    and whether the code has missed much of the face."""
    from study.scoring.score import share_closer

    share = share_closer(cohort.study, score.inversion)
    if share is None:
        return "", False
    below = math.floor(100 * share)  # rounded down: 100 only where it is all of them
    return (
        f"{below} % of the cohort's photos are drawn more closely by their codes than this one is.",
        share >= POOR_FIT,
    )


def show_risk(score: Score, cohort: Cohort, patient: str) -> None:
    """What the model says of the code, over the cohort: in words, as figures beside the curve, and how far to trust
    it."""
    study = cohort.study
    st.html(f'<p class="lh-verdict">{html.escape(verdict(score))}</p>')
    if score.risk.extrapolated:
        st.warning(plain(score.risk.extrapolation), title="Extrapolated", icon=":material/moving:")
    fit, poor = fit_words(score, cohort)
    if poor:
        st.warning(
            f"{plain(fit)} The code has missed much of this face, and the score knows nothing but the code.",
            icon=":material/warning:",
        )
    left, right = st.columns([5, 6], gap="medium")
    with left:
        figure_row("risk", _tiles(score, study.time_unit), columns=2)
        for sentence in score.risk.left_out:
            note(sentence)
    with right:
        st.markdown("**Survival of people with this score, over the cohort's quarters of risk**")
        figure = figures.face_over_quarters(score, cohort)
        st.plotly_chart(
            plain_figure(figure), theme=None, alt="Survival curve of this face over the cohort's four quarters"
        )
        note("Quarters: Kaplan-Meier with 95 % bands, patients grouped by out-of-fold score.")
    _trust(cohort)
    if patient:
        st.info(plain(_in_cohort(cohort, patient)), icon=":material/group:")
    elif study.simulated:
        st.warning(
            "The model has learned from rendered portraits and survival times drawn from a formula. For a photo of a "
            "real person these figures show how the method works, and nothing about the person.",
            icon=":material/science:",
        )
    if fit and not poor:
        note(fit)


def verdict(score: Score) -> str:
    """The result in a sentence: place among the cohort and hazard ratio."""
    return f"{ordinal(score.percentile)} percentile of risk: {times_hazard(score.hr)}."


def _tiles(score: Score, unit: str) -> list[tuple[str, str, str, str]]:
    mark = "extrapolated; " if score.risk.extrapolated else ""
    log_hr = f"{mark}to the median; log-HR {signed(score.log_hr)}"
    basis = f"{mark}for people with this score"
    return [
        ("Percentile of risk", ordinal(score.percentile), f"{mark}among out-of-fold scores", GLOSSARY["percentile"]),
        ("Hazard ratio", ratio(score.hr), log_hr, GLOSSARY["HR"]),
        *(
            (f"Survival at {plain_time(t)} {unit}", probability(s), basis, GLOSSARY["survival"])
            for t, s in score.survival_at.items()
        ),
    ]


def _trust(cohort: Cohort) -> None:
    c = cohort.model.oof_c_
    if told := cohort.study.competing_note:
        note(told)
    note(
        f"No interval is given for one face: the model's own measure of trust is its out-of-fold C over the cohort, "
        f"{c.value:.2f} (95 % CI {c.low:.2f} to {c.high:.2f}; 0.5 is guessing). Two photos of one person can differ."
    )


def show_place(score: Score, cohort: Cohort) -> None:
    """Where the score stands among the cohort's."""
    figure = figures.place_in_cohort(score, cohort)
    st.plotly_chart(plain_figure(figure), theme=None, alt="Histogram of the cohort's scores with this face marked")
    note("Bars: the cohort's out-of-fold log hazard ratios.")


def _in_cohort(cohort: Cohort, patient: str) -> str:
    rows = cohort.model.cohort_
    mine = rows[rows["patient"] == patient]
    told = (
        f"**{patient} is a patient of this study**, so the model was fitted with this photo and the score is "
        "in-sample. "
    )
    if mine.empty:
        return told
    return told + f"Out of fold, by a model that never saw it, the log-HR is {signed(float(mine['log_hr'].iloc[0]))}."


def show_downloads(score: Score, cohort: Cohort, checkpoint: Checkpoint, original: np.ndarray) -> None:
    """Files, made on demand; nothing is stored here."""
    from study.files import csv_text
    from study.scoring.files import score_table

    def pictures_file() -> bytes:
        made = score.inversion.reconstruction
        panels = np.stack([original, made, pictures.difference(made, original)])
        return pictures.encode(pictures.strip(panels, ["original", "reconstruction", "difference"]))

    def table() -> str:
        return csv_text(score_table(cohort.study, [(Path("portrait"), score)]))

    def record() -> str:
        return json.dumps(as_record(score, cohort, checkpoint), indent=2)

    with st.container(horizontal=True):
        for label, make, name, mime in (
            ("CSV", table, "score.csv", "text/csv"),
            ("JSON", record, "score.json", "application/json"),
            ("Pictures (PNG)", pictures_file, "portrait.png", "image/png"),
        ):
            st.download_button(label, make, name, mime, icon=":material/download:", on_click="ignore")
    note("Nothing is saved unless you download it. The files hold no photo except the PNG.")


def as_record(score: Score, cohort: Cohort, checkpoint: Checkpoint) -> dict[str, Any]:
    """The result as plain values, with everything needed to make it again."""
    times, curve = score.curve
    metrics = {k: (v if isinstance(v, str) else float(v)) for k, v in score.inversion.metrics.items()}
    return {
        "study": cohort.study.name,
        "simulated": cohort.study.simulated,
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": checkpoint.sha256,
        "model": cohort.scorer.name,
        "time_unit": cohort.study.time_unit,
        "log_hr": score.log_hr,
        "hr": score.hr,
        "percentile": score.percentile,
        "survival_at": {plain_time(t): _plain(s) for t, s in score.survival_at.items()},
        "survival_left_out": list(score.risk.left_out),
        "competing_events": cohort.study.competing_note,
        "extrapolated": score.risk.extrapolation,
        "curve": {"time": np.asarray(times).tolist(), "survival": [_plain(s) for s in np.asarray(curve)]},
        "quality_flags": [{"kind": f.kind, "value": _plain(f.value), "sentence": f.sentence} for f in score.flags],
        "face": score.ground,
        "inversion": {"metrics": metrics, "settings": score.inversion.settings.as_dict()},
        "seconds": score.inversion.seconds,
        "notice": "Research use only. Association, not cause.",
    }


def _plain(value: float) -> float | None:
    """A number JSON knows: None beyond the follow-up."""
    return None if np.isnan(value) else float(value)


def show_details(score: Score, checkpoint: Checkpoint) -> None:
    """Settings and provenance."""
    inversion = score.inversion
    settings = inversion.settings
    facts(
        [
            ("Inversion", f"{settings.name}, at most {settings.steps} steps", f"{inversion.seconds:.1f} s"),
            ("Code", f"{inversion.ws.shape[0]} layers × {inversion.ws.shape[1]}", GLOSSARY["W+"]),
            ("Checkpoint", f"{checkpoint.name}, {checkpoint.resolution} px", f"sha256 {checkpoint.sha256[:16]}…"),
        ]
    )
