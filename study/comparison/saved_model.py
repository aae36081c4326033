"""From a cross-validated candidate to models/NAME/: the fit to all patients, its scores and its report."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.features import Cohort
from study.comparison.measuring.measure import SHARE, TRUTHS, face_hazard, truth_table
from study.comparison.record import CandidateResult
from study.comparison.run import Work
from study.comparison.same_person import same_person
from study.description.delayed_entry import late_notes
from study.description.inversion_error import error_and_survival
from study.disk.models import OUT_OF_FOLD_FILE, REPORT_FILE
from study.disk.store import Study
from study.files import csv_text, replacing_folder, write_json, write_text
from survival.comparison.crossval import Candidate, CrossValidation
from survival.comparison.fit import fit_to_all
from survival.metrics.estimate import Estimate

REFITS = "bootstrap refits"
DELAYED_ENTRY = (
    "Some patients came under observation after time 0 (delayed entry, left truncation): each counts as at risk from "
    "then on in the fit, its baseline hazard, Harrell's C and the calibration slope; Uno's C needs everyone followed "
    "from time 0 and is not given."
)


def save_model(
    work: Work,
    name: str,
    cohort: Cohort,
    chosen: CandidateResult,
    scored: CrossValidation,
    versions: dict[str, str],
    comparison: str = "",
) -> dict[str, Any]:
    """Fit the candidate to all patients and write models/NAME/ in one step; returns the report.

    On disk: model.json + model.npz, report.json, out_of_fold.csv (patient_id, log_hr, fold, quartile). comparison: name
    of the one that it was chosen from, "" for a model of `fit`. Raises SurvivalError.
    """
    study, plan = work.study, work.plan
    candidate = Candidate(chosen.name, chosen.model, chosen.blocks, chosen.settings)
    model = fit_to_all(
        candidate,
        {name: cohort.blocks[name] for name in chosen.blocks},
        scored,
        cohort.patients["patient_id"].tolist(),
        label=chosen.label,
        samples=plan.samples,
        seed=plan.seed,
        same_person=same_person(study, cohort.patients["patient_id"].tolist()),
        cache=work.cache,
        on_progress=work.counter(REFITS),
        cancelled=work.cancelled,
    )
    table = study.patients[study.patients["patient_id"].isin(cohort.patients["patient_id"])].reset_index(drop=True)
    report = {
        "model": name,
        "label": chosen.label,
        "comparison": comparison,
        "candidate": chosen.name,
        **_provenance(study, table),
        "alpha": None if model.path_ is None else model.path_.alpha,
        "components": None if model.path_ is None else model.path_.components,
        "folds": plan.folds,
        "repeats": plan.repeats,
        "seed": plan.seed,
        "harrell": _plain(model.oof_c_),
        "uno": None if np.isnan(model.oof_uno_.value) else _plain(model.oof_uno_),
        "uno_tau": model.uno_tau_,
        "calibration_slope": _plain(model.calibration_slope_),
        "fold_cosine": None if np.isnan(model.fold_cosine_) else model.fold_cosine_,
        "truth": _truth(work, cohort, chosen, scored),
        "notes": [
            *model.notes_,
            *late_notes(study, table, DELAYED_ENTRY),
            *filter(None, [study.competing_note]),
        ],
        "versions": versions,
    }
    scores = model.cohort_[["patient", "log_hr", "fold", "quartile"]].rename(columns={"patient": "patient_id"})
    with replacing_folder(study.model_folder(name)) as new:
        model.save(new)
        write_json(new / REPORT_FILE, report)
        write_text(new / OUT_OF_FOLD_FILE, csv_text(scores, float_format="%.6f"))
    return report


def _provenance(study: Study, table: pd.DataFrame) -> dict[str, Any]:
    """Where a model's patients, the rows of `table`, and their codes come from."""
    embedding = study.embedding
    return {
        "study": study.name,
        "simulated": study.simulated,
        "checkpoint": embedding.checkpoint,
        "checkpoint_sha256": embedding.checkpoint_sha256,
        "preset": embedding.preset,
        "views": embedding.views,
        "perceptual_name": embedding.settings.get("perceptual_name", ""),
        "encoder_sha256": embedding.settings.get("encoder_sha256", ""),
        "latents_sha256": embedding.latents_sha256,
        "patients": len(table),
        "patients_in_table": len(study.patients),
        "photo_rule": study.settings.photo_rule,
        "excluded": sorted(study.excluded.keys() & set(study.patients["patient_id"])),
        "events": int(table["event"].sum()),
        "time_unit": study.time_unit,
        "horizons": list(study.horizons),
        "inversion_and_survival": asdict(error_and_survival(study, table)),
    }


def _truth(work: Work, cohort: Cohort, chosen: CandidateResult, scored: CrossValidation) -> dict[str, Any]:
    """Of a simulated study: C of the true hazard of the face, the share of it that was recovered, and the correlation
    of the scores (first repeat) with it. {} for other studies."""
    face = face_hazard(work.study, cohort.patients["patient_id"])
    if face is None:
        return {}
    table = truth_table(work.study, scored, [chosen], cohort.patients, work.plan)
    rows = {row["measure"]: row for row in table.to_dict("records")}
    ceiling, share = (
        Estimate(float(row["value"]), float(row["low"]), float(row["high"]), len(face))
        for row in (rows[TRUTHS["face_log_hazard"]], rows[SHARE])
    )
    score = scored.scores[chosen.name].log_risk[0]
    correlation = float(np.corrcoef(score, face)[0, 1]) if score.std() > 0 else 0.0
    return {"harrell_face": _plain(ceiling), "recovered_share": _plain(share), "correlation_with_face": correlation}


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {key: None if pd.isna(value) else value for key, value in asdict(estimate).items()}
