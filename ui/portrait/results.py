"""What came of a photo: its score, how well its face code fits it, and files to download."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from common.text import number
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled
from latent.inversion.settings import InversionSettings
from study.errors import StudyError
from study.files import csv_text
from study.photos.prepare import pixels_for
from study.scoring.files import score_table
from study.scoring.results import Refused, Score, Withheld
from study.scoring.scorer import Scorer
from study.settings import VIEWS
from ui.background.task import BackgroundTask, Reporter
from ui.elements import pictures, scroll
from ui.elements.blocks import facts, heat_legend, note, picture, value_row
from ui.elements.glossary import GLOSSARY
from ui.portrait.state import PortraitState
from ui.shell import resources
from ui.shell.session import SENTENCES

LOSS_NAME = "Distance to the photo"
BY_CODE = ("Reconstruction", "drawn by the face model from the face code")
BY_TUNED = ("Tuned reconstruction", "by a copy tuned to this photo; display only, never scored")
DIFFERS = "brighter where the two differ more"


def start(portrait: PortraitState, scorer: Scorer, settings: InversionSettings | None) -> None:
    """Begin to invert and score the photo's aligned face in the background. settings: None for those of the study's
    codes."""
    face, confirmed = portrait.aligned, portrait.confirmed
    if face is None:
        return
    if portrait.task is not None:
        portrait.task.cancel()

    def work(report: Reporter) -> Score | Withheld:
        def on_step(step: Any) -> None:
            losses = {LOSS_NAME: step.losses["total"]}
            fraction = step.step / max(step.steps, 1)
            report(fraction, f"Step {step.step} of {step.steps}", step.seconds_left, step.image, losses)

        report(0.0, "Loading the face model")
        (result,) = scorer.score_faces([face], settings, on_step, report.cancelled, confirmed)
        if isinstance(result, Refused):
            raise StudyError(result.reason)
        return result

    portrait.forget_tuning()  # it was made for the code of the last score
    portrait.score, portrait.withheld, portrait.scored = None, None, face
    task = BackgroundTask("inversion", work, resources.generator_turn(), SENTENCES, (Cancelled,))
    portrait.task = task.start()
    scroll.ask("progress")


def collect(portrait: PortraitState) -> None:
    """Take over the result of a job that is done."""
    if portrait.task is not None and portrait.task.snapshot().state == "done":
        _take(portrait, portrait.task.result)
        portrait.task = None
        scroll.ask("outcome")


def _take(portrait: PortraitState, result: Score | Withheld | None) -> None:
    """What came of the face: its score, or why it has none."""
    portrait.score = result if isinstance(result, Score) else None
    portrait.withheld = None if result is None or isinstance(result, Score) else result


def current(portrait: PortraitState, scorer: Scorer) -> Score | None:
    """The score, where it is of the face on screen and by the model on screen."""
    score = portrait.score if portrait.scored is portrait.aligned else None
    return score if score is not None and score.stamp == scorer.stamp else None


def outdated(portrait: PortraitState, scorer: Scorer) -> bool:
    """Say so where the photo was scored by another model than that on screen, and offer to score it again."""
    score = portrait.score
    if score is None or score.stamp == scorer.stamp:
        return False
    same = score.inversion.checkpoint_sha256 == scorer.checkpoint.sha256
    st.warning(
        "The study, its model or the face model has changed since this photo was scored, so its results are not shown. "
        + ("Only the score has to be computed again, which takes a moment." if same else "Score the photo again."),
        title="Out of date: scored by an earlier model",
        icon=":material/update:",
    )
    if same:
        st.button("Score again", key="score-again", icon=":material/refresh:", on_click=again, args=(portrait, scorer))
    return True


def again(portrait: PortraitState, scorer: Scorer) -> None:
    """Score the photo's code by the model on screen (runs before the page)."""
    if portrait.score is not None and portrait.scored is not None:
        score = portrait.score
        _take(portrait, scorer.score_inversion(score.inversion, portrait.scored, portrait.confirmed, score.views))


def original(portrait: PortraitState, checkpoint: Checkpoint) -> np.ndarray:
    """The aligned face as the model sees it, uint8 (R, R, 3)."""
    assert portrait.aligned is not None
    return pixels_for(checkpoint, portrait.aligned)


def withheld(portrait: PortraitState) -> Withheld | None:
    """Why the face on screen has no score, where its code is too far from a face."""
    return portrait.withheld if portrait.scored is portrait.aligned else None


def show_fit(score: Score | Withheld, original: np.ndarray, tuned: np.ndarray | None = None) -> None:
    """Original, reconstruction and difference, and how close they are. original: uint8 at the model's resolution.
    tuned: uint8 (R, R, 3), shown in place of the reconstruction; the values stay the reconstruction's."""
    inversion = score.inversion
    made = inversion.reconstruction if tuned is None else tuned
    title, words = BY_CODE if tuned is None else BY_TUNED
    side = made.shape[0]
    columns = st.columns(3, gap="medium")
    for column, pixels, heading, small, alt in (
        (columns[0], original, "Photo", f"aligned, {side} px as the face model sees it", "The photo"),
        (columns[1], made, title, words, title),
        (columns[2], pictures.difference(made, original), "Difference", DIFFERS, "Where the two differ"),
    ):
        picture(column, pictures.data_uri(pixels), heading, small, alt)
    heat_legend(columns[2], pictures.heat_gradient(), f"\u2265 {100 * pictures.HEAT_FULL:.0f} % of the grey range")
    m = inversion.metrics
    name = str(m["perceptual_name"])
    value_row(
        "fit",
        [
            ("ST-LPIPS", number(m.get("st_lpips", math.nan)), "0 is identical", GLOSSARY["ST-LPIPS"]),
            (name, number(m["perceptual"]), "0 is identical", GLOSSARY.get(name, "")),
            ("PSNR", f"{number(m['psnr'], 1)} dB", "higher is closer", GLOSSARY["PSNR"]),
            ("SSIM", number(m["ssim"], 2), "1 is identical", GLOSSARY["SSIM"]),
            ("Identity distance", number(m["identity"], 2), "0 is identical", GLOSSARY["identity"]),
        ],
    )
    note(inversion.settings.minimised(name))
    if tuned is not None:
        note("These values are the reconstruction's. The tuned picture is for display and has no part in them.")


def show_downloads(score: Score, scorer: Scorer, original: np.ndarray) -> None:
    """Files, made on demand; nothing is stored here."""

    def pictures_file() -> bytes:
        made = score.inversion.reconstruction
        panels = np.stack([original, made, pictures.difference(made, original)])
        return pictures.encode(pictures.strip(panels, ["photo", "reconstruction", "difference"]))

    def table() -> str:
        return csv_text(score_table(scorer.study, [(Path("portrait"), score)]))

    def record() -> str:
        return json.dumps(scorer.record(score), indent=2)

    with st.container(horizontal=True):
        for label, make, name, mime in (
            ("CSV", table, "score.csv", "text/csv"),
            ("JSON", record, "score.json", "application/json"),
            ("Pictures (PNG)", pictures_file, "portrait.png", "image/png"),
        ):
            st.download_button(label, make, name, mime, icon=":material/download:", on_click="ignore")
    note("Nothing is saved unless you download it. Of these files only the PNG contains the photo.")


def show_details(score: Score, checkpoint: Checkpoint) -> None:
    """Settings and provenance."""
    inversion = score.inversion
    settings = inversion.settings
    facts(
        [
            ("Fit to the photo", f"{settings.name}, at most {settings.steps} steps", f"{inversion.seconds:.1f} s"),
            ("Face code", f"{inversion.ws.shape[0]} layers × {inversion.ws.shape[1]} numbers", GLOSSARY["code"]),
            (f"Views: {len(score.views)}", VIEWS.get(len(score.views), ""), GLOSSARY["views"]),
            ("Face model", f"{checkpoint.name}, {checkpoint.resolution} px", f"sha256 {checkpoint.sha256[:16]}…"),
        ]
    )
