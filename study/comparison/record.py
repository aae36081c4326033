"""The result of a comparison on disk: `studies/NAME/comparisons/NAME/{comparison.json, comparison.npz}`.

It holds all that the page and the report show, so that nothing is fitted again: out-of-fold scores of all candidates,
and tables with every estimate and its interval. `Comparison.load` trusts nothing that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.plan import Plan
from study.comparison.tables import TABLES, frame_of, packed, plain, unpacked
from study.disk.places import COMPARISONS as FOLDER
from study.errors import StudyError
from study.settings import SAFE_NAME
from survival.comparison import crossval
from survival.comparison.crossval import Scores
from survival.errors import SurvivalError
from survival.metrics.estimate import Estimate
from survival.storage import read_model, write_model

STEM, KIND = "comparison", "comparison-1"
MODEL, CONTROL = "model", "control"


@dataclass(frozen=True)
class CandidateResult:
    """One candidate of a comparison.

    name : its key in every table. label : for people, "Photo (W+), ridge Cox". role : "model" or "control".
    features : name of its feature set, "" for a control without one. model : of survival.models.registry. blocks :
    what it uses. settings : of the model, as it was run. notes : sentences about the fits, all folds together.
    seconds : of work. error : why it has no scores, else "".
    """

    name: str
    label: str
    role: str
    features: str
    model: str
    blocks: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """A finished comparison of m patients, R repeats, T times.

    Attributes
    ----------
    name, study, title, simulated, time_unit : of the study when it was made. horizons : those at which there are
        estimates; horizons_left_out : those of the study where follow-up is too short.
    plan : what was requested (features, models, folds, repeats, seed, samples, ...).
    candidates : in the order of the plan; models first, then controls.
    patients : one row per patient, m in the order of the scores: patient_id, time, event (bool), and the covariates
        that clinical models saw (numbers, or words with None where missing). covariates : their names.
    scores : CrossValidation with log_risk (R, m), survival (R, m, T), quartile (R, m) of every candidate that has some,
        and time, event, fold (R, m), times (T,), null (R, m, T), failed. The control with permuted outcomes has no
        scores, only estimates: its outcomes differ.
    tables : name -> DataFrame, columns as in `study.comparison.tables.TABLES`.
    tau : limit of Uno's C. provenance : digests of what it was made from, see `study.comparison.provenance`.
    versions : package -> version. made : UTC, 2026-05-31T12:00:00Z. seconds : of work, all processes together.
    notes : sentences for people about the comparison as a whole.
    """

    name: str
    study: str
    title: str
    simulated: bool
    time_unit: str
    horizons: tuple[float, ...]
    horizons_left_out: tuple[float, ...]
    plan: Plan
    candidates: tuple[CandidateResult, ...]
    patients: pd.DataFrame
    covariates: tuple[str, ...]
    scores: crossval.CrossValidation
    tables: dict[str, pd.DataFrame]
    tau: float
    provenance: dict[str, Any]
    versions: dict[str, str]
    made: str
    seconds: float
    notes: tuple[str, ...] = ()

    def rows(self, table: str, **equal: object) -> pd.DataFrame:
        """The rows of a table whose columns have these values."""
        frame = self.tables[table]
        return frame[np.logical_and.reduce([frame[column] == value for column, value in equal.items()])]

    @property
    def events(self) -> int:
        return int(self.scores.event.sum())

    @property
    def models(self) -> tuple[CandidateResult, ...]:
        """Candidates with scores that are not controls."""
        return tuple(c for c in self.candidates if c.role == MODEL and c.name in self.scores.scores)

    def candidate(self, name: str) -> CandidateResult:
        """By name. Raises StudyError."""
        for candidate in self.candidates:
            if candidate.name == name:
                return candidate
        raise StudyError(f"Comparison {self.name} has no candidate called {name!r}.")

    def best(self, measure: str = "Harrell C") -> CandidateResult:
        """The model with the highest value (for IBS and Brier the lowest). Raises StudyError where none has scores."""
        best = next(iter(self.best_first(measure)), None)
        if best is None or best.role != MODEL:
            raise StudyError(f"No model of comparison {self.name} has a measure called {measure!r}.")
        return best

    def best_first(self, measure: str = "Harrell C") -> list[CandidateResult]:
        """Candidates with a value of a measure: models, the best first, then controls, the best first."""
        values = self.rows("figures", measure=measure).set_index("candidate")["value"]
        sign = 1 if measure == "IBS" or measure.startswith("Brier") else -1
        scored = [c for c in self.candidates if c.name in values.index and not c.error]
        return sorted(scored, key=lambda c: (c.role != MODEL, sign * values[c.name]))

    @property
    def featured(self) -> tuple[CandidateResult, ...]:
        """Models shown in detail: the best, the best of the photo alone, the best of clinical columns alone."""
        order = [c for c in self.best_first() if c.role == MODEL]
        chosen = order[:1]
        for features in ("photo", "clinical"):
            chosen += [c for c in order if c.features == features][:1]
        return tuple({c.name: c for c in chosen}.values())

    def estimate(self, name: str, measure: str = "Harrell C") -> Estimate:
        """A candidate's estimate (nan limits where there is no interval). Raises StudyError."""
        row = self.rows("figures", candidate=name, measure=measure)
        if row.empty:
            raise StudyError(f"{name} has no measure called {measure!r} in comparison {self.name}.")
        value, low, high = (float(row.iloc[0][key]) for key in ("value", "low", "high"))
        return Estimate(value, low, high, int(row.iloc[0]["n"]))

    def difference(self, name: str, other: str, measure: str = "Harrell C") -> Estimate:
        """Paired: a candidate's estimate less another's, with the 95 % interval. Raises StudyError."""
        for one, two, sign in ((name, other, 1.0), (other, name, -1.0)):
            row = self.rows("differences", candidate=one, other=two, measure=measure)
            if not row.empty:
                value, low, high = (float(row.iloc[0][key]) for key in ("value", "low", "high"))
                low, high = (low, high) if sign > 0 else (-high, -low)
                return Estimate(sign * value, low, high, len(self.patients))
        raise StudyError(f"Comparison {self.name} has no difference of {measure!r} between {name} and {other}.")

    def save(self, folder: Path) -> None:
        """Write comparison.json and comparison.npz into a folder, each whole or not at all."""
        scores = self.scores.scores
        arrays: dict[str, np.ndarray] = {
            "time": self.scores.time,
            "event": self.scores.event,
            "fold": self.scores.fold.astype(np.int64),
            "times": self.scores.times,
            "null": self.scores.null.astype(np.float32),
        }
        if self.scores.entry is not None:
            arrays["entry"] = self.scores.entry
        if scores:
            arrays["log_risk"] = np.stack([s.log_risk for s in scores.values()])
            arrays["survival"] = np.stack([s.survival for s in scores.values()]).astype(np.float32)
            arrays["quartile"] = np.stack([s.quartile for s in scores.values()]).astype(np.int64)
        meta = {
            **{key: getattr(self, key) for key in _READERS},
            "plan": asdict(self.plan),
            "candidates": [asdict(c) for c in self.candidates],
            "scored": list(scores),
            "failed": self.scores.failed,
            "patients": {str(c): plain(self.patients[c]) for c in self.patients.columns},
            "tables": {name: packed(table) for name, table in self.tables.items()},
        }
        write_model(folder, KIND, meta, arrays, STEM)

    @classmethod
    def load(cls, folder: Path) -> Comparison:
        """Read what `save` wrote. Raises StudyError, one sentence, on anything else."""
        try:
            meta, arrays = read_model(folder, KIND, STEM)
            return _from_parts(cls, meta, arrays)
        except (SurvivalError, StudyError, KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
            raise StudyError(
                f"Comparison {folder.name} is damaged or was made by another version. Finished folds are kept.",
                ("compare", folder.parent.parent.name),
            ) from None


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(map(str, values))


def _text_table(values: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in values.items()}


# What a comparison holds as plain JSON -> how it is read.
_READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("name", "study", "title", "time_unit", "made"), str),
    "simulated": bool,
    **dict.fromkeys(("horizons", "horizons_left_out"), lambda values: tuple(map(float, values))),
    "covariates": _texts,
    "tau": float,
    "provenance": dict,
    "versions": _text_table,
    "seconds": float,
    "notes": _texts,
}


def _from_parts(kind: type[Comparison], meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> Comparison:
    patients = pd.DataFrame({str(name): column for name, column in meta["patients"].items()})
    patients["event"] = patients["event"].astype(bool)
    scored, m = [str(name) for name in meta["scored"]], len(patients)
    repeats, times = arrays["fold"].shape[0], arrays["times"].shape[0]
    shapes = {
        "time": (m,),
        "event": (m,),
        "fold": (repeats, m),
        "null": (repeats, m, times),
        "log_risk": (len(scored), repeats, m),
        "quartile": (len(scored), repeats, m),
        "survival": (len(scored), repeats, m, times),
    }
    shapes |= {"entry": (m,)} if "entry" in arrays else {}
    if any(arrays[name].shape != shape for name, shape in shapes.items() if scored or name in arrays):
        raise ValueError("shapes")
    candidates = tuple(
        CandidateResult(
            **{
                **entry,
                "label": str(entry["label"]).replace("Shuffled outcome", "Permuted outcomes"),  # of earlier versions
                "blocks": _texts(entry["blocks"]),
                "notes": _texts(entry["notes"]),
            }
        )
        for entry in meta["candidates"]
    )
    facts = {c.name: c for c in candidates}
    scores = {
        name: Scores(
            arrays["log_risk"][i],
            arrays["survival"][i].astype(np.float64),
            arrays["quartile"][i],
            facts[name].notes,
            facts[name].seconds,
        )
        for i, name in enumerate(scored)
    }
    raw = crossval.CrossValidation(
        arrays["time"],
        arrays["event"],
        arrays["fold"],
        arrays["times"],
        arrays["null"].astype(np.float64),
        scores,
        _text_table(meta["failed"]),
        arrays.get("entry"),
    )
    return kind(
        **{key: read(meta[key]) for key, read in _READERS.items()},
        plan=Plan.from_dict(meta["plan"]),
        candidates=candidates,
        patients=patients,
        scores=raw,
        tables={name: frame_of(name, unpacked(meta["tables"][name])) for name in TABLES},
    )


def comparison_folder(study: Path, name: str) -> Path:
    """Where comparison `name` of the study in a folder lies. Raises StudyError for an invalid name."""
    if not SAFE_NAME.fullmatch(name):
        raise StudyError(f"{name[:64]!r} cannot be a comparison's name: use letters, digits, - and _.")
    return study / FOLDER / name


def list_comparisons(study: Path) -> list[str]:
    """Names of the finished comparisons of the study in a folder, sorted."""
    return sorted(p.parent.name for p in (study / FOLDER).glob(f"*/{STEM}.json") if SAFE_NAME.fullmatch(p.parent.name))


def read_comparison(study: Path, name: str = "main") -> Comparison:
    """Comparison `name` of the study in a folder. Raises StudyError where there is none or it is damaged."""
    folder = comparison_folder(study, name)
    if not (folder / f"{STEM}.json").is_file():
        raise StudyError(f"{study.name} has no comparison {name!r} yet.", ("compare", study.name))
    return Comparison.load(folder)
