"""One candidate of a comparison becomes the study's model: fitted to all its patients, saved, and named in
`models/chosen.json`, so that Portrait and Health direction use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.features import PHOTO, STRATA, gather
from study.comparison.fit import face_hazard, provenance, truth_record
from study.comparison.measuring.measure import SHARE, TRUTHS
from study.comparison.plan import IMAGE
from study.comparison.record import MODEL, Comparison, Judged
from study.comparison.standing import stale_reasons
from study.disk.models import CHOSEN_FILE, MODELS, OUT_OF_FOLD_FILE, REPORT_FILE, USUAL_MODEL
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, replacing_folder, write_json, write_text
from study.settings import SAFE_NAME
from survival.comparison.evaluate import HARRELL, UNO
from survival.errors import FitCancelled, SurvivalError
from survival.metrics.calibration import calibration_slope
from survival.metrics.concordance import Estimate, unknown
from survival.models import make_model
from survival.models.cox_model import mean_cosine
from survival.models.fitted import AppliedModel, applicable, why_not_saved

Told = Callable[[str], None]
Cancelled = Callable[[], bool] | None


def why_not_chosen(judged: Judged) -> str:
    """Why a candidate cannot be the study's model, in one sentence; '' where it can."""
    if judged.error:
        return f"Not fitted: {judged.error}"
    if judged.role != MODEL:
        return "A control is there to be compared with."
    if IMAGE in judged.blocks:
        return "It looks at pixels, and Portrait and Health direction know codes: choose a model of the photo's code."
    if set(judged.blocks) - {STRATA} != {PHOTO}:
        return (
            "More is needed than a photo's code (clinical values or a face descriptor), which the Portrait page does "
            "not have of a new face: choose a model of the photo alone."
        )
    return why_not_saved(judged.model, judged.settings)


def name_of(judged: Judged) -> str:
    """Folder under models/ for a candidate: 'photo / cox-ridge' is photo-cox-ridge."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in judged.name.replace(" / ", "-"))[:64]


def choose(
    study: Study, comparison: Comparison, candidate: str, told: Told = lambda _: None, cancelled: Cancelled = None
) -> str:
    """Fit a candidate to all patients of the comparison, save it under models/ and make it the study's model.

    Its out-of-fold figures are those of the comparison, so they are not computed anew. Returns its name. Raises
    StudyError for a candidate that cannot be chosen or a comparison that is not of the study as it is now;
    FitCancelled; nothing is changed then.
    """
    judged = comparison.candidate(candidate)
    if why := why_not_chosen(judged):
        raise StudyError(f"{judged.label} cannot be the study's model. {why}")
    if reasons := stale_reasons(study, comparison):
        raise StudyError(f"The comparison is not of the study as it is now: {' '.join(reasons)} Compare again first.")
    if np.ptp(comparison.scores.scores[judged.name].log_risk[0]) == 0:
        raise StudyError(f"{judged.label} gives everyone the same risk, so it cannot be the study's model.")
    cohort = gather(study, comparison.plan)
    time, event = (cohort.patients[key].to_numpy() for key in ("time", "event"))
    own = {PHOTO: np.asarray(cohort.blocks[PHOTO])}
    try:
        told("Fitting to all patients")
        model = make_model(judged.model, **judged.settings).fit(own, time, event, None, cancelled, cohort.entry)
        told("Comparing the directions of the folds")
        cosine = _fold_cosine(judged, own[PHOTO], comparison, cancelled)
        applied = _applied(judged, applicable(model), comparison, cosine, tuple(model.notes_))
    except FitCancelled:
        raise
    except SurvivalError as error:
        raise StudyError(f"{judged.label}: {error}") from error
    name = name_of(judged)
    _write(study, comparison, judged, applied, name)
    use(study, name)
    return name


def use(study: Study, name: str) -> None:
    """Make a model that is there the study's model. Raises StudyError where it cannot be read."""
    if not SAFE_NAME.fullmatch(name):
        raise StudyError(f"{name[:64]!r} cannot be a model's name.")
    model = study.model(name)
    if getattr(model, "blocks", (PHOTO,)) != (PHOTO,):
        raise StudyError(f"Model {name!r} needs more than a photo, so it cannot be used on a new face.")
    path = study.path / MODELS / CHOSEN_FILE
    if name == USUAL_MODEL:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"model": name})


def _fold_cosine(judged: Judged, codes: np.ndarray, comparison: Comparison, cancelled: Cancelled) -> float:
    """Mean cosine between the gradients of models fitted without each fold (first repeat); nan where there are none."""
    fold, gradients = comparison.scores.fold[0], []
    time, event, entry = comparison.scores.time, comparison.scores.event, comparison.scores.entry
    for k in np.unique(fold):
        rows = fold != k
        model = make_model(judged.model, **judged.settings)
        try:
            late = None if entry is None else entry[rows]
            model.fit({PHOTO: codes[rows]}, time[rows], event[rows], None, cancelled, late)
            found = model.log_hr_gradient()[PHOTO]
        except FitCancelled:
            raise
        except SurvivalError:
            return float("nan")
        gradients.append(np.asarray(found).ravel())
    return mean_cosine(np.array(gradients))


def _applied(judged: Judged, base: Any, comparison: Comparison, cosine: float, notes: tuple[str, ...]) -> AppliedModel:
    scores = comparison.scores.scores[judged.name]
    cohort = pd.DataFrame(
        {
            "patient": comparison.patients["patient_id"].astype(str),
            "time": comparison.scores.time,
            "event": comparison.scores.event,
            "log_hr": scores.log_risk[0],
            "fold": comparison.scores.fold[0],
            "quartile": scores.quartile[0],
        }
    )
    late = comparison.scores.entry
    if late is not None:
        cohort["entry"] = late
    figures: dict[str, Estimate] = {
        "oof_c_": comparison.figure(judged.name, HARRELL),
        "oof_uno_": comparison.figure(judged.name, UNO) if late is None else unknown(len(cohort)),
        "calibration_slope_": calibration_slope(*_outcome(comparison), scores.log_risk[0], late),
    }
    return AppliedModel(base, judged.label, cohort, figures, comparison.tau, cosine, notes)


def _outcome(comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
    return comparison.scores.time, comparison.scores.event


def _write(study: Study, comparison: Comparison, judged: Judged, model: AppliedModel, name: str) -> None:
    """models/NAME/: model, report and scores, in place together."""
    scores = model.cohort_[["patient", "log_hr", "fold", "quartile"]].rename(columns={"patient": "patient_id"})
    report = _report(study, comparison, judged, model, name)
    with replacing_folder(study.model_folder(name)) as new:
        model.save(new)
        write_json(new / REPORT_FILE, report)
        write_text(new / OUT_OF_FOLD_FILE, csv_text(scores, float_format="%.6f"))


def _report(study: Study, comparison: Comparison, judged: Judged, model: AppliedModel, name: str) -> dict[str, Any]:
    """What `fit` writes of a model, from the comparison."""
    return {
        "model": name,
        "label": judged.label,
        "comparison": comparison.name,
        "candidate": judged.name,
        **provenance(study, study.analysed()[1]),
        "folds": comparison.plan.folds,
        "repeats": comparison.plan.repeats,
        "seed": comparison.plan.seed,
        "harrell": _plain(model.oof_c_),
        "uno": None if np.isnan(model.oof_uno_.value) else _plain(model.oof_uno_),
        "uno_tau": model.uno_tau_,
        "calibration_slope": _plain(model.calibration_slope_),
        "fold_cosine": None if np.isnan(model.fold_cosine_) else model.fold_cosine_,
        "truth": _truth(study, comparison, judged, model.cohort_),
        "notes": list(model.notes_),
        "versions": comparison.versions,
    }


def _truth(study: Study, comparison: Comparison, judged: Judged, cohort: pd.DataFrame) -> dict[str, Any]:
    """Of a simulated study: the comparison's own figures against the true hazard of the face."""
    face = face_hazard(study, cohort["patient"])
    if face is None:
        return {}
    rows = {(row["candidate"], row["measure"]): row for row in comparison.tables["truth"].to_dict("records")}
    ceiling, share = (
        Estimate(float(row["value"]), float(row["low"]), float(row["high"]), len(cohort))
        for row in (rows["", TRUTHS["face_log_hazard"]], rows[judged.name, SHARE])
    )
    found = truth_record(ceiling, share, cohort["log_hr"].to_numpy(float), face)
    return found | {"harrell_face": _plain(ceiling), "recovered_share": _plain(share)}


def _plain(e: Estimate) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and np.isnan(v) else v for key, v in asdict(e).items()}
