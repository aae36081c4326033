"""A study on disk: `studies/NAME/{study.toml, patients.csv, exclusions.csv, photos.csv, photos/, latents.npy,
index.parquet, models/}`. The patient table may also be patients.xlsx or patients.parquet; photos, and what is made of
them, may be absent.

`Study.open` checks settings, table and photo names, and refuses a study with errors in one sentence; `inspect` is the
same without refusing. Codes and models are opened when asked for, and refused when they are of another checkpoint, or
when a photo changed since it was embedded.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.text import count
from study.disk import models
from study.disk.exclusions import Exclusion, read_exclusions
from study.disk.latents import (
    INDEX,
    Embedding,
    Latents,
    has_latents,
    other_checkpoint,
    read_embedding,
    read_latents,
    to_embed,
)
from study.disk.photos import FOLDER, PhotoFile, find_photos
from study.disk.places import resolve
from study.errors import Finding, Findings, StudyError
from study.files import read_limited, sha256_of
from study.settings import FILE_NAME as SETTINGS_FILE
from study.settings import Settings, read_settings
from study.tables.covariates import clinical_table
from study.tables.formats.raw import FILE_NAME as PATIENTS_FILE
from study.tables.formats.raw import MAX_BYTES
from study.tables.patients import parse_patients
from study.tables.plausible import plausible
from study.tables.read import table_file
from survival.horizons import Horizons, carried_horizons

if TYPE_CHECKING:
    from survival.models.fitted import FittedModel

TRUTH_FILE = "truth.csv"
VERIFY_BYTES = 2**29  # photos are all hashed up to this size together, about a second's work


@dataclass(frozen=True, eq=False)
class Study:
    """An opened study without errors.

    patients: one row per patient, in file order; columns patient_id, time (float, in time_unit), event (bool), photo,
    row, and where the file has them age, ecog (float, NaN missing), sex, site, stage (text, "" missing), the
    covariates of study.toml (likewise), entry (float), photo_date, baseline_date; further columns as text.
    photos: patient_id -> main photo, only of patients who have one: what pages show. files: patient_id -> all photos
    whose codes stand for the patient under the study's rule, the main one first; None: the main ones alone.
    findings: warnings and notes of opening it. excluded: patient_id -> why a person took the patient out.
    table_name: the patient table's file.
    """

    path: Path
    settings: Settings
    patients: pd.DataFrame
    photos: dict[str, Path]
    findings: tuple[Finding, ...] = field(default=())
    excluded: Mapping[str, Exclusion] = field(default_factory=dict)
    files: Mapping[str, tuple[PhotoFile, ...]] | None = None
    table_name: str = PATIENTS_FILE

    @classmethod
    def open(cls, path: Path | str) -> Study:
        """Opens and checks the study in folder `path` (or named so under studies/). Raises StudyError, one sentence."""
        study, findings = inspect(path)
        findings.refuse_errors()
        return study

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def simulated(self) -> bool:
        return self.settings.simulated

    @property
    def time_unit(self) -> str:
        return self.settings.time_unit

    @property
    def horizons(self) -> tuple[float, ...]:
        return self.settings.horizons

    def photo_path(self, patient_id: str) -> Path:
        """The photo file of a patient; StudyError when patient or photo is unknown."""
        if patient_id not in self.photos:
            what = "has no photo" if patient_id in set(self.patients["patient_id"]) else "is not in patients.csv"
            raise StudyError(f"Patient {patient_id[:64]} {what}.")
        return self.photos[patient_id]

    @cached_property
    def included_photos(self) -> dict[str, Path]:
        """The photos of all patients but the excluded ones."""
        return {patient: path for patient, path in self.photos.items() if patient not in self.excluded}

    @cached_property
    def photo_files(self) -> dict[str, tuple[PhotoFile, ...]]:
        """patient_id -> the photos whose codes stand for the patient, excluded patients' too."""
        if self.files is None:
            return {patient: (PhotoFile(path),) for patient, path in self.photos.items()}
        return {patient: self.files[patient] for patient in self.photos if patient in self.files}

    @cached_property
    def included_files(self) -> list[tuple[str, Path]]:
        """(patient_id, photo) of every photo to embed, in table order; excluded patients' are left out."""
        files = self.photo_files.items()
        return [(patient, f.path) for patient, some in files if patient not in self.excluded for f in some]

    @property
    def left_truncated(self) -> bool:
        """Whether patients came under observation only after time 0 (column entry)."""
        return "entry" in self.patients and bool((self.patients["entry"] > 0).any())

    def entry_of(self, rows: pd.DataFrame) -> np.ndarray | None:
        """(n,) when the patients of some rows came under observation; None where all patients came at time 0."""
        return rows["entry"].to_numpy(np.float64) if self.left_truncated else None

    @cached_property
    def competing_note(self) -> str:
        """What becomes of competing events, for readers of hazards or survival of this study; "" without any."""
        if not self.settings.competing_values or "competing" not in self.included:
            return ""
        coded = f"{self.settings.columns.event} = {', '.join(self.settings.competing_values)}"
        patients = count(int(self.included["competing"].sum()), "patient")
        return (
            f"Competing events ({coded}) ended the follow-up of {patients}. They count as censored at that time: "
            "hazards are cause-specific, and 1 minus survival overstates the share of patients who have the event."
        )

    @cached_property
    def included(self) -> pd.DataFrame:
        """The table without excluded patients, rows renumbered."""
        return self.patients[~self.patients["patient_id"].isin(self.excluded.keys())].reset_index(drop=True)

    @cached_property
    def covariates(self) -> tuple[str, ...]:
        """Names of the clinical covariates that vary between the patients of the table."""
        return tuple(map(str, clinical_table(self.patients, self.settings)))

    @cached_property
    def reported_horizons(self) -> Horizons:
        """Those of the study's horizons that the follow-up of the patients who are not excluded supports."""
        rows = self.included
        return carried_horizons(self.horizons, rows["time"], rows["event"], rows.get("entry"))

    @cached_property
    def truth(self) -> pd.DataFrame | None:
        """The truth table of a simulated study, rows in the order of `patients`; None for a real study."""
        path = self.path / TRUTH_FILE
        if not path.exists():
            return None
        read_limited(path, MAX_BYTES, "The truth table")
        try:
            table = pd.read_csv(path, dtype={"patient_id": str})
            return table.set_index("patient_id").loc[self.patients["patient_id"]].reset_index()
        except (ValueError, KeyError, pd.errors.ParserError) as error:
            raise StudyError(f"{TRUTH_FILE} does not fit {PATIENTS_FILE}.", ("simulate", self.name)) from error

    @property
    def has_latents(self) -> bool:
        return has_latents(self.path)

    @cached_property
    def embedding(self) -> Embedding:
        """How the codes were made (checkpoint, preset, settings)."""
        self._need_photos()
        return read_embedding(self.path)

    def _need_photos(self) -> None:
        if not self.photos and not self.has_latents:
            sentence = f"{self.name} has no photos, so there is no photo model. Its clinical columns can be compared."
            raise StudyError(sentence, ("compare", self.name))

    @cached_property
    def _checked_latents(self) -> Latents:
        self._need_photos()
        latents, _ = read_latents(self.path)
        changed = [p.name for p, digest in self._to_verify(latents.index) if sha256_of(p) != digest]
        if changed:
            others = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
            raise to_embed(self.name, f"{FOLDER}/{changed[0]}{others} changed after it was embedded.")
        return latents

    def _to_verify(self, index: pd.DataFrame) -> list[tuple[Path, str]]:
        """Photos to hash, and the digests they had: all, or, where that is too much to read, those touched since.

        A patient who left the table only leaves the analysis; a photo that changed makes its code wrong.
        """
        digests = index["photo_sha256"].to_numpy()
        photos = [(path, str(digests[row])) for paths in self._coded(index).values() for row, path in paths]
        facts = [path.stat() for path, _ in photos]
        if sum(f.st_size for f in facts) <= VERIFY_BYTES:
            return photos
        embedded = (self.path / INDEX).stat().st_mtime
        return [photo for photo, f in zip(photos, facts, strict=True) if max(f.st_mtime, f.st_ctime) > embedded]

    def latents(self, checkpoint_sha256: str | None = None) -> Latents:
        """The codes. StudyError when missing, damaged, of changed photos, or of another checkpoint than given."""
        if checkpoint_sha256 is not None and self.embedding.checkpoint_sha256 != checkpoint_sha256:
            raise other_checkpoint(self.name, self.embedding.checkpoint)
        return self._checked_latents

    def analysed(self) -> tuple[NDArray[np.float32], pd.DataFrame]:
        """Features (n, num_ws, w_dim) and table rows of the patients who have photo and code and are not excluded, in
        table order: the mean over a patient's photos of the mean over each photo's views."""
        return self._codes_of(self.included_photos)

    def fitted(self, name: str = models.DEFAULT_MODEL) -> tuple[NDArray[np.float32], pd.DataFrame]:
        """As `analysed`, of the patients that model `name` was fitted on, whoever was excluded or taken back since.

        Raises StudyError where a code of theirs is gone.
        """
        fitted = set(self.model(name).cohort_["patient"].astype(str))
        codes, table = self._codes_of({p: path for p, path in self.photos.items() if p in fitted})
        if len(table) < len(fitted):
            gone = count(len(fitted) - len(table), "patient")
            raise StudyError(f"A code is missing for {gone} of model {name!r}. Fit it again.", ("fit", self.name))
        return codes, table

    def picture_code(self, patient: str) -> NDArray[np.float32]:
        """(num_ws, w_dim), what draws a patient: the code of the main photo itself. Raises StudyError without one."""
        latents = self.latents()
        places = self._coded(latents.index).get(patient)
        if not places:
            raise to_embed(self.name, f"Patient {patient[:64]} has no code.")
        row = next((row for row, path in places if path == self.photos[patient]), places[0][0])
        return np.asarray(latents.ws[row], np.float32)

    def _codes_of(self, photos: Mapping[str, Path]) -> tuple[NDArray[np.float32], pd.DataFrame]:
        latents = self.latents()
        rows = {patient: [row for row, _ in paths] for patient, paths in self._coded(latents.index).items()}
        chosen = self.patients["patient_id"].isin(rows.keys() & photos.keys())
        table = self.patients[chosen].reset_index(drop=True)
        if table.empty:
            raise to_embed(self.name, f"No patient of {self.name} has both a photo and a code.")
        codes = latents.features_of([rows[p] for p in table["patient_id"]])
        if not np.isfinite(codes).all():
            raise to_embed(self.name, f"Some codes of {self.name} are not finite.")
        return codes, table

    def _coded(self, index: pd.DataFrame) -> dict[str, list[tuple[int, Path]]]:
        """patient_id -> (row of the code, photo) of the photos that count. Where patient and code have but one, they
        belong together whatever the file is called now."""
        rows: dict[str, list[tuple[int, str]]] = {}
        for i, (patient, photo) in enumerate(zip(index["patient_id"], index["photo_id"], strict=True)):
            rows.setdefault(patient, []).append((i, photo))
        out: dict[str, list[tuple[int, Path]]] = {}
        for patient, files in self.photo_files.items():
            coded = rows.get(patient, [])
            alone = len(coded) == len(files) == 1
            paths = {coded[0][1] if alone else f.path.stem: f.path for f in files}
            out[patient] = [(i, paths[photo]) for i, photo in coded if photo in paths]
        return {patient: places for patient, places in out.items() if places}

    @property
    def chosen_model(self) -> str:
        """Name of the model that scores faces and gives the health direction."""
        return models.chosen_name(self.path)

    def model_folder(self, name: str = models.DEFAULT_MODEL) -> Path:
        return models.model_folder(self.path, name)

    def report(self, name: str = models.DEFAULT_MODEL) -> dict[str, Any]:
        """What `fit` or `choose` wrote about model `name`: provenance and out-of-fold estimates."""
        return models.read_report(self.path, self.name, name)

    def model(self, name: str = models.DEFAULT_MODEL) -> FittedModel:
        """The fitted model; StudyError when there is none, it is damaged, or it was fitted on other codes."""
        report = self.report(name)
        if self.has_latents:
            current = (self.embedding.checkpoint_sha256, self.embedding.preset, self.embedding.views)
            if (report.get("checkpoint_sha256"), report.get("preset"), report.get("views", 1)) != current:
                raise StudyError(f"Model {name!r} was fitted on other codes.", ("fit", self.name))
        return models.read_model(self.path, self.name, name)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without garbage collection: a large table makes a million small objects at once, and the collector would go
    through all that the process holds again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_uncollected()
def inspect(path: Path | str, limit: int = 200) -> tuple[Study, Findings]:
    """Opens a study and returns it with everything found, errors included: then it is only fit for showing them.

    limit: findings of each severity that are kept; the others are counted. Raises StudyError when there is no study,
    or a file as a whole cannot be read.
    """
    folder = resolve(path)
    if not folder.is_dir():
        wrong = f"There is no study {str(path)!r}: it must be a folder with {SETTINGS_FILE} and {PATIENTS_FILE}."
        raise StudyError(wrong)
    findings = Findings(limit)
    settings = read_settings(folder, findings)
    path = table_file(folder)
    table = parse_patients(read_limited(path, MAX_BYTES, "The patient table"), settings, findings, path.name)
    files = find_photos(folder, table, settings, findings, path.name)
    photos = {patient: some[0].path for patient, some in files.items()}
    days = {patient: some[0].days for patient, some in files.items() if not np.isnan(some[0].days)}
    if "photo_days" not in table and days:
        table["photo_days"] = table["patient_id"].map(days).astype(float)
    excluded = read_exclusions(folder, findings, set(table["patient_id"]))
    plausible(table, settings, findings, path.name)
    return Study(folder, settings, table, photos, tuple(findings), excluded, files, path.name), findings
