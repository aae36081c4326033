"""The generator tuned to the photo's face: started, watched, and shown next to the photo and the code's own picture.

A tuning begins by itself once a score is on the page and lets whoever waits for the generator go first. Its picture
takes the reconstruction's place as soon as it is closer to the photo by ST-LPIPS, which it does not minimise, and once
more when it has ended. For display only: what is scored is the code, before and after; the tuned weights stay in the
session and go with the photo.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from common.text import number
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled
from latent.inversion.pivotal_tuning import Pivotal, TunedGenerator, tune
from study.scoring.results import Score
from ui.background import panel
from ui.background.task import BackgroundTask, Reporter
from ui.elements import pictures
from ui.elements.blocks import note, picture
from ui.elements.tables import table
from ui.portrait.state import PortraitState, portrait
from ui.shell import resources, session

LABEL = "Adapt the face model to this photo (display only)"
LOSS_NAME = "Distance to the photo"
WHAT = "Fine-tuning a copy of the face model to this photo"
PREVIEW = "The copy's picture so far"
PHOTO = ("Photo", "aligned to the face")
BY_CODE = ("Reconstruction", "by the face model as it is; the score is computed from it")
BY_TUNED = ("Tuned reconstruction", "by a copy fine-tuned to this photo; display only, never scored")
ENDS = {
    "close": "the picture was close enough",
    "plateau": "the picture stopped getting closer",
    "steps": "the limit of steps was reached",
}
NOT_CLOSER = "by ST-LPIPS, which it did not minimise, its picture is no closer, so the reconstruction stays in place"
AUTOMATIC = "tune-automatically"
PICTURES = (BY_TUNED[0], BY_CODE[0])


def automatic() -> bool:
    """Whether a tuning may begin by itself: neither the server nor the person turned it off."""
    return resources.tunes_by_itself() and bool(st.session_state.get(AUTOMATIC, True))


def start(portrait: PortraitState, score: Score, checkpoint: Checkpoint, asked: bool = True) -> None:
    """Begin to tune a copy of the generator to the scored face, in the background. asked: by the person, who sees each
    step's picture; of a tuning that begins by itself the first one that is closer than the code's."""
    face = portrait.scored
    if face is None:
        return
    portrait.forget_tuning()

    def work(report: Reporter) -> Pivotal:
        closer: list[np.ndarray] = []  # the first picture that is, until it is shown

        def on_step(step: Any) -> None:
            losses = {LOSS_NAME: step.losses["fit"]}
            preview = step.image if asked else closer.pop() if closer else None
            words = f"Step {step.step} of at most {step.steps}"
            report(step.step / max(step.steps, 1), words, step.seconds_left, preview, losses)
            report.give_way()

        report(0.0, "Copying the face model")
        look = None if asked else closer.append
        return tune(checkpoint, score.inversion, face.pixels, None, on_step, report.cancelled, look)

    portrait.tuned_to, portrait.asked = score.inversion, asked
    turn = resources.generator_turn()
    task = BackgroundTask("tuning", work, turn, session.SENTENCES, (Cancelled,), yields=True)
    portrait.tuning_task = task.start()


def collect(portrait: PortraitState) -> None:
    """Take over the result of a job that is done; the Health direction page uses it by default, where the person
    asked for it or it is closer to the photo."""
    if portrait.tuning_task is not None and portrait.tuning_task.snapshot().state == "done":
        made = portrait.tuning_task.result
        portrait.tuning, portrait.tuning_task = made, None
        st.session_state["tuned"] = portrait.asked or (made is not None and made.closer)


def current(checkpoint: Checkpoint) -> TunedGenerator | None:
    """The copy of this checkpoint's generator that was tuned to the scored face."""
    state = portrait()
    if state.score is None or state.tuning is None:
        return None
    fits = state.score.inversion.checkpoint_sha256 == checkpoint.sha256
    return state.tuning.tuned if fits else None


def choose_picture(portrait: PortraitState) -> np.ndarray | None:
    """The tuned picture that stands for the reconstruction, None for the code's own: a choice where there are two."""
    picture = _closer_picture(portrait)
    portrait.closer = picture is not None
    if picture is None:
        return None
    chosen = st.segmented_control(
        "Picture shown",
        PICTURES,
        default=PICTURES[0],
        required=True,
        key="picture-shown",
        help="The tuned picture is for display only. All values on this page are those of the reconstruction.",
    )
    return picture if chosen == PICTURES[0] else None


def _closer_picture(portrait: PortraitState) -> np.ndarray | None:
    """What a tuning has that is closer to the photo than the code's own picture; of one at work, the first such."""
    collect(portrait)
    if portrait.tuning is not None:
        return portrait.tuning.picture if portrait.tuning.closer else None
    if portrait.tuning_task is None or portrait.asked:
        return None
    seen = portrait.tuning_task.snapshot()
    return seen.preview if seen.active else None


def section(portrait: PortraitState, score: Score, checkpoint: Checkpoint, original: np.ndarray) -> None:
    """Begin, offer, watch or show the tuning. original: uint8 (R, R, 3), the photo at the model's resolution."""
    collect(portrait)
    if resources.tunes_by_itself():
        st.session_state.setdefault(AUTOMATIC, True)
        st.toggle("Begin by itself after a score", key=AUTOMATIC, persist_state="session")
    task = portrait.tuning_task
    due = portrait.tuned_to is not score.inversion if task is None else task.abandoned()
    if automatic() and due:
        start(portrait, score, checkpoint, asked=False)
    note(
        "The face model draws only what it has learned from other faces, so its picture is not quite the photo. For "
        "display, a copy of it can be fine-tuned until it reproduces this photo. Score, percentile and survival do "
        "not change. The copy is kept in this session and forgotten with the photo."
    )
    task = portrait.tuning_task
    if task is not None and task.snapshot().active:
        awaited = not portrait.asked and not portrait.closer
        panel.watch(task, WHAT, PREVIEW if portrait.asked else "", awaited)
        return
    if task is not None:
        panel.outcome(task)
    if portrait.tuning is None:
        st.button(LABEL, key="tune", icon=":material/tune:", on_click=start, args=(portrait, score, checkpoint))
        return
    _show(portrait.tuning, original)
    st.button("Forget the adapted copy", key="untune", icon=":material/delete:", on_click=portrait.forget_tuning)


def _show(tuning: Pivotal, original: np.ndarray) -> None:
    """Photo, the code's picture and the tuned picture, each with what it is and how close it comes to the photo."""
    shown = zip(st.columns(3, gap="medium"), (PHOTO, BY_CODE, BY_TUNED), strict=True)
    for (column, (title, small)), pixels in zip(shown, (original, tuning.code_picture, tuning.picture), strict=True):
        picture(column, pictures.data_uri(pixels), title, small, title)
    name = str(tuning.before["perceptual_name"])
    rows = (
        ("ST-LPIPS, 0 is identical", "st_lpips", 3, ""),
        (f"{name}, 0 is identical", "perceptual", 3, ""),
        ("PSNR, higher is closer", "psnr", 1, " dB"),
        ("SSIM, 1 is identical", "ssim", 2, ""),
        ("Identity distance, 0 is identical", "identity", 2, ""),
    )
    table(
        ["Compared with the photo", BY_CODE[0], BY_TUNED[0]],
        [
            [label, *(f"{number(measured[key], digits)}{unit}" for measured in (tuning.before, tuning.after))]
            for label, key, digits, unit in rows
        ],
    )
    note(
        f"{tuning.steps} steps in {tuning.seconds:.0f} s; it ended because {ENDS[tuning.stopped]}. The copy "
        f"takes {tuning.tuned.megabytes:.1f} MB of this session's memory. It minimised {name} and pixel differences; "
        + ("by ST-LPIPS, which it did not minimise, its picture is closer" if tuning.closer else NOT_CLOSER)
        + "."
    )
