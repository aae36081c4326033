"""Perturbs photos of some patients, runs the study's own alignment, inversion and model on each, and compares scores.

Every code that was found is kept under `robustness.parts/`, by the digest of photo, change, checkpoint and settings: a
stopped run goes on, more patients cost only themselves, and another model none.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.console import Pace
from faces.align import AlignedFace
from faces.errors import FaceError
from faces.photo import Photo, load_photo
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled, InversionError
from study.disk.face_choices import Choice, read_choices
from study.disk.latents import Embedding
from study.disk.places import ROBUSTNESS_PARTS as PARTS
from study.disk.store import Study
from study.embedding.command import BATCH
from study.embedding.record import fingerprint, record_of, study_preset
from study.errors import StudyError
from study.files import read_limited, sha256_of, write_bytes
from study.photos.prepare import ALIGNED_SIZE, invert_faces, prepare, target_size
from study.robustness.perturb import PERTURBATIONS, UNCHANGED, VERSION, Perturbation
from study.robustness.record import COLUMNS, Condition, Figure, Robustness, model_digest, write_robustness
from study.scoring.scorer import Scorer
from survival.errors import SurvivalError
from survival.metrics.agreement import intraclass_ci
from survival.metrics.bootstrap import bootstrap_ci

PATIENTS, SAMPLES = 20, 2000
MAX_PART = 2**24
Progress = Callable[[float, int, float | None], None]
Stop = Callable[[], bool] | None
Found = NDArray[np.float32] | str  # a code, or why there is none


@dataclass(frozen=True)
class Task:
    """One photo under one change, and where its code is kept."""

    patient: str
    photo: Path
    change: Perturbation
    place: Path
    seed: int


def robustness(
    study: Study,
    checkpoint: Checkpoint,
    *,
    patients: int = PATIENTS,
    seed: int = 0,
    changes: tuple[str, ...] = (),
    batch: int = BATCH,
    on_progress: Progress | None = None,
    cancelled: Stop = None,
) -> Robustness:
    """Look at patients drawn by seed, write the result into the study, return it.

    changes : names of PERTURBATIONS; () for all. on_progress : codes done, codes in all, seconds left.
    Raises StudyError, one sentence; Cancelled, and what is found is kept.
    """
    unknown = [name for name in changes if name not in PERTURBATIONS]
    if unknown or patients < 2 or batch < 1:
        raise StudyError(
            f"There is no change called {unknown[0]!r}: choose of {', '.join(PERTURBATIONS)}."
            if unknown
            else "Give at least 2 patients, and a batch of at least 1."
        )
    scorer = Scorer.open(study, checkpoint)
    name, model = scorer.name, scorer.model
    sd = float(np.std(model.cohort_["log_hr"], ddof=1))
    if not sd > 0:
        raise StudyError(
            f"Model {name!r} of {study.name} gives everyone the same risk: there is no unit to measure by."
        )
    chosen = (UNCHANGED, *(PERTURBATIONS[c] for c in PERTURBATIONS if not changes or c in changes))
    drawn = draw_patients(study, set(model.cohort_["patient"].astype(str)), patients, seed)
    record = record_of(checkpoint, study_preset(study), study.settings.preset, study.settings.aligned)
    tasks = [task for patient in drawn for task in _tasks(study, patient, chosen, record)]
    codes = _codes(study, checkpoint, tasks, batch, on_progress, cancelled)
    table = score_table(tasks, codes, lambda ws: np.asarray(model.predict(ws), np.float64), sd)
    found = _summary(study, name, record, chosen, table, sd, seed, _again(study, model.predict, table, sd))
    write_robustness(study, found, table)
    return found


def draw_patients(study: Study, fitted: set[str], patients: int, seed: int) -> list[str]:
    """Some of the patients that the model was fitted on, by seed; more of them keep the first ones."""
    there = sorted(fitted & study.included_photos.keys())
    if len(there) < 2:
        raise StudyError(f"{study.name} has fewer than 2 patients with a photo and a score.")
    order = np.random.default_rng(seed).permutation(len(there))
    return [there[i] for i in order[:patients]]


def _tasks(study: Study, patient: str, chosen: tuple[Perturbation, ...], record: Embedding) -> list[Task]:
    photo = study.photo_path(patient)
    digest, mark = sha256_of(photo), fingerprint(record)
    out = []
    for change in chosen:
        key = sha256(json.dumps([VERSION, mark, digest, change.name]).encode()).hexdigest()
        place = study.path / PARTS / f"{key[:40]}.npz"
        out.append(Task(patient, photo, change, place, int(digest[:12], 16)))
    return out


def _codes(
    study: Study,
    checkpoint: Checkpoint,
    tasks: list[Task],
    batch: int,
    on_progress: Progress | None,
    cancelled: Stop,
) -> list[Found]:
    """The code of each task, from disk where it is there."""
    shape = (checkpoint.num_ws, checkpoint.w_dim)
    found: dict[int, Found] = {}
    for i, task in enumerate(tasks):
        kept = _read(task.place, shape)
        if kept is not None:
            found[i] = kept
    new = [i for i in range(len(tasks)) if i not in found]
    pace, total = Pace(), len(tasks)

    def tell(done: float) -> None:
        if on_progress is not None:
            on_progress(total - len(new) + done, total, pace.seconds_left(done, len(new) - done))

    tell(0)
    for start in range(0, len(new), batch):
        if cancelled is not None and cancelled():
            raise Cancelled("The run was stopped; codes that were found are kept.")
        block = new[start : start + batch]
        for i, one in zip(block, _embed(study, checkpoint, [tasks[i] for i in block], cancelled), strict=True):
            _write(tasks[i].place, one)
            found[i] = one
        tell(start + len(block))
    return [found[i] for i in range(total)]


def _embed(study: Study, checkpoint: Checkpoint, tasks: list[Task], cancelled: Stop) -> list[Found]:
    out: list[Found] = [""] * len(tasks)
    faces: list[AlignedFace] = []
    places: list[int] = []
    choices = read_choices(study.path)
    for i, task in enumerate(tasks):
        try:
            choice = choices.get(sha256_of(task.photo)) if choices else None
            faces.append(perturbed(task, study.settings.aligned, target_size(checkpoint), choice))
            places.append(i)
        except FaceError as error:
            out[i] = str(error)
    results = invert_faces(checkpoint, faces, study_preset(study), None, cancelled) if faces else []
    for i, result in zip(places, results, strict=True):
        out[i] = str(result) if isinstance(result, InversionError) else np.asarray(result.ws, np.float32)
    return out


def perturbed(task: Task, aligned: bool, size: int = ALIGNED_SIZE, choice: Choice | None = None) -> AlignedFace:
    """The changed photo on the study's own way to an aligned face. Raises FaceError where no face is found in it."""
    photo = load_photo(task.photo)
    if task.change is UNCHANGED:
        return prepare(photo, aligned, size, choice)
    side = 0.0
    if task.change.by_face:
        quad = prepare(photo, aligned, choice=choice).quad
        side = float(np.hypot(*(quad[3] - quad[0])))
    return prepare(Photo(task.change.change(photo.pixels, side, task.seed), photo.source), aligned, size, choice)


def _write(place: Path, found: Found) -> None:
    buffer = io.BytesIO()
    reason, ws = (found, np.zeros((0, 0), np.float32)) if isinstance(found, str) else ("", found)
    np.savez(buffer, ws=ws, reason=np.array(reason))
    write_bytes(place, buffer.getvalue())


def _read(place: Path, shape: tuple[int, int]) -> Found | None:
    """What is kept there; None where nothing is, or it is damaged."""
    if not place.is_file():
        return None
    try:
        with np.load(io.BytesIO(read_limited(place, MAX_PART, "A kept code")), allow_pickle=False) as stored:
            ws, reason = stored["ws"], str(stored["reason"])
    except (StudyError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError):
        return None
    if reason:
        return reason
    return ws if ws.shape == shape and ws.dtype == np.float32 and bool(np.isfinite(ws).all()) else None


def score_table(
    tasks: list[Task], codes: list[Found], predict: Callable[[NDArray[np.float32]], NDArray[np.float64]], sd: float
) -> pd.DataFrame:
    """A row a task: log_hr, its difference to that of the unchanged photo, the same in units of sd."""
    rows = [i for i, found in enumerate(codes) if not isinstance(found, str)]
    log_hr = np.full(len(tasks), np.nan)
    if rows:
        log_hr[rows] = predict(np.stack([np.asarray(codes[i]) for i in rows]))
    base = {task.patient: value for task, value in zip(tasks, log_hr, strict=True) if task.change is UNCHANGED}
    difference = log_hr - [base[task.patient] for task in tasks]
    columns = (
        [task.patient for task in tasks],
        [task.change.name for task in tasks],
        log_hr,
        difference,
        difference / sd,
        [found if isinstance(found, str) else "" for found in codes],
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _again(study: Study, predict: Callable, table: pd.DataFrame, sd: float) -> float:
    """Largest difference between scores of unchanged photos and of the study's codes; nan where there are several
    photos a patient, whose mean code stands for them."""
    codes, patients = study.analysed()
    single = {p for p, files in study.photo_files.items() if len(files) == 1}
    there = {p: i for i, p in enumerate(patients["patient_id"]) if p in single}
    own = table[(table["change"] == UNCHANGED.name) & table["log_hr"].notna() & table["patient_id"].isin(there)]
    if own.empty:
        return float("nan")
    before = np.asarray(predict(codes[[there[p] for p in own["patient_id"]]]), np.float64)
    return float(np.max(np.abs(own["log_hr"].to_numpy() - before)) / sd)


def _summary(
    study: Study,
    name: str,
    record: Embedding,
    chosen: tuple[Perturbation, ...],
    table: pd.DataFrame,
    sd: float,
    seed: int,
    again: float,
) -> Robustness:
    wide = table.pivot(index="patient_id", columns="change", values="difference_sd")
    if wide[UNCHANGED.name].notna().sum() < 2:
        raise StudyError(f"Fewer than 2 of the photos drawn could be scored: {table['reason'].max()}")
    changed = [change for change in chosen if change is not UNCHANGED]
    whole = wide[[change.name for change in chosen]].dropna()
    scores = table.pivot(index="patient_id", columns="change", values="log_hr").loc[whole.index, whole.columns]
    try:
        e = intraclass_ci(scores.to_numpy(), SAMPLES, seed)
        icc = Figure(e.value, e.low, e.high)
    except SurvivalError:
        icc = Figure(float("nan"), float("nan"), float("nan"))
    each = wide[[change.name for change in changed]].abs().mean(axis=1).dropna()
    return Robustness(
        study=study.name,
        model=name,
        model_sha256=model_digest(study, name),
        checkpoint=record.checkpoint,
        checkpoint_sha256=record.checkpoint_sha256,
        preset=record.preset,
        perceptual_name=str(record.settings["perceptual_name"]),
        aligned=study.settings.aligned,
        simulated=study.simulated,
        seed=seed,
        patients=len(wide),
        complete=len(whole),
        sd=sd,
        conditions=tuple(_condition(change, wide[change.name].to_numpy(), seed) for change in changed),
        icc=icc,
        size=_mean(each.to_numpy(), seed),
        again=again,
        made=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )


def _condition(change: Perturbation, difference: NDArray[np.float64], seed: int) -> Condition:
    known = difference[np.isfinite(difference)]
    size = np.abs(known)
    largest = float(size.max()) if len(size) else float("nan")
    failed = len(difference) - len(known)
    return Condition(change.name, change.label, len(known), failed, _mean(known, seed), _mean(size, seed), largest)


def _mean(values: NDArray[np.float64], seed: int) -> Figure:
    """With its bootstrap interval over patients, a value each."""
    if len(values) < 2:
        return Figure(float(values[0]) if len(values) else float("nan"), float("nan"), float("nan"))
    e = bootstrap_ci(lambda rows: float(values[rows].mean()), len(values), SAMPLES, seed)
    return Figure(e.value, e.low, e.high)
