"""Are photos missing, unusable or flagged at random? Outcome of those patients against that of the rest.

Masks, tubes and bars over a face are worn by sicker people, and the detector is less certain of turned, bearded or very
thin faces: a cohort that loses such photos is healthier than the one it was drawn from. No test shows that photos are
missing at random; a difference shows that they are not.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.text import DASH, count, p_value, percent
from faces.flags import EYES_COVERED, LOWER_COVERED, UNCERTAIN, read_flags
from study.disk.latents import by_patient, read_index
from study.disk.store import Study
from study.errors import StudyError
from survival.curves import logrank
from survival.errors import SurvivalError

MIN_PATIENTS = 5  # in a group and outside it, before outcomes are compared
ALPHA = 0.05
LOST, COVERED = "no usable photo", "face covered"
KINDS = {LOST: {LOST}, COVERED: {LOWER_COVERED, EYES_COVERED}, UNCERTAIN: {UNCERTAIN}}


@dataclass(frozen=True)
class Outcome:
    """patients, events: counts; follow_up: median observed time, in the study's unit; rate: events per 100 units of
    time under observation (nan without any)."""

    patients: int
    events: int
    follow_up: float
    rate: float


@dataclass(frozen=True)
class Group:
    """Patients whose photos are lost or carry a flag, and the rest. p: log-rank test between the two, nan where it
    cannot be made."""

    name: str
    those: Outcome
    others: Outcome
    p: float

    def sentence(self, unit: str) -> str:
        """The group against the rest, in words."""
        those, others = self.those, self.others
        n = those.patients + others.patients
        part = f"{those.patients} of {count(n, 'patient')} ({percent(those.patients / n, 1)})"
        text = (
            f"{self.name.capitalize()}: {part}; {count(those.events, 'event')}, median "
            f"observation {_digits(those.follow_up)} {unit}, {_digits(those.rate)} events per 100 {unit} of "
            f"observation, against {count(others.events, 'event')}, {_digits(others.follow_up)} {unit} and "
            f"{_digits(others.rate)} in the others"
        )
        if np.isnan(self.p):
            return f"{text}; too few to compare outcomes."
        p = f"log-rank {p_value(self.p, named=True)}"
        if self.p >= ALPHA:
            return f"{text} ({p}: no difference shown, which does not mean that there is none)."
        worse = "worse" if those.rate > others.rate else "better"
        return f"{text} ({p}). Their outcome is {worse}: the photos are not missing at random."


def _digits(value: float) -> str:
    """Three digits, or a dash for nan."""
    return DASH if np.isnan(value) else f"{value:.3g}"


def missing_photos(study: Study, quality: pd.DataFrame | None = None) -> tuple[Group, ...]:
    """Groups of patients by what is wrong with their photos; () where no photo is listed or nothing is known of them.

    quality: as `read_quality` gives it; flags also come from the index of codes. Excluded patients count: a person who
    took a covered face out lost it, too.
    """
    table = study.patients.set_index("patient_id")
    kinds = _kinds(study, quality)
    if kinds is None:
        return ()
    entry = study.entry_of(study.patients)
    members = {name: {p for p, known in kinds.items() if known & of} for name, of in KINDS.items()}
    groups = [_group(name, table, patients, entry) for name, patients in members.items()]
    return tuple(group for group in groups if group.those.patients)


def _kinds(study: Study, quality: pd.DataFrame | None) -> dict[str, set[str]] | None:
    """patient -> LOST or kinds of flags; None where neither quality nor codes were made."""
    if not study.photos and not study.has_latents:
        return None
    usable: set[str] = set()
    flags: list[tuple[str, str]] = []
    with suppress(StudyError):  # no codes, or damaged ones
        index = by_patient(read_index(study.path)[0])
        usable |= set(index.index)
        flags += zip(index.index, index["flags"], strict=True)
    if quality is not None:
        usable |= set(quality.loc[quality["problem"] == "", "patient_id"])
        flags += zip(quality["patient_id"], quality["flags"], strict=True)
    elif not usable:
        return None
    known: dict[str, set[str]] = {str(p): set() if p in usable else {LOST} for p in study.patients["patient_id"]}
    for patient, text in flags:
        if patient in known:
            known[patient] |= {flag.kind for flag in read_flags(str(text))}
    return known


def _group(name: str, table: pd.DataFrame, members: set[str], entry: np.ndarray | None) -> Group:
    inside = table.index.isin(members)
    p = float("nan")
    if min(inside.sum(), (~inside).sum()) >= MIN_PATIENTS:
        with suppress(SurvivalError):
            p = logrank(table["time"].to_numpy(), table["event"].to_numpy(bool), inside, entry).p
    return Group(name, _outcome(table, inside, entry), _outcome(table, ~inside, entry), p)


def _outcome(table: pd.DataFrame, inside: np.ndarray, entry: np.ndarray | None) -> Outcome:
    time, event = table["time"].to_numpy(float)[inside], table["event"].to_numpy(bool)[inside]
    observed = float((time - (entry[inside] if entry is not None else 0.0)).sum())
    rate = 100 * float(event.sum()) / observed if observed > 0 else float("nan")
    middle = float(np.median(time)) if len(time) else float("nan")
    return Outcome(int(inside.sum()), int(event.sum()), middle, rate)


def flag_counts(quality: pd.DataFrame) -> Counter[str]:
    """How many photos carry each kind of flag."""
    return Counter(kind for text in quality["flags"] for kind in {flag.kind for flag in read_flags(str(text))})
