"""What one session has chosen: study and checkpoint, opened, and what another part of the page chooses for a picker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from faces.errors import FaceError
from latent.errors import LatentError
from study.errors import StudyError
from survival.errors import SurvivalError
from ui.shell import resources

if TYPE_CHECKING:
    from latent.checkpoints import Checkpoint
    from study.disk.store import Study
    from study.scoring.scorer import Scorer

SENTENCES = (StudyError, LatentError, SurvivalError, FaceError)  # their text is meant for the person at the screen
NO_STUDY = "There is no study on this machine yet. Make one of your own data, or take an example of real patients."
DEFAULT_STUDY = "demo"
_CHOSEN = "-chosen"  # after a picker's key: what another part of the page chose for it


def choose(picker: str, name: str) -> None:
    """Let the picker with this key show `name` from the next run on."""
    st.session_state[f"{picker}{_CHOSEN}"] = name


def take_choice(picker: str, names: Sequence[str]) -> None:
    """Before the picker is drawn: put in what was chosen for it, where that is one of `names`."""
    name = st.session_state.pop(f"{picker}{_CHOSEN}", None)
    if name in names:
        st.session_state[picker] = name


def has_choice(picker: str) -> bool:
    """Whether something was chosen for a picker that is not drawn yet."""
    return f"{picker}{_CHOSEN}" in st.session_state


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
            f"There is no face model under {resources.checkpoints_root().name}/. Import one with "
            "`python -m latent import FILE --name NAME`."
        )
    return resources.open_checkpoint(name)


def _study_name() -> str:
    name = pick_study()
    if name is None:
        raise StudyError(NO_STUDY, ("example", "veteran"))
    return name


def study() -> Study:
    """The chosen study; StudyError where there is none or it has errors."""
    return resources.open_study(_study_name())


def opened_study() -> resources.OpenedStudy:
    """The chosen study, errors and all; StudyError where there is none."""
    return resources.inspect_study(_study_name())


def scorer() -> Scorer:
    """The chosen study's model on the chosen checkpoint; StudyError or LatentError with a sentence."""
    return resources.open_scorer(_study_name(), checkpoint())
