"""Everything that a report states, read once from a study on disk; what does not exist is None."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pandas as pd

from study.comparison.provenance import stale_reasons
from study.comparison.record import CandidateResult, Comparison, list_comparisons, read_comparison
from study.description.flow import Step, flow
from study.description.inversion_error import ErrorSurvival, error_and_survival
from study.description.table_one import FollowUp, analysed_rows, follow_up, table_one
from study.disk.exclusions import FILE_NAME as EXCLUSIONS
from study.disk.latents import INDEX, LATENTS
from study.disk.missing_photos import Group, missing_photos
from study.disk.models import MODELS, REPORT_FILE
from study.disk.store import TRUTH_FILE, Study
from study.files import sha256_of
from study.learning_curve.record import LearningCurveResult, has_learning_curve, read_learning_curve
from study.photos.quality import read_quality
from study.robustness.record import Robustness, has_robustness, read_robustness
from study.scoring.status import model_status
from study.settings import FILE_NAME as SETTINGS
from survival.horizons import Horizons, carried_horizons
from survival.models.fitted import FittedModel

PHOTO_LIST = "photos.csv"
USUAL_COMPARISON = "main"
PACKAGES = ("numpy", "scipy", "pandas", "plotly", "scikit-learn", "scikit-survival", "torch")
TOKEN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # as ids are written (study.tables.column.SAFE_ID)
Progress = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Facts:
    """study: opened. rows: of the patients analysed. steps: their flow. lost: groups of patients whose photos are lost
    or flagged. model, fitted, fitted_report: the study's own model under models/, of `fit` or chosen from a comparison,
    None where there is none. comparison: None where none was made; stale: why it, or the model, is not of the study as
    it is now. errors: inversion error and survival. robustness: scores under changes of the photo.
    learning_curve: by the number of patients. digests: file of the
    study -> SHA-256. versions: package -> version in use. ids: of patients, to be kept out of every sentence.
    """

    study: Study
    rows: pd.DataFrame
    steps: tuple[Step, ...]
    lost: tuple[Group, ...]
    table: pd.DataFrame
    follow: FollowUp
    model: str
    fitted: FittedModel | None
    fitted_report: dict[str, Any] | None
    comparison: Comparison | None
    stale: tuple[str, ...]
    errors: ErrorSurvival | None
    robustness: Robustness | None
    learning_curve: LearningCurveResult | None
    digests: dict[str, str]
    versions: dict[str, str]
    ids: frozenset[str]

    @property
    def horizons(self) -> Horizons:
        """Those of the study's horizons that the follow-up of the analysed patients supports."""
        return carried_horizons(self.study.horizons, self.rows["time"], self.rows["event"], self.rows.get("entry"))

    @property
    def unit(self) -> str:
        return self.study.time_unit

    @property
    def featured(self) -> tuple[CandidateResult, ...]:
        """Models that are shown in detail: the best, the photo by itself, the clinical columns by themselves."""
        return () if self.comparison is None else self.comparison.featured

    @property
    def chosen_from(self) -> tuple[str, str]:
        """(comparison, candidate) that the study's model was chosen from; comparison is "" for one of `fit`."""
        report = self.fitted_report or {}
        return str(report.get("comparison", "")), str(report.get("candidate", ""))

    def without_ids(self, words: str) -> str:
        """A sentence of the software or of a person, with no patient's id in it."""
        return TOKEN.sub(lambda found: "(a patient)" if found.group() in self.ids else found.group(), words)


def gather(
    study: Study,
    model: str | None = None,
    comparison: str | None = None,
    on_progress: Progress | None = None,
) -> Facts:
    """What there is to report.

    model : name under models/, None: the study's chosen one, or "photo". comparison : name under comparisons/, None:
    "main", or the only one. Raises StudyError for an unknown name, damaged files, or where no patient is left.
    """
    report_stage = on_progress or (lambda _: None)
    report_stage("Patients, table, follow-up")
    rows = analysed_rows(study)
    table, follow = table_one(study, rows), follow_up(study, rows)
    name, fitted = _fitted(study, model)
    report = study.report(name) if fitted is not None else None
    compared = _comparison(study, comparison)
    stale = list(stale_reasons(study, compared)) if compared is not None else []
    if report is not None:
        stale += [f"Model {name}: {reason}" for reason in model_status(study, name).reasons]
    report_stage("Inversion error and survival")
    return Facts(
        study=study,
        # short numbers would also hit counts and percentages
        ids=frozenset(i for i in map(str, study.patients["patient_id"]) if not i.isdigit() or len(i) >= 5),
        rows=rows,
        steps=tuple(flow(study)),
        lost=missing_photos(study, read_quality(study)),
        table=table,
        follow=follow,
        model=name,
        fitted=fitted,
        fitted_report=report,
        comparison=compared,
        stale=tuple(stale),
        errors=error_and_survival(study, rows) if study.has_latents else None,
        robustness=read_robustness(study) if has_robustness(study) else None,
        learning_curve=read_learning_curve(study) if has_learning_curve(study) else None,
        digests=_digests(study, name if fitted is not None else None),
        versions=_versions(),
    )


def _fitted(study: Study, name: str | None) -> tuple[str, FittedModel | None]:
    """(name, model) of the one asked for, else of the study's chosen one, where it exists."""
    if name is not None:
        return name, study.model(name)
    chosen = study.chosen_model
    exists = (study.model_folder(chosen) / REPORT_FILE).exists()
    return chosen, study.model(chosen) if exists else None


def _comparison(study: Study, name: str | None) -> Comparison | None:
    if name is None and (names := list_comparisons(study.path)):
        name = USUAL_COMPARISON if USUAL_COMPARISON in names else names[0]
    return None if name is None else read_comparison(study.path, name)


def _digests(study: Study, model: str | None) -> dict[str, str]:
    names = [SETTINGS, study.table_name, PHOTO_LIST, EXCLUSIONS, TRUTH_FILE, INDEX, LATENTS]
    names += [f"{MODELS}/{model}/model.json", f"{MODELS}/{model}/model.npz"] if model else []
    return {name: sha256_of(study.path / name) for name in names if (study.path / name).is_file()}


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions
