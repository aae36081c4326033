"""What one session remembers: its study and checkpoint, the face it works on, its edits.

An uploaded photo lives here and nowhere else: in the memory of this session, never on disk, never in a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from faces.errors import FaceError
from latent.errors import LatentError
from study.errors import StudyError
from survival.errors import SurvivalError
from ui.shell import resources

if TYPE_CHECKING:
    from faces.align import AlignedFace
    from faces.landmarks import Face
    from faces.photo import Photo
    from latent.checkpoints import Checkpoint
    from latent.editing.directions import Direction
    from latent.inversion.pivotal_tuning import Pivotal
    from study.scoring.score import Score, Withheld
    from ui.background.task import Job
    from ui.health_direction.controls import Wish
    from ui.health_direction.frames import Shown

SENTENCES = (StudyError, LatentError, SurvivalError, FaceError)  # their text is meant for the person at the screen
NO_STUDY = "There is no study on this machine yet. Make one of your own data, or take an example of real patients."
DEFAULT_STUDY = "demo"


@dataclass
class Portrait:
    """The photo a session works on, and what became of it.

    patient: id where the photo is one of the study's, else "". problem: why the last offered photo was refused.
    note: what was done to it, for the person. crop: what `aligned` was cut with. confirmed: the words in which the
    person said that an uncertain square shows a face. scored: the face that `score`, or `withheld`, belongs to.
    tuning: a generator tuned to the scored face, for display.
    """

    photo: Photo | None = None
    patient: str = ""
    problem: str = ""
    note: str = ""
    confirmed: str = ""
    faces: list[Face] | None = None
    crop: tuple[Any, ...] = ()
    aligned: AlignedFace | None = None
    job: Job[Score | Withheld] | None = None
    scored: AlignedFace | None = None
    score: Score | None = None
    withheld: Withheld | None = None
    tuning_job: Job[Pivotal] | None = None
    tuning: Pivotal | None = None

    def take(self, photo: Photo, patient: str = "") -> None:
        """Work on another photo; whatever belonged to the last one is forgotten."""
        self.drop()
        self.photo, self.patient = photo, patient

    def drop(self) -> None:
        """Forget the photo and all that came of it."""
        if self.job is not None:
            self.job.cancel()
        self.forget_tuning()
        self.__init__()  # type: ignore[misc]

    def forget_tuning(self) -> None:
        """Forget the generator tuned to the scored face, also one that is being tuned."""
        if self.tuning_job is not None:
            self.tuning_job.cancel()
        self.tuning_job, self.tuning = None, None


@dataclass
class Editing:
    """The Health direction page.

    wanted: what the controls last asked for; job: the frames being drawn; shown, payload: the frames on screen; seek:
    (index, count) where the slider was last put from here; at: where the person left it since; resume: where it goes
    once the frames being drawn are there. undo: (what tells the picture from others, wish, index), the newest last.
    """

    wanted: Wish | None = None
    job: Job[Shown] | None = None
    shown: Shown | None = None
    payload: bytes = b""
    seek: tuple[int, int] = (0, 0)
    at: int | None = None
    resume: int | None = None
    undo: list[tuple[tuple[bytes, Direction, float], Wish, int]] = field(default_factory=list)

    def forget(self, source: str) -> None:
        """Forget frames, shown or being drawn, and steps of the faces from `source`."""
        if self.wanted is not None and self.wanted.source == source:
            if self.job is not None:
                self.job.cancel()
            self.wanted, self.job, self.resume = None, None, None
        if self.shown is not None and self.shown.wish.source == source:
            self.shown, self.payload, self.at = None, b"", None
        self.undo = [entry for entry in self.undo if entry[1].source != source]


def portrait() -> Portrait:
    """This session's portrait."""
    found: Portrait = st.session_state.setdefault("portrait", Portrait())
    return found


def editing() -> Editing:
    """This session's edits."""
    found: Editing = st.session_state.setdefault("editing", Editing())
    return found


def pick_study() -> str | None:
    """The chosen study's name, None where there is none to choose."""
    return st.session_state.get("study")


def pick_checkpoint() -> str | None:
    """The chosen checkpoint's name, None where there is none to choose."""
    return st.session_state.get("checkpoint")


def checkpoint() -> Checkpoint:
    """The chosen checkpoint, opened; LatentError with a sentence where there is none or it is unusable."""
    name = pick_checkpoint()
    if name is None:
        raise LatentError(
            f"There is no checkpoint under {resources.checkpoints_root().name}/. Import one with "
            "`python -m latent import FILE --name NAME`."
        )
    return resources.open_checkpoint(name)


def cohort() -> resources.Cohort:
    """The chosen study with its model on the chosen checkpoint; StudyError or LatentError with a sentence."""
    name = pick_study()
    if name is None:
        raise StudyError(NO_STUDY, ("example", "veteran"))
    return resources.open_cohort(name, checkpoint())
