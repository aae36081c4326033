"""What is legal and still probably wrong: each sign alone gives its warning, and a sound table gives none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.errors import Findings
from study.settings import Columns, Covariate, Settings
from study.tables.plausible import plausible

SETTINGS = Settings(
    name="x",
    title="x",
    covariates=(Covariate("bmi"), Covariate("arm", "categorical", levels=("a", "b"))),
)


def sound(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """A checked table with nothing odd in it."""
    rng = np.random.default_rng(seed)
    time = np.round(rng.exponential(30, n) + 0.5, 2)
    cut = np.minimum(time, 60)
    return pd.DataFrame(
        {
            "patient_id": [f"P{i + 1:03d}" for i in range(n)],
            "time": cut,
            "event": (time <= 60) & (rng.random(n) < 0.7),
            "photo": "",
            "age": rng.integers(30, 85, n).astype(float),
            "sex": rng.choice(["female", "male"], n),
            "site": rng.choice(["lung", "colon"], n),
            "bmi": np.round(rng.normal(26, 4, n), 1),
            "arm": rng.choice(["a", "b"], n),
            "row": range(2, n + 2),
        }
    )


def told(table: pd.DataFrame, settings: Settings = SETTINGS) -> list[str]:
    findings = Findings()
    plausible(table, settings, findings, "patients.csv")
    assert not findings.errors
    return [str(f) for f in findings if f.severity == "warning"]


def test_a_sound_table_gives_no_warning() -> None:
    assert told(sound()) == []


def shifted(table: pd.DataFrame, **columns: object) -> pd.DataFrame:
    return table.assign(**columns)


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], Settings, str]] = {
    "days called months": (
        lambda t: shifted(t, time=t["time"] * 30.4),
        replace(SETTINGS, horizons=(12.0,)),
        "(128 years): is that the unit? In days it would be plausible",
    ),
    "years called days": (
        lambda t: shifted(t, time=t["time"] / 12),
        replace(SETTINGS, time_unit="days", horizons=(1.0,)),
        "days): is that the unit? In months or years it would be plausible",
    ),
    "horizon beyond": (lambda t: t, replace(SETTINGS, horizons=(12.0, 120.0)), "nobody was followed to 120 months"),
    "no event": (lambda t: shifted(t, event=False), SETTINGS, "no event among 300 patients"),
    "few events": (lambda t: shifted(t, event=np.arange(300) < 9), SETTINGS, "only 9 events among 300 patients"),
    "all events": (lambda t: shifted(t, event=True), SETTINGS, "every patient has an event"),
    "reversed words": (
        lambda t: t,
        replace(SETTINGS, event_values=("alive",), censored_values=("dead",)),
        "'alive' is coded the opposite way",
    ),
    "reversed name": (
        lambda t: t,
        replace(SETTINGS, columns=replace(Columns(), event="censored")),
        "column censored is named after patients without an event",
    ),
    "reversed times": (
        lambda t: shifted(t, event=t["time"] > t["time"].quantile(0.6)),
        SETTINGS,
        "is the coding the wrong way round?",
    ),
    "one person, two spellings": (
        lambda t: shifted(t, patient_id=[*t["patient_id"][:-1], "p-7"]),
        SETTINGS,
        "row 301: p-7 may be P007 of row 8",
    ),
    "one person, two ids": (
        lambda t: pd.concat([t, t.iloc[[4]].assign(patient_id="Q1", row=302)], ignore_index=True),
        SETTINGS,
        "row 302: time, event and all covariates are those of row 6",
    ),
    "code for missing": (
        lambda t: shifted(t, bmi=[999.0, 999.0, *t["bmi"][2:]]),
        SETTINGS,
        "row 2: bmi is 999, here and in 1 more row: a code for a missing value?",
    ),
    "names in a covariate": (
        lambda t: shifted(t, site=[f"site {i}" for i in range(300)]),
        SETTINGS,
        "site has 300 different words",
    ),
    "events per parameter": (
        lambda t: shifted(t, event=np.arange(300) % 10 == 0, stage=[f"s{i % 6}" for i in range(300)]),
        SETTINGS,
        "30 events for 10 parameters (3.0 each; at least 10 are needed). They support age, sex, site",
    ),
    "photo after the end": (
        lambda t: shifted(t, photo_days=[90_000.0, *[-3.0] * 299]),
        SETTINGS,
        "row 2: the photo was taken 90000 days after baseline",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_sign_gives_its_sentence(case: str) -> None:
    change, settings, words = CASES[case]
    said = told(change(sound()), settings)
    assert any(words in s for s in said), said


def test_notes_tell_photo_dates_and_late_entries() -> None:
    table = sound().assign(photo_days=[-10.0, 0.0, 20.0] * 100, entry=[0.0, 0.2] * 150)
    findings = Findings()
    plausible(table, SETTINGS, findings, "patients.csv")
    notes = [str(f) for f in findings if f.severity == "note"]
    assert any("photo to baseline: median +0 days (quartiles -10 to +20), 300 photos. 100 photos" in n for n in notes)
    assert any("150 patients came under observation after time 0" in n for n in notes)


def test_it_says_nothing_where_columns_are_wrong() -> None:
    findings = Findings()
    findings.error("patients.csv", 3, "time is negative.")
    plausible(sound().assign(event=False), SETTINGS, findings, "patients.csv")
    assert len(findings) == 1


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(25, 400))
def test_sound_tables_of_any_size_are_not_called_doubles_or_reversed(seed: int, n: int) -> None:
    said = " ".join(told(sound(n, seed)))
    assert "may be" not in said
    assert "all covariates are those" not in said
    assert "is that the unit" not in said
    assert "wrong way" not in said
