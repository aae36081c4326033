"""Is the error of the inversion, or the quality of the photo, associated with survival?

If photos of sicker patients are reconstructed worse, or are darker or more turned, a model of the codes may read the
photo in place of the person. Cox regression (Efron ties) of the outcome on the perceptual distance, per standard
deviation of the cohort, and on every quality flag that enough photos carry: each alone, and all together with the
clinical covariates of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from common.text import count, p_value
from faces.flags import read_flags
from study.disk.latents import by_patient, to_embed
from study.disk.store import Study
from study.tables.covariates import adjustment
from survival.cox_regression.regression import cox_regression
from survival.errors import SurvivalError
from survival.events_per_parameter import enough_events, too_few_words
from survival.tails import holm_rejects

ERROR = "perceptual distance"
ALPHA = 0.05
MIN_PATIENTS = 10  # with a flag and without it, events among both
WHY = "sick faces may be harder to reconstruct, but a model of these codes may also read the photo and not the person"


@dataclass(frozen=True)
class Ratio:
    """A hazard ratio with its 95 % interval and Wald p. per: "SD" or "flag"; patients: who carry the flag, or all."""

    name: str
    per: str
    hr: float
    low: float
    high: float
    p: float
    patients: int

    def __str__(self) -> str:
        per = " per SD" if self.per == "SD" else ""
        return f"HR {self.hr:.2f}{per}, 95 % CI {self.low:.2f} to {self.high:.2f}, {p_value(self.p, named=True)}"


@dataclass(frozen=True)
class ErrorSurvival:
    """alone: each covariate by itself; together: all in one model with `adjusted_for`, each by itself with them where
    that is too many parameters for the events, () where even these are. warnings: what a person must know before
    trusting a model of these codes; notes: what could not be determined.
    """

    patients: int
    events: int
    alone: tuple[Ratio, ...] = ()
    together: tuple[Ratio, ...] = ()
    adjusted_for: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ErrorSurvival:
        """What `dataclasses.asdict` gave, read back from JSON."""
        alone, together = (tuple(Ratio(**r) for r in values[key]) for key in ("alone", "together"))
        adjusted_for, warnings, notes = (tuple(values[key]) for key in ("adjusted_for", "warnings", "notes"))
        return cls(values["patients"], values["events"], alone, together, adjusted_for, warnings, notes)


def flag_table(flags: pd.Series) -> pd.DataFrame:
    """(n photos, kinds) of 0 and 1 from the flags column of index.parquet."""
    kinds = [{flag.kind for flag in read_flags(str(text))} for text in flags]
    names = sorted(set().union(*kinds)) if kinds else []
    return pd.DataFrame({name: [float(name in present) for present in kinds] for name in names}, index=flags.index)


def _ratios(
    x: pd.DataFrame, names: list[str], table: pd.DataFrame, flags: pd.DataFrame, entry: np.ndarray | None
) -> tuple[Ratio, ...]:
    fit = cox_regression(x.to_numpy(float), table["time"], table["event"], names=[str(c) for c in x], entry=entry)
    rows = {row["name"]: row for row in fit.table().to_dict("records")}
    ratios = []
    for name in names:
        per, n = ("flag", int(flags[name].sum())) if name in flags else ("SD", len(table))
        hr, low, high, p = (float(rows[name][key]) for key in ("hr", "low", "high", "p"))
        ratios.append(Ratio(name, per, hr, low, high, p, n))
    return tuple(ratios)


def _warnings(alone: tuple[Ratio, ...], together: tuple[Ratio, ...], distance: str) -> list[str]:
    """A sentence for each covariate whose hazard ratio is not 1, alone or adjusted; flags by Holm's rule."""
    sentences: list[str] = []
    for ratios, how in ((alone, "alone"), (together, "with the other covariates")):
        flags = sorted((r for r in ratios if r.per == "flag"), key=lambda r: r.p)
        rejected = holm_rejects([r.p for r in flags], ALPHA)
        significant = [r for r in ratios if r.per == "SD" and r.p < ALPHA]
        for r in significant + [flag for flag, rejects in zip(flags, rejected, strict=True) if rejects]:
            if any(r.name in sentence for sentence in sentences):
                continue
            worse = f"that are reconstructed worse ({ERROR}, {distance})"
            photos = worse if r.per == "SD" else f"with the flag {r.name!r}"
            hazard = "higher" if r.hr > 1 else "lower"
            sentences.append(f"Photos {photos} belong to patients with a {hazard} hazard ({how}: {r}): {WHY}.")
    return sentences


def error_and_survival(
    study: Study, table: pd.DataFrame | None = None, index: pd.DataFrame | None = None
) -> ErrorSurvival:
    """What inversion errors and quality flags of a study's codes say of survival.

    table: rows of `study.patients` to analyse; None: all analysed. index: of the codes; None: the study's, checked.
    Raises StudyError without codes; a cohort too small or too uniform gives a result without ratios, and a note.
    """
    index = by_patient(study.latents().index if index is None else index)
    table = study.patients[study.patients["patient_id"].isin(study.included_photos.keys())] if table is None else table
    table = table[table["patient_id"].isin(index.index)].set_index("patient_id")
    if table.empty:
        raise to_embed(study.name, f"No patient of {study.name} has both a photo and a code.")
    index = index.loc[table.index]
    flags = flag_table(index["flags"])
    event = table["event"].to_numpy(bool)
    patients, events = len(table), int(event.sum())
    error = index["perceptual"]
    has = flags.to_numpy() > 0
    enough = np.minimum(has.sum(axis=0), (~has).sum(axis=0)) >= MIN_PATIENTS
    x = flags.loc[:, enough & has[event].any(axis=0) & (~has)[event].any(axis=0)]
    if float(error.std()) > 1e-9:
        x = pd.concat([((error - error.mean()) / error.std()).rename(ERROR), x], axis=1)
    names = [str(name) for name in x]
    if not names or not enough_events(events, 1):
        why = "with equal errors and flags" if not names else f"with {count(events, 'event')}"
        note = f"{count(patients, 'patient')} {why} cannot show whether inversion error predicts survival."
        return ErrorSurvival(patients, events, notes=(note,))
    notes, entry = [], study.entry_of(table)
    try:
        alone = tuple(r for name in names for r in _ratios(x[[name]], [name], table, flags, entry))
    except SurvivalError as problem:
        note = f"Whether inversion error predicts survival could not be tested: {problem}"
        return ErrorSurvival(patients, events, notes=(note,))
    together: tuple[Ratio, ...] = ()
    used: list[str] = []
    try:
        clinical, columns = adjustment(table, study.settings)
        both = pd.concat([x, clinical], axis=1)
        if enough_events(events, both.shape[1]):
            together, used = _ratios(both, names, table, flags, entry), columns
        elif clinical.shape[1] and enough_events(events, 1 + clinical.shape[1]):
            for name in names:
                together += _ratios(pd.concat([x[[name]], clinical], axis=1), [name], table, flags, entry)
            used = columns
            notes.append(
                f"{too_few_words(events, both.shape[1])}: each of {', '.join(names)} is adjusted for the clinical "
                "covariates by itself."
            )
        else:
            short = too_few_words(events, 1 + clinical.shape[1])
            notes.append(f"Nothing is adjusted for the clinical covariates: {short}.")
    except SurvivalError as problem:
        together, used = (), []
        notes.append(f"Nothing is adjusted for the clinical covariates: {problem}")
    distance = str(index["perceptual_name"].iloc[0])
    warnings = _warnings(alone, together, distance)
    return ErrorSurvival(patients, events, alone, together, tuple(used), tuple(warnings), tuple(notes))


def error_text(result: ErrorSurvival) -> str:
    """The answer for a terminal: a table, then what to make of it."""
    size = f"{count(result.patients, 'patient')}, {count(result.events, 'event')}"
    lines = [f"Does inversion error predict survival? {size}."]
    if result.alone:
        adjusted = {r.name: r for r in result.together}
        lines.append(f"  {'hazard ratio':<44}{'alone':<36}adjusted" if adjusted else f"  {'hazard ratio':<44}alone")
        for r in result.alone:
            label = f"{r.name} (per SD)" if r.per == "SD" else f"{r.name[:34]} ({r.patients})"
            both = [v for v in (r, adjusted.get(r.name)) if v]
            cells = [f"{v.hr:.2f} ({v.low:.2f} to {v.high:.2f}), {p_value(v.p, named=True)}" for v in both]
            lines.append(f"  {label:<44}{cells[0]:<36}{''.join(cells[1:])}".rstrip())
        if result.adjusted_for:
            lines.append(f"  adjusted for {', '.join(result.adjusted_for)}.")
        if not result.warnings:
            main = result.alone[0]
            lines.append(
                f"  No evidence that it does; hazard ratios from {main.low:.2f} to {main.high:.2f} are not excluded."
            )
    lines += [f"Warning: {sentence}" for sentence in result.warnings]
    return "\n".join(lines + [f"Note: {note}" for note in result.notes])
