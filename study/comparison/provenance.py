"""What a comparison was made from, and whether the study on disk has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from study.comparison.features import OF_PHOTOS, Cohort, outcome_columns, patients_of
from study.comparison.plan import Plan
from study.disk.exclusions import changes_since
from study.disk.latents import read_index
from study.disk.store import Study
from study.errors import StudyError
from study.tables.covariates import clinical_words


class MadeFrom(Protocol):
    """A result that says what it was made from: a comparison, or a learning curve."""

    @property
    def plan(self) -> Plan: ...
    @property
    def covariates(self) -> tuple[str, ...]: ...
    @property
    def provenance(self) -> Mapping[str, Any]:
        """As `provenance` gave it."""


def provenance(study: Study, plan: Any, cohort: Cohort) -> dict[str, Any]:
    """Digests of what a comparison is made from.

    table_sha256 : of ids, outcomes and covariates of its patients. excluded : ids of excluded patients. With photos
    also codes (latents_sha256), checkpoint, checkpoint_sha256, preset, views, perceptual_name.
    """
    record: dict[str, Any] = {
        "table_sha256": table_digest(cohort.patients),
        "excluded": sorted(study.excluded.keys() & set(study.patients["patient_id"])),
        "patients_in_table": len(study.patients),
        "horizons": list(study.horizons),
    }
    if OF_PHOTOS & set(cohort.blocks):
        embedding = study.embedding
        record |= {
            "latents_sha256": embedding.latents_sha256,
            "checkpoint": embedding.checkpoint,
            "checkpoint_sha256": embedding.checkpoint_sha256,
            "preset": embedding.preset,
            "views": embedding.views,
            "perceptual_name": str(embedding.settings.get("perceptual_name", "")),
        }
    return record


def table_digest(patients: pd.DataFrame) -> str:
    """SHA-256 of patient ids, times, events and covariates, whatever the file looked like."""
    digest = hashlib.sha256()
    for name in patients.columns:
        column = patients[name]
        if column.dtype.kind in "fib":
            words = [f"{v:.12g}" for v in column.to_numpy(np.float64)]
        else:
            words = ["" if pd.isna(v) else str(v) for v in column]
        digest.update("\0".join([str(name), *words]).encode())
        digest.update(b"\1")
    return digest.hexdigest()


def stale_reasons(study: Study, made: MadeFrom) -> tuple[str, ...]:
    """Why a result is out of date, in sentences; () where it is not."""
    then = made.provenance
    excluded = study.excluded.keys() & set(study.patients["patient_id"])
    reasons = changes_since(excluded, then.get("excluded", []))
    photos = "latents_sha256" in then
    if photos:
        try:
            _, record = read_index(study.path)
            if record.latents_sha256 != then["latents_sha256"]:
                reasons.append("The photos have been embedded again since.")
        except StudyError as error:
            return (*reasons, str(error))
    if not reasons and _table_changed(study, made, photos):
        reasons.append("Patients, outcomes or covariates of the table have changed since.")
    if list(study.horizons) != list(then.get("horizons", [])):
        reasons.append("The times at which survival is reported have changed since.")
    return tuple(reasons)


def _table_changed(study: Study, made: MadeFrom, photos: bool) -> bool:
    """Compared with the table now, of the patients that a comparison of this plan would take."""
    if study.covariates != made.covariates:
        return True
    try:
        table = _table_now(study, made, photos)
    except StudyError:
        return True
    clinical = clinical_words(table, study.settings, made.covariates)
    patients = table[outcome_columns(study)].reset_index(drop=True)
    return table_digest(pd.concat([patients, clinical], axis=1)) != made.provenance.get("table_sha256")


def _table_now(study: Study, made: MadeFrom, photos: bool) -> pd.DataFrame:
    if not photos:
        return patients_of(study, made.plan, with_photos=False)[1]
    coded = set(read_index(study.path)[0]["patient_id"])
    table = study.patients
    chosen = table["patient_id"].isin(coded & study.included_photos.keys())
    if made.plan.site == "single":
        chosen &= table["site"] == made.plan.site_name
    return table[chosen].reset_index(drop=True)
