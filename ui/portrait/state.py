"""The photo that one session works on, and what came of it.

An uploaded photo lives here and nowhere else: in the memory of this session, never on disk, never in a log.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import streamlit as st

from faces.align import AlignedFace
from faces.landmarks import Face
from faces.photo import Photo
from latent.inversion.invert import Inversion
from latent.inversion.pivotal_tuning import Pivotal
from study.scoring.results import Score, Withheld
from ui.background.task import BackgroundTask


@dataclass
class PortraitState:
    """patient: id where the photo is one of the study's, else "". problem: why the last offered photo was refused.
    note: what was done to the photo, for the person. crop: what `aligned` was cut with. confirmed: the words in which
    the person said that an uncertain square shows a face. scored: the face that `score`, or `withheld`, belongs to.
    tuning: a generator tuned to the scored face, for display. tuned_to: the code that a tuning was begun for, so that
    one that was cancelled or forgotten does not begin by itself again. asked: whether the person began it. closer:
    whether the page has a tuned picture, perhaps of a tuning at work, that is closer to the photo than the code's.
    """

    photo: Photo | None = None
    patient: str = ""
    problem: str = ""
    note: str = ""
    confirmed: str = ""
    faces: list[Face] | None = None
    crop: tuple[Any, ...] = ()
    aligned: AlignedFace | None = None
    task: BackgroundTask[Score | Withheld] | None = None
    scored: AlignedFace | None = None
    score: Score | None = None
    withheld: Withheld | None = None
    tuning_task: BackgroundTask[Pivotal] | None = None
    tuning: Pivotal | None = None
    tuned_to: Inversion | None = None
    asked: bool = False
    closer: bool = False

    def take(self, photo: Photo, patient: str = "") -> None:
        """Work on another photo; whatever belonged to the last one is forgotten."""
        self.forget()
        self.photo, self.patient = photo, patient

    def forget(self) -> None:
        """Forget the photo and all that came of it."""
        if self.task is not None:
            self.task.cancel()
        self.forget_tuning()
        for field in fields(self):
            setattr(self, field.name, field.default)

    def forget_tuning(self) -> None:
        """Forget the generator tuned to the scored face, also one that is being tuned."""
        if self.tuning_task is not None:
            self.tuning_task.cancel()
        self.tuning_task, self.tuning = None, None


def portrait() -> PortraitState:
    """This session's photo."""
    state: PortraitState = st.session_state.setdefault("portrait", PortraitState())
    return state
