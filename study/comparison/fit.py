"""Fits a study's photo model on its codes and says, out of fold, how well it predicts.

Where the study is simulated, the concordance of the true log-hazard of the face stands beside the model's: it is the
ceiling for any photo model, and the share of it that was recovered is (C - 0.5) / (C_true - 0.5), with a bootstrap
interval in which both are computed on the same resampled patients.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.command import path_argument
from study.description.clinical import entry_of, late_notes
from study.description.inversion_error import ErrorSurvival, error_and_survival, error_text
from study.disk.models import OUT_OF_FOLD_FILE, REPORT_FILE
from study.disk.store import Study
from study.errors import StudyError
from study.files import check_writable, csv_text, replacing_folder, write_json, write_text
from study.settings import SAFE_NAME
from survival.errors import SurvivalError
from survival.metrics.calibration import SLOPE_NAME
from survival.metrics.concordance import Estimate, bootstrap_weights, concordance_ci
from survival.metrics.pairs import harrell_pairs
from survival.models.cox_model import CoxModel

BOOTSTRAP = 1000
LATE_FIT = (
    "Patients came under observation after time 0 (left truncation): each counts from then on in the fit, its baseline "
    "hazard, Harrell's C and the calibration slope; Uno's C needs everyone followed from time 0 and is not given."
)
PACKAGES = ("numpy", "scikit-learn", "scikit-survival")


def recovered_share(
    time: NDArray[np.float64],
    event: NDArray[np.bool_],
    score: NDArray[np.float64],
    truth: NDArray[np.float64],
    n: int = BOOTSTRAP,
    seed: int = 0,
    entry: NDArray[np.float64] | None = None,
) -> Estimate:
    """(C(score) - 0.5) / (C(truth) - 0.5) with a 95 % interval; both C from the same resampled patients. (m,) each."""
    weights = np.column_stack([np.ones(len(time)), bootstrap_weights(len(time), n, seed)])
    gains = []
    for risk in (score, truth):
        concordant, comparable = harrell_pairs(time, event, risk, weights, entry)
        gains.append(np.divide(concordant, comparable, out=np.full(n + 1, np.nan), where=comparable > 0) - 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = gains[0] / gains[1]
    if not np.isfinite(share).all():
        raise StudyError("There are too few events to say what share of the true concordance was recovered.")
    low, high = np.percentile(share[1:], [2.5, 97.5])
    return Estimate(float(share[0]), float(low), float(high), len(time))


def against_truth(
    study: Study,
    patients: pd.Series,
    time: NDArray[np.float64],
    event: NDArray[np.bool_],
    score: NDArray[np.float64],
    seed: int = 0,
    entry: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Figures that only a simulated study can give of out-of-fold scores (m,), one a patient; {} for other studies.

    Raises StudyError where truth.csv lacks the hazard of the face.
    """
    face = face_hazard(study, patients)
    if face is None:
        return {}
    true = concordance_ci(time, event, face, n=BOOTSTRAP, seed=seed, entry=entry)
    share = recovered_share(time, event, score, face, seed=seed, entry=entry)
    return truth_record(true, share, score, face)


def face_hazard(study: Study, patients: pd.Series) -> NDArray[np.float64] | None:
    """(m,) true log-hazard of the patients' faces, None for a study that is not simulated. Raises StudyError where
    truth.csv lacks it."""
    if study.truth is None:
        return None
    if "face_log_hazard" not in study.truth:
        raise StudyError("truth.csv has no column face_log_hazard.", ("simulate", study.name))
    return study.truth.set_index("patient_id").loc[patients, "face_log_hazard"].to_numpy(float)


def truth_record(
    ceiling: Estimate, share: Estimate, score: NDArray[np.float64], face: NDArray[np.float64]
) -> dict[str, Any]:
    """Ready for JSON: C of the true hazard, the share of it that was recovered, correlation of the score with it."""
    correlation = float(np.corrcoef(score, face)[0, 1]) if score.std() > 0 else 0.0
    return {"harrell_face": asdict(ceiling), "recovered_share": asdict(share), "correlation_with_face": correlation}


def provenance(study: Study, table: pd.DataFrame) -> dict[str, Any]:
    """What every report of a model of the codes says of its origin; table: the patients it was fitted to."""
    embedding = study.embedding
    return {
        "study": study.name,
        "simulated": study.simulated,
        "checkpoint": embedding.checkpoint,
        "checkpoint_sha256": embedding.checkpoint_sha256,
        "preset": embedding.preset,
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
        "inversion_and_survival": error_and_survival(study, table).as_dict(),
    }


def make_report(study: Study, model: CoxModel, table: pd.DataFrame, name: str) -> dict[str, Any]:
    """Provenance and out-of-fold figures of a fitted model, ready for JSON."""
    time, event, oof = table["time"].to_numpy(float), table["event"].to_numpy(bool), model.oof_log_hr_
    return {
        "model": name,
        **provenance(study, table),
        "penalty": model.penalty,
        "alpha": float(model.alpha_),
        "components": int(model.n_components_),
        "folds": model.folds,
        "seed": model.seed,
        "harrell": asdict(model.oof_c_),
        "uno": None if np.isnan(model.oof_uno_.value) else asdict(model.oof_uno_),
        "uno_tau": float(model.uno_tau_),
        "calibration_slope": asdict(model.calibration_slope_),
        "fold_cosine": float(model.fold_cosine_),
        "truth": against_truth(study, table["patient_id"], time, event, oof, model.seed, entry_of(study, table)),
        "notes": [*model.notes_, *late_notes(study, table, LATE_FIT), *filter(None, [study.competing_note])],
        "versions": {"python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
    }


def fit(
    study: Study,
    name: str = "photo",
    model: CoxModel | None = None,
    on_progress: Callable[[float, str], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Fits `model` (default: ridge Cox) to the codes of all patients with photo and code; writes models/NAME/.

    Returns the report. On disk: model.json + model.npz, report.json, out_of_fold.csv (patient_id, log_hr, fold,
    quartile). Raises StudyError, or survival.FitCancelled when stopped; the earlier model then stays as it was.
    """
    folder = study.model_folder(name)
    check_writable(folder)
    ws, table = study.analysed()
    model = CoxModel("ridge") if model is None else model
    time, event, ids = (table[key].to_numpy() for key in ("time", "event", "patient_id"))
    try:
        model.fit(
            ws, time, event, groups=ids, on_progress=on_progress, cancelled=cancelled, entry=entry_of(study, table)
        )
        report = make_report(study, model, table, name)
    except SurvivalError as error:
        if type(error) is not SurvivalError:
            raise  # a cancel is for the caller
        raise StudyError(f"{study.name}: {error}") from error
    scores = model.cohort_[["patient", "log_hr", "fold", "quartile"]].rename(columns={"patient": "patient_id"})
    with replacing_folder(folder) as new:
        model.save(new)
        write_json(new / REPORT_FILE, report)
        write_text(new / OUT_OF_FOLD_FILE, csv_text(scores, float_format="%.6f"))
    return report


def _line(label: str, figure: dict[str, float]) -> str:
    return f"  {label:<42}{figure['value']:>7.3f}   {figure['low']:.3f} to {figure['high']:.3f}"


def report_text(report: dict[str, Any]) -> str:
    """The report as a table for a terminal."""
    left_out = report["patients_in_table"] - report["patients"]
    excluded = len(report.get("excluded", []))
    why = "no photo or code" + (f", or one of {excluded} excluded" if excluded else "")
    lines = [
        f"Model {report['model']!r} of {report['study']}: {report['patients']} patients, {report['events']} events"
        + (f" ({left_out} left out: {why})." if left_out else "."),
        f"{report['penalty'].capitalize()} Cox on {report['components']} components, penalty {report['alpha']:.3g}, "
        f"{report['folds']}-fold nested cross-validation by patient.",
        "",
        f"  {'out of fold':<42}{'value':>7}   95 % CI",
        _line("Harrell C", report["harrell"]),
        *([_line(f"Uno C (to {report['uno_tau']:g} {report['time_unit']})", report["uno"])] if report["uno"] else []),
        _line(SLOPE_NAME, report["calibration_slope"]),
    ]
    if report["truth"]:
        lines.append(_line("Harrell C of the true face log-hazard", report["truth"]["harrell_face"]))
        lines.append(_line("share of it recovered, (C-.5)/(C_true-.5)", report["truth"]["recovered_share"]))
        lines.append(
            f"  {'correlation with the true face log-hazard':<42}{report['truth']['correlation_with_face']:>7.3f}"
        )
    lines.append(f"  {'cosine between the folds directions':<42}{report['fold_cosine']:>7.3f}")
    lines += [f"Note: {note}" for note in report["notes"]]
    if found := report.get("inversion_and_survival"):
        lines += ["", error_text(ErrorSurvival.from_dict(found))]
    return "\n".join(lines)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("--name", default="photo", help="folder under models/ (default photo)")
    parser.add_argument("--penalty", choices=("ridge", "elastic-net", "lasso"), default="ridge")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)


def run(args: Any) -> int:
    from common.console import ProgressLine

    if not SAFE_NAME.fullmatch(args.name):
        raise StudyError(f"--name {args.name[:64]!r}: use letters, digits, - and _.")
    study = Study.open(args.study)
    try:
        model = CoxModel(args.penalty, folds=args.folds, seed=args.seed)
    except SurvivalError as error:
        raise StudyError(str(error)) from error
    show = ProgressLine("% fitted")
    print(report_text(fit(study, args.name, model, on_progress=lambda share, _: show(100 * share, 100))))
    return 0
