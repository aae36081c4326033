"""Perturbs photos of some patients, runs the study's own alignment, inversion and model on each, and compares scores.

Every code is kept under `robustness.parts/`, by the digest of photo, change, checkpoint and settings: a stopped run
resumes, more patients cost only themselves, and another model costs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.part_store import JSON, PartStore, array_json, json_array
from faces.align import AlignedFace
from faces.errors import FaceError
from faces.photo import Photo
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled, InversionError
from study.disk.latents import STORED, Embedding, mean_over_views
from study.disk.places import ROBUSTNESS_PARTS as PARTS
from study.disk.store import Study
from study.embedding.command import BATCH
from study.embedding.record import code_settings, fingerprint, record_of
from study.errors import StudyError
from study.files import sha256_of
from study.photos.aligned_store import AlignedStore
from study.photos.prepare import ALIGNED_SIZE, invert_faces, prepare, target_size
from study.robustness.perturb import PERTURBATIONS, UNCHANGED, VERSION, Perturbation
from study.robustness.record import COLUMNS, PATIENTS, Condition, Interval, Robustness, model_digest, write_robustness
from study.scoring.scorer import Scorer
from survival.errors import SurvivalError
from survival.metrics.agreement import intraclass_ci
from survival.metrics.bootstrap import bootstrap_ci

SAMPLES = 2000
NOT_KNOWN = Interval(float("nan"), float("nan"), float("nan"))
Progress = Callable[[float, int], None]
Stop = Callable[[], bool] | None
Code = NDArray[np.floating[Any]] | str  # of a photo's views (views, num_ws, w_dim), or why there is none


@dataclass(frozen=True)
class Task:
    """One photo, its file and SHA-256, under one change. key: of the part that keeps its code; seed: of the grain."""

    patient: str
    photo: Path
    digest: str
    change: Perturbation
    key: str

    @property
    def seed(self) -> int:
        return int(self.digest[:12], 16)


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
    """Measures patients drawn by seed; writes the result into the study and returns it.

    changes : names of PERTURBATIONS; () for all. on_progress : codes done, codes in all.
    Raises StudyError, one sentence; Cancelled: finished photos are kept.
    """
    if unknown := [name for name in changes if name not in PERTURBATIONS]:
        raise StudyError(f"There is no change called {unknown[0]!r}: choose of {', '.join(PERTURBATIONS)}.")
    if patients < 2 or batch < 1:
        raise StudyError("Give at least 2 patients, and a batch of at least 1.")
    scorer = Scorer.open(study, checkpoint)
    name, model = scorer.name, scorer.model
    sd = float(np.std(model.cohort_["log_hr"], ddof=1))
    if not sd > 0:
        raise StudyError(
            f"Model {name!r} of {study.name} gives everyone the same risk: there is no unit to measure by."
        )
    chosen = (UNCHANGED, *(PERTURBATIONS[c] for c in PERTURBATIONS if not changes or c in changes))
    drawn = draw_patients(study, set(model.cohort_["patient"].astype(str)), patients, seed)
    aligned, views = study.settings.aligned, scorer.views
    record = record_of(checkpoint, code_settings(study), study.settings.preset, aligned, views)
    store = AlignedStore.of(study)
    tasks = [task for patient in drawn for task in _tasks(study, store, patient, chosen, record)]
    codes = _codes(study, store, checkpoint, tasks, record.views, batch, on_progress, cancelled)
    table = score_table(tasks, codes, lambda ws: np.asarray(model.predict(ws), np.float64), sd)
    result = _summary(study, name, record, chosen, table, sd, seed, _again(study, model.predict, table, sd))
    write_robustness(study, result, table)
    return result


def draw_patients(study: Study, fitted: set[str], patients: int, seed: int) -> list[str]:
    """Some of the patients that the model was fitted on, by seed; more of them keep the first ones."""
    available = sorted(fitted & study.included_photos.keys())
    if len(available) < 2:
        raise StudyError(f"{study.name} has fewer than 2 patients with a photo and a score.")
    order = np.random.default_rng(seed).permutation(len(available))
    return [available[i] for i in order[:patients]]


def _tasks(
    study: Study, store: AlignedStore, patient: str, chosen: tuple[Perturbation, ...], record: Embedding
) -> list[Task]:
    photo = study.photo_path(patient)
    digest, mark = sha256_of(photo), fingerprint(record)
    face = store.choices[digest].face if digest in store.choices else 1
    keys = [sha256(json.dumps([VERSION, mark, digest, face, c.name]).encode()).hexdigest()[:40] for c in chosen]
    return [Task(patient, photo, digest, change, key) for change, key in zip(chosen, keys, strict=True)]


def _codes(
    study: Study,
    store: AlignedStore,
    checkpoint: Checkpoint,
    tasks: list[Task],
    views: int,
    batch: int,
    on_progress: Progress | None,
    cancelled: Stop,
) -> list[Code]:
    """The codes of each task, from disk where they exist."""
    parts = PartStore(study.path / PARTS)
    shape = (views, checkpoint.num_ws, checkpoint.w_dim)
    codes = {i: code for i, task in enumerate(tasks) if (code := _read(parts, task.key, shape)) is not None}
    new = [i for i in range(len(tasks)) if i not in codes]
    total = len(tasks)

    def report(done: float) -> None:
        if on_progress is not None:
            on_progress(total - len(new) + done, total)

    report(0)
    for start in range(0, len(new), batch):
        if cancelled is not None and cancelled():
            raise Cancelled("The run was stopped; finished photos are kept.")
        block = new[start : start + batch]
        made = _embed(study, store, checkpoint, [tasks[i] for i in block], views, cancelled)
        for i, code in zip(block, made, strict=True):
            _write(parts, tasks[i].key, code)
            codes[i] = code
        report(start + len(block))
    return [codes[i] for i in range(total)]


def _embed(
    study: Study, store: AlignedStore, checkpoint: Checkpoint, tasks: list[Task], views: int, cancelled: Stop
) -> list[Code]:
    out: list[Code] = [""] * len(tasks)
    faces: list[AlignedFace] = []
    places: list[int] = []
    for i, task in enumerate(tasks):
        try:
            faces.append(perturbed(task, store, target_size(checkpoint)))
            places.append(i)
        except FaceError as error:
            out[i] = str(error)
    results = invert_faces(checkpoint, faces, code_settings(study), views, None, cancelled) if faces else []
    for i, result in zip(places, results, strict=True):
        out[i] = str(result) if isinstance(result, InversionError) else result.views.astype(STORED)
    return out


def perturbed(task: Task, store: AlignedStore, size: int = ALIGNED_SIZE) -> AlignedFace:
    """The changed photo, aligned as the study aligns its photos. Raises FaceError where no face is found in it."""
    if task.change is UNCHANGED:
        return store.face(task.photo, size, task.digest)
    side = 0.0
    if task.change.by_face:
        quad = store.face(task.photo, digest=task.digest).quad
        side = float(np.hypot(*(quad[3] - quad[0])))
    photo = store.decoded(task.photo, task.digest)
    changed = Photo(task.change.change(photo.pixels, side, task.seed), photo.source)
    return prepare(changed, store.aligned, size, store.choices.get(task.digest))


def _write(parts: PartStore, key: str, code: Code) -> None:
    reason, ws = (code, np.zeros((0, 0, 0), STORED)) if isinstance(code, str) else ("", code)
    try:
        parts.put(key, {"ws": ws, "reason": json_array(reason)})
    except OSError as error:
        raise StudyError(f"{PARTS}/ could not be written: {error.strerror or error}.") from error


def _read(parts: PartStore, key: str, shape: tuple[int, int, int]) -> Code | None:
    """The codes that are kept, or the reason why there is none; None where nothing is kept, or it is damaged."""
    arrays = parts.get(key, {"ws": (STORED, (None, None, None)), "reason": JSON})
    try:
        reason = "" if arrays is None else str(array_json(arrays["reason"]))
    except ValueError:
        return None
    return reason or (arrays["ws"] if arrays is not None and arrays["ws"].shape == shape else None)


def score_table(
    tasks: list[Task], codes: list[Code], predict: Callable[[NDArray[np.float32]], NDArray[np.float64]], sd: float
) -> pd.DataFrame:
    """One row per task: log_hr, its difference to that of the unchanged photo, the same in units of sd."""
    rows = [i for i, code in enumerate(codes) if not isinstance(code, str)]
    log_hr = np.full(len(tasks), np.nan)
    if rows:
        log_hr[rows] = predict(np.stack([mean_over_views(np.asarray(codes[i])) for i in rows]).astype(np.float32))
    base = {task.patient: value for task, value in zip(tasks, log_hr, strict=True) if task.change is UNCHANGED}
    difference = log_hr - [base[task.patient] for task in tasks]
    who, what = [task.patient for task in tasks], [task.change.name for task in tasks]
    reasons = [code if isinstance(code, str) else "" for code in codes]
    columns = (who, what, log_hr, difference, difference / sd, reasons)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _again(study: Study, predict: Callable, table: pd.DataFrame, sd: float) -> float:
    """Largest difference between scores of unchanged photos and of the study's codes; nan where there are several
    photos a patient, whose mean code stands for them."""
    codes, patients = study.analysed()
    single = {p for p, files in study.photo_files.items() if len(files) == 1}
    single_rows = {p: i for i, p in enumerate(patients["patient_id"]) if p in single}
    rows = table[(table["change"] == UNCHANGED.name) & table["log_hr"].notna() & table["patient_id"].isin(single_rows)]
    if rows.empty:
        return float("nan")
    before = np.asarray(predict(codes[[single_rows[p] for p in rows["patient_id"]]]), np.float64)
    return float(np.max(np.abs(rows["log_hr"].to_numpy() - before)) / sd)


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
    icc = NOT_KNOWN
    with suppress(SurvivalError):
        icc = Interval(*astuple(intraclass_ci(scores.to_numpy(), SAMPLES, seed))[:3])
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
    finite = difference[np.isfinite(difference)]
    size = np.abs(finite)
    largest = float(size.max()) if len(size) else float("nan")
    failed = len(difference) - len(finite)
    return Condition(change.name, change.label, len(finite), failed, _mean(finite, seed), _mean(size, seed), largest)


def _mean(values: NDArray[np.float64], seed: int) -> Interval:
    """With its bootstrap interval over patients, a value each."""
    if len(values) < 2:
        return replace(NOT_KNOWN, value=float(values[0])) if len(values) else NOT_KNOWN
    return Interval(*astuple(bootstrap_ci(lambda rows: float(values[rows].mean()), len(values), SAMPLES, seed))[:3])
