"""What the models of a study may use: its feature sets as blocks, one row per patient, the same for all models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from common.text import count
from study.comparison.measuring.shortcuts import SHORTCUT_SETS, shortcut_blocks
from study.comparison.plan import DEFAULT, DEFAULT_SETS, FEATURE_SETS, IMAGE, NETWORK, READOUTS, Plan
from study.description.delayed_entry import late_notes
from study.disk.store import Study
from study.errors import StudyError
from study.photos.aligned_store import AlignedStore
from study.photos.model_inputs import NO_FACE, aligned_photos, colours_of, descriptors
from study.tables.covariates import as_words, clinical_table
from survival.features.encoding import Block, Features

PERSON = ("age", "sex")
PHOTO, DESCRIPTOR, AGE_SEX, CLINICAL = "photo", "descriptor", "age-sex", "clinical"
COLOUR = "colour"  # of parts of the face (faces.appearance.colour)
MEASURED = (COLOUR, DESCRIPTOR)  # what readouts of the codes are learned from
ENOUGH = 0.8  # of the patients measured, for readouts to be the default
STRATA = "strata"  # the site alone, for features without it
STRATIFIED = (
    "Stratified Cox models compare patients within a site. Their results here are over all patients, as for other "
    "models, and so include the ranking of patients from different sites, which such a model does not predict; the "
    "subgroups by site do not."
)
OF_PHOTOS = frozenset({PHOTO, *MEASURED, IMAGE, *SHORTCUT_SETS})  # blocks
Progress = Callable[[int, int], None]


def only_of_photos(blocks: Iterable[str]) -> bool:
    """Whether a model with these blocks uses no clinical column, so that its score may be adjusted for them."""
    return set(blocks) <= OF_PHOTOS | {STRATA}


def of_codes_alone(model: str, blocks: Iterable[str]) -> bool:
    """Whether a model of the registry with these blocks needs a new photo's code and nothing else."""
    return set(blocks) - {STRATA} - (set(MEASURED) if model == READOUTS else set()) == {PHOTO}


@dataclass(frozen=True, eq=False)
class Cohort:
    """The patients of a comparison. blocks: by name. patients: patient_id, time, event, entry with delayed entry,
    and the covariates, m rows."""

    blocks: Features
    patients: pd.DataFrame
    covariates: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def entry(self) -> np.ndarray | None:
        """(m,) when each came under observation; None without delayed entry."""
        return self.patients["entry"].to_numpy(np.float64) if "entry" in self.patients else None


def outcome_columns(study: Study) -> list[str]:
    """Columns of the table that hold the outcome."""
    return ["patient_id", "time", "event", *(["entry"] if study.left_truncated else [])]


def unavailable_sets(study: Study) -> dict[str, str]:
    """Feature set -> why this study does not have it, of those it does not have."""
    covariates = study.covariates
    lacks: dict[str, str] = {}
    if not set(PERSON) & set(covariates):
        lacks[AGE_SEX] = "The table has neither age nor sex."
    if not covariates:
        lacks[CLINICAL] = "The table has no clinical column that differs between patients."
    if not study.included_photos:
        lacks[PHOTO] = lacks[DESCRIPTOR] = lacks[IMAGE] = "The study has no photos."
    elif not study.has_latents:
        lacks[PHOTO] = "The photos have no codes yet."
        lacks[DESCRIPTOR] = lacks[IMAGE] = lacks[PHOTO]  # all models must see the same patients: those with a code
    return {
        name: next(lacks[block] for block in feature_set.blocks if block in lacks)
        for name, feature_set in FEATURE_SETS.items()
        if any(block in lacks for block in feature_set.blocks)
    }


def available_sets(study: Study) -> tuple[str, ...]:
    """Names of the default feature sets that this study has, in order."""
    lacks = unavailable_sets(study)
    return tuple(name for name in DEFAULT_SETS if name not in lacks)


def chosen_sets(study: Study, plan: Plan) -> tuple[str, ...]:
    """The plan's feature sets; the default ones of the study where the plan names none, and the aligned photo for the
    network. Raises StudyError for absent ones."""
    lacks = unavailable_sets(study)
    alone = plan.models == (NETWORK,)
    names = () if alone else plan.features or available_sets(study)
    names = (*names, IMAGE) if NETWORK in plan.models else names
    for name in names:
        if name in lacks:
            raise StudyError(f"{study.name} has no feature set {name!r}: {lacks[name]}")
    if plan.shortcuts and PHOTO in lacks:
        raise StudyError(f"{study.name} has no embedded photos for shortcut controls: {lacks[PHOTO]}")
    if not names:
        raise StudyError(f"{study.name} has nothing to predict from: neither photos with codes nor clinical columns.")
    return tuple(dict.fromkeys(names))


def gather(
    study: Study, plan: Plan, on_progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
) -> Cohort:
    """Blocks of all chosen sets for the patients who have every one of them.

    Where a set uses photos these are the patients with photo and code, else all; never excluded ones. Raises
    StudyError; FitCancelled where the description of photos was stopped.
    """
    names = {block for name in chosen_sets(study, plan) for block in FEATURE_SETS[name].blocks}
    names |= set(SHORTCUT_SETS) if plan.shortcuts else set()
    codes, table = patients_of(study, plan, with_photos=bool(names & OF_PHOTOS))
    covariates = study.covariates
    columns = clinical_table(table, study.settings, covariates).reset_index(drop=True)
    blocks: dict[str, Block] = {}
    if PHOTO in names:
        assert codes is not None
        blocks[PHOTO] = codes
    if PHOTO in chosen_sets(study, plan) and {DEFAULT, READOUTS} & set(plan.models):
        measured = _measured(study, table, on_progress, cancelled)
        blocks |= measured if READOUTS in plan.models or measured_enough(measured) else {}
    if DESCRIPTOR in names:
        blocks[DESCRIPTOR] = _descriptors(study, table, on_progress, cancelled)
    if IMAGE in names:
        blocks[IMAGE] = _images(study, table, on_progress, cancelled)
    if plan.shortcuts:
        files, starts = _files_of(study, table)
        pixels = shortcut_blocks(aligned_photos(AlignedStore.of(study), files, on_progress, cancelled))
        blocks |= {name: _means(each, starts) for name, each in pixels.items()}
    if AGE_SEX in names:
        blocks[AGE_SEX] = columns[[name for name in PERSON if name in covariates]]
    if CLINICAL in names:
        within = [name for name in covariates if not (plan.site == "single" and name == "site")]
        if not within:
            raise StudyError("Within one site there is no clinical column left: choose other feature sets.")
        blocks[CLINICAL] = columns[within]
    if plan.site == "strata":
        blocks[STRATA] = columns[["site"]]
    patients = table[outcome_columns(study)].reset_index(drop=True)
    notes = late_notes(study, table)
    notes += [study.competing_note] if study.competing_note else []
    notes += [STRATIFIED] if plan.site == "strata" else []
    return Cohort(blocks, pd.concat([patients, as_words(columns)], axis=1), covariates, tuple(notes))


def patients_of(study: Study, plan: Plan, with_photos: bool) -> tuple[np.ndarray | None, pd.DataFrame]:
    """(codes or None, table rows) of the patients of a plan. Raises StudyError where nobody is left."""
    codes, table = study.analysed() if with_photos else (None, study.included)
    if plan.site == "single":
        if "site" not in table or not (table["site"] == plan.site_name).any():
            raise StudyError(f"No patient of {study.name} has the site {plan.site_name[:60]!r}.")
        rows = np.flatnonzero(table["site"] == plan.site_name)
        table = table.iloc[rows].reset_index(drop=True)
        codes = None if codes is None else codes[rows]
    if plan.site == "strata" and "site" not in study.covariates:
        raise StudyError(f"{study.name} has no site to stratify by.")
    return codes, table


def measured_enough(blocks: Mapping[str, Block]) -> bool:
    """Whether readouts are the default model of the photo: MEASURED of ENOUGH of the patients."""
    if not set(MEASURED) <= blocks.keys():
        return False
    known = np.isfinite(np.concatenate([np.asarray(blocks[name]) for name in MEASURED], axis=1)).all(axis=1)
    return bool(known.mean() >= ENOUGH)


def _measured(
    study: Study, table: pd.DataFrame, on_progress: Progress | None, cancelled: Callable[[], bool] | None
) -> dict[str, Block]:
    """MEASURED, a row a patient: the mean over the photos; nan where there is no face or no landmarks in one."""
    files, starts = _files_of(study, table)
    store = AlignedStore.of(study)
    each = {
        COLOUR: colours_of(store, files, on_progress, cancelled),
        DESCRIPTOR: descriptors(store, files, on_progress, cancelled),
    }
    return {name: _means(rows, starts) for name, rows in each.items()}


def _descriptors(
    study: Study, table: pd.DataFrame, on_progress: Progress | None, cancelled: Callable[[], bool] | None
) -> np.ndarray:
    """(m, 128), the mean over a patient's photos."""
    files, starts = _files_of(study, table)
    rows = _means(descriptors(AlignedStore.of(study), files, on_progress, cancelled), starts)
    _refuse(~np.isfinite(rows).all(axis=1), table, "feature set descriptor")
    return rows


def _refuse(without: np.ndarray, table: pd.DataFrame, what: str) -> None:
    """Raises StudyError where a patient (m,) has no face in the photo, which `what` needs."""
    if without.any():
        raise StudyError(
            f"No face was found in {count(int(without.sum()), 'photo')} (the first is of "
            f"{table['patient_id'].iloc[without.argmax()]}): exclude these patients, or leave the {what} out."
        )


def _files_of(study: Study, table: pd.DataFrame) -> tuple[list[Path], np.ndarray]:
    """(photos of all patients one after the other, (m + 1,) where each patient's begin)."""
    files = [[f.path for f in study.photo_files[p]] for p in table["patient_id"]]
    return [path for some in files for path in some], np.cumsum([0, *(len(some) for some in files)])


def _means(each: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """One row per photo -> one row per patient."""
    return np.stack([each[a:b].mean(axis=0) for a, b in pairwise(starts)])


def _images(
    study: Study, table: pd.DataFrame, on_progress: Progress | None, cancelled: Callable[[], bool] | None
) -> np.ndarray:
    """uint8 (m, S, S, 3): the main photo of each patient, aligned. Faces are not averaged, which would blur them."""
    files = [study.photo_files[p][0].path for p in table["patient_id"]]
    photos = aligned_photos(AlignedStore.of(study), files, on_progress, cancelled)
    _refuse(photos.state == NO_FACE, table, "model cnn")
    return photos.pixels
