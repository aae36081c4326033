"""Whether a comparison is still of the study as it lies on disk: patients, outcomes, covariates, codes, exclusions."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.features import OF_PHOTOS, Cohort, clinical_table, covariate_names, outcome_columns, patients_of
from study.comparison.record import Comparison
from study.disk.latents import read_index
from study.disk.store import Study
from study.errors import StudyError


def provenance(study: Study, plan: Any, cohort: Cohort) -> dict[str, Any]:
    """Digests of what a comparison is made from.

    table_sha256 : of ids, outcomes and covariates of its patients. excluded : who was left out by a person. Where
    photos took part also codes (latents_sha256), checkpoint, checkpoint_sha256, preset, perceptual_name.
    """
    found: dict[str, Any] = {
        "table_sha256": table_digest(cohort.patients),
        "excluded": sorted(study.excluded.keys() & set(study.patients["patient_id"])),
        "patients_in_table": len(study.patients),
        "horizons": list(study.horizons),
    }
    if OF_PHOTOS & set(cohort.blocks):
        record = study.embedding
        found |= {
            "latents_sha256": record.latents_sha256,
            "checkpoint": record.checkpoint,
            "checkpoint_sha256": record.checkpoint_sha256,
            "preset": record.preset,
            "perceptual_name": str(record.settings.get("perceptual_name", "")),
        }
    return found


def table_digest(patients: pd.DataFrame) -> str:
    """SHA-256 of patient ids, times, events and covariates, whatever the file looked like."""
    found = hashlib.sha256()
    for name in patients.columns:
        column = patients[name]
        if column.dtype.kind in "fib":
            words = [f"{v:.12g}" for v in column.to_numpy(np.float64)]
        else:
            words = ["" if pd.isna(v) else str(v) for v in column]
        found.update("\0".join([str(name), *words]).encode())
        found.update(b"\1")
    return found.hexdigest()


def stale_reasons(study: Study, comparison: Comparison) -> tuple[str, ...]:
    """Why the comparison is not of the study as it is now, in sentences; () where it is."""
    then = comparison.provenance
    reasons = []
    now, before = study.excluded.keys() & set(study.patients["patient_id"]), set(then.get("excluded", []))
    if now - before:
        reasons.append(f"{len(now - before)} of its patients were excluded since.")
    if before - now:
        reasons.append(f"{len(before - now)} excluded patients were taken back since.")
    photos = "latents_sha256" in then
    if photos:
        try:
            _, record = read_index(study.path)
            if record.latents_sha256 != then["latents_sha256"]:
                reasons.append("The codes were made anew since.")
        except StudyError as error:
            return (*reasons, str(error))
    if not reasons and _table_changed(study, comparison, photos):
        reasons.append("Patients, outcomes or covariates of the table changed since.")
    if list(study.horizons) != list(then.get("horizons", [])):
        reasons.append("The times at which survival is reported changed since.")
    return tuple(reasons)


def _table_changed(study: Study, comparison: Comparison, photos: bool) -> bool:
    """Compared with the table now, of the patients that a comparison of this plan would take."""
    if covariate_names(study) != comparison.covariates:
        return True
    try:
        table = _table_now(study, comparison, photos)
    except StudyError:
        return True
    clinical = clinical_table(study, table, comparison.covariates)
    patients = table[outcome_columns(study)].reset_index(drop=True)
    return table_digest(pd.concat([patients, clinical], axis=1)) != comparison.provenance.get("table_sha256")


def _table_now(study: Study, comparison: Comparison, photos: bool) -> pd.DataFrame:
    if not photos:
        return patients_of(study, comparison.plan, with_photos=False)[1]
    coded = set(read_index(study.path)[0]["patient_id"])
    table = study.patients
    chosen = table["patient_id"].isin(coded & study.included_photos.keys())
    if comparison.plan.site == "single":
        chosen &= table["site"] == comparison.plan.site_name
    return table[chosen].reset_index(drop=True)
