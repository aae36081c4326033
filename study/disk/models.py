"""The models of a study on disk: which there are, their reports, which one is chosen."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.parsing import json_value
from study.disk.places import MODELS
from study.errors import StudyError
from study.files import read_limited, sha256_of
from study.settings import SAFE_NAME

if TYPE_CHECKING:
    from survival.models.fitted import FittedModel

CHOSEN_FILE, DEFAULT_MODEL = "chosen.json", "photo"
REPORT_FILE = "report.json"
OUT_OF_FOLD_FILE = "out_of_fold.csv"


def model_folder(study: Path, name: str) -> Path:
    """Where model `name` of the study in a folder lies. Raises StudyError for an invalid name."""
    if not SAFE_NAME.fullmatch(name):
        raise StudyError(f"{name[:64]!r} cannot be a model's name.")
    return study / MODELS / name


def chosen_name(study: Path) -> str:
    """Name of the model that scores faces and gives the health direction: `choose` writes it; else "photo"."""
    path = study / MODELS / CHOSEN_FILE
    if not path.is_file():
        return DEFAULT_MODEL
    try:
        name = json_value(read_limited(path, 2**16, "The choice of the model"))["model"]
    except (ValueError, KeyError, TypeError) as error:
        raise StudyError(f"{MODELS}/{CHOSEN_FILE} is damaged: choose the study's model again.") from error
    if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
        raise StudyError(f"{MODELS}/{CHOSEN_FILE} names no model: choose the study's model again.")
    return name


def fingerprint(study: Path, name: str) -> str:
    """Hex digest of everything that lies in a model's folder: it changes when the model is fitted again."""
    digest = sha256()
    folder = model_folder(study, name)
    for path in sorted(folder.glob("*")):
        if path.is_file():
            digest.update(f"{path.name} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def read_report(study: Path, called: str, name: str) -> dict[str, Any]:
    """The report that `fit` or `choose` wrote of a model. called: the study's name, for the message."""
    path = model_folder(study, name) / REPORT_FILE
    if not path.exists():
        raise StudyError(f"{called} has no model {name!r} yet.", ("fit", called))
    try:
        return dict(json_value(read_limited(path, 2**24, "The model's report")))
    except (ValueError, TypeError) as error:
        raise StudyError(f"The report of model {name!r} is damaged.", ("fit", called)) from error


def read_model(study: Path, called: str, name: str) -> FittedModel:
    """The fitted model. Raises StudyError, with the command that makes it again, where it is damaged or of an older
    version."""
    # Imported here: the statistics stack takes seconds to import, and opening a study needs none of it.
    from survival.errors import SurvivalError
    from survival.models.fitted import FittedModel

    try:
        return FittedModel.load(model_folder(study, name))
    except SurvivalError as error:
        candidate = "" if name == DEFAULT_MODEL else str(read_report(study, called, name).get("candidate", ""))
        command = ("choose", called, candidate) if candidate else ("fit", called)
        raise StudyError(f"Model {name!r} of {called} cannot be read: {error}", command) from error
