"""What all sessions share: opened checkpoints and studies, the generator's lock, imports done ahead.

Heavy libraries are imported inside functions: the first words of a page should not wait for them.
"""

from __future__ import annotations

import gc
import importlib
import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from common import threads
from jobs.queue import Queue, command_path
from latent import checkpoint_config
from study.disk import places
from ui.background.task import Turn
from ui.shell.stamps import stamp

if TYPE_CHECKING:
    from latent.checkpoints import Checkpoint
    from study.disk.store import Study
    from study.errors import Findings
    from study.scoring.scorer import Scorer

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_CHECKPOINT = "portraits"  # where a study names none
MAX_FINDINGS = 5000  # of each severity that the Cohort page lists
logger = logging.getLogger(__name__)
HEAVY = (
    "torch",
    "plotly.graph_objects",
    "study.scoring.scorer",
    "faces.landmarks",
    "latent.editing.render",
    "survival.plots.face",
    "survival.plots.probability",
)


def studies_root() -> Path:
    """Folder of the studies, by the same rule as on the command line."""
    return places.studies_root(ROOT)


def checkpoints_root() -> Path:
    """Folder of the checkpoints; LATENT_HEALTH_CHECKPOINTS where it is set."""
    return Path(os.environ.get("LATENT_HEALTH_CHECKPOINTS") or ROOT / "checkpoints")


def runs_root() -> Path:
    """Folder of what jobs make on the way (queue, training sets, runs); LATENT_HEALTH_RUNS where it is set."""
    return Path(os.environ.get("LATENT_HEALTH_RUNS") or ROOT / "runs")


def tunes_by_itself() -> bool:
    """Whether a score may be followed by a tuning that nobody asked for; LATENT_HEALTH_TUNING=off turns it off."""
    return os.environ.get("LATENT_HEALTH_TUNING", "").strip().casefold() not in ("off", "0", "no", "false")


def queue() -> Queue:
    """The jobs of this installation."""
    return Queue(runs_root() / "queue")


def study_names() -> list[str]:
    """Studies to choose from."""
    return places.study_names(studies_root())


def checkpoint_names() -> list[str]:
    """Checkpoints to choose from."""
    return checkpoint_config.checkpoint_names(checkpoints_root())


def checkpoint_of(study: str) -> str:
    """Name of the checkpoint in a study's settings; the default one where they name none."""
    return places.named_checkpoint(studies_root() / study) or DEFAULT_CHECKPOINT


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Thread:
    """Import the heavy libraries and read the face models in the background, once a server."""
    thread = threading.Thread(target=_warm_up, name="warm-up", daemon=True)
    thread.start()
    return thread


def _warm_up() -> None:
    gc.disable()  # imports make half a million objects that stay: each full collection on the way finds nothing
    try:
        for name in HEAVY:
            importlib.import_module(name)
        from faces.encoder import load_face_encoder
        from faces.landmarks import detect_faces
        from faces.photo import Photo

        detect_faces(Photo(np.zeros((64, 64, 3), np.uint8), "nothing"))
        load_face_encoder()
    except Exception:
        # Whatever it was, the page that needs it says so in a sentence; here it only belongs in the log.
        logger.exception("Warming up failed")
    finally:
        gc.freeze()  # a full collection holds the interpreter, and would look at all of them each time
        gc.enable()


def _compute_with_what_is_left() -> None:
    import torch

    count = threads.to_compute()
    if count != torch.get_num_threads():
        logger.warning("The app computes with %d of %d threads now", count, threads.cores())
    torch.set_num_threads(count)  # of this thread, and of those that begin later


@st.cache_resource(show_spinner=False)
def generator_turn() -> Turn:
    """The turn at the generator, of all sessions: one inversion or one strip of frames at a time, in order, because two
    would only slow each other down. Whoever has it computes with the cores that are left just then."""
    return Turn(_compute_with_what_is_left)


@st.cache_resource(show_spinner=False, max_entries=2)
def _open_checkpoint(folder: str, files: str) -> Checkpoint:
    import torch

    from latent.checkpoints import load_checkpoint

    _compute_with_what_is_left()  # the generator also draws outside of jobs
    return load_checkpoint(Path(folder), device="cuda" if torch.cuda.is_available() else "cpu")


def open_checkpoint(name: str) -> Checkpoint:
    """The checkpoint of that name; LatentError, one sentence, where it cannot be used."""
    folder = checkpoints_root() / name
    return _open_checkpoint(str(folder), stamp(folder))


def _files(folder: Path) -> tuple[str, str]:
    """What changes with the study itself, and what changes with the results made of it."""
    return stamp(folder, places.SCRATCH | places.RESULTS), stamp(folder, only=places.RESULTS)


@st.cache_resource(show_spinner=False, max_entries=4)
def _inspect_study(folder: str, files: str) -> tuple[Study, Findings]:
    from study.disk.store import inspect

    return inspect(Path(folder), MAX_FINDINGS)


@dataclass(frozen=True, eq=False)
class OpenedStudy:
    """A study, errors and all. key: changes with its files and all results. path: its folder as a command names it."""

    study: Study
    findings: Findings
    key: str
    path: str

    @property
    def usable(self) -> bool:
        return not self.findings.counts["error"]

    @property
    def kind(self) -> str:
        return "simulated patient" if self.study.simulated else "patient"


# Decorators: the result for a study is remembered for all sessions until one of the study's files changes.
_BY_KEY: dict[str, Any] = {"show_spinner": False, "hash_funcs": {OpenedStudy: lambda opened: opened.key}}
study_resource = st.cache_resource(max_entries=4, **_BY_KEY)
study_data = st.cache_data(max_entries=64, **_BY_KEY)


def inspect_study(name: str) -> OpenedStudy:
    """The study of that name with everything found in it, errors included.

    StudyError, one sentence, where there is none or a file cannot be read at all.
    """
    folder = studies_root() / name
    files, results = _files(folder)
    study, findings = _inspect_study(str(folder), files)
    return OpenedStudy(study, findings, f"{folder} {files} {results}", command_path(folder))


def _open_study(folder: str, files: str) -> Study:
    study, findings = _inspect_study(folder, files)
    findings.refuse_errors()
    return study


def open_study(name: str) -> Study:
    """The study of that name; StudyError, one sentence, where it cannot be used."""
    folder = studies_root() / name
    return _open_study(str(folder), _files(folder)[0])


@st.cache_resource(show_spinner=False, max_entries=4)
def _open_scorer(folder: str, files: str, results: str, checkpoint_sha256: str, _checkpoint: Checkpoint) -> Scorer:
    from study.scoring.scorer import Scorer

    study = _open_study(folder, files)
    study.latents(checkpoint_sha256)  # refuses codes of another checkpoint, in a sentence
    scorer = Scorer.open(study, _checkpoint)
    assert len(scorer.codes) == len(scorer.patients)  # read here: what is missing is said when the page opens
    return scorer


def open_scorer(name: str, checkpoint: Checkpoint) -> Scorer:
    """The model of a study with its codes and table; StudyError where they do not fit the checkpoint or are missing."""
    folder = studies_root() / name
    return _open_scorer(str(folder), *_files(folder), checkpoint.sha256, checkpoint)
