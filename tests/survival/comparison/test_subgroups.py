"""Subgroups of a comparison: who is in them, the figures of each, and silence where events are few."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.comparison.crossval import CrossValidation, Scores
from survival.comparison.subgroups import ALL, MISSING, subgroup_table, subgroups_of
from survival.curves import kaplan_meier
from survival.errors import FitCancelled, SurvivalError
from survival.metrics.calibration import calibration_slope
from survival.metrics.concordance import harrell_c


@pytest.fixture(scope="module")
def cohort():
    """In "a" the score tells the hazard, in "b" it tells nothing and the risk is twice what is predicted."""
    rng = np.random.default_rng(0)
    site = np.where(np.arange(400) < 250, "a", "b")
    site[-6:] = "c"
    lp = rng.normal(size=400)
    hazard = np.where(site == "a", np.exp(lp), 2.0) / 25
    event_time, censoring = rng.exponential(1 / hazard), rng.uniform(5, 60, 400)
    time, event = np.minimum(event_time, censoring), event_time <= censoring
    times = np.array([6.0, 12.0])
    survival = np.exp(-np.exp(lp)[:, None] * times / 25)
    risk, expected = np.stack([lp, lp]), np.stack([survival, survival])
    scores = {"photo": Scores(risk, expected, np.zeros((2, 400), dtype=np.int64), (), 0.0)}
    null = np.tile(kaplan_meier(time, event).at(times), (2, 400, 1))
    fold = np.tile(np.arange(400) % 5, (2, 1))
    table = pd.DataFrame({"site": site, "age": rng.integers(40, 90, 400)})
    return CrossValidation(time, event, fold, times, null, scores, {}), table


@pytest.fixture(scope="module")
def figures(cohort):
    comparison, table = cohort
    return subgroup_table(comparison, table, (12.0,), samples=100)


def one(frame: pd.DataFrame, variable: str, level: str, measure: str) -> pd.Series:
    rows = frame[(frame["variable"] == variable) & (frame["level"] == level) & (frame["measure"] == measure)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_figures_are_those_of_the_subgroup_alone(cohort, figures):
    comparison, table = cohort
    for level in ("a", "b"):
        rows = (table["site"] == level).to_numpy()
        time, event, risk = comparison.time[rows], comparison.event[rows], comparison.scores["photo"].log_risk[0, rows]
        c = one(figures, "site", level, "Harrell C")
        assert c["value"] == pytest.approx(harrell_c(time, event, risk))
        assert (c["n"], c["events"]) == (rows.sum(), event.sum())
        slope = calibration_slope(time, event, risk)
        assert one(figures, "site", level, "Cox slope")["value"] == pytest.approx(slope.value)
        observed = 1 - kaplan_meier(time, event).at(12.0)[0]
        expected = 1 - comparison.scores["photo"].survival[0, rows, 1].mean()
        assert one(figures, "site", level, "O/E(12)")["value"] == pytest.approx(observed / expected)
    assert one(figures, ALL, "", "Harrell C")["n"] == 400


def test_what_differs_between_subgroups_is_seen(figures):
    a, b = (one(figures, "site", level, "Harrell C") for level in "ab")
    assert a["low"] > 0.6
    assert b["low"] < 0.5 < b["high"] + 0.03
    assert b["high"] < a["low"]
    right, wrong = (one(figures, "site", level, "O/E(12)") for level in "ab")
    assert right["low"] < 1 < right["high"]
    assert wrong["low"] > 1.1
    assert one(figures, "site", "b", "Cox slope")["high"] < 0.5


def test_few_events_have_no_figures(figures):
    small = figures[(figures["variable"] == "site") & (figures["level"] == "c")]
    assert len(small) == 1
    assert small["events"].iloc[0] < 10
    assert small[["value", "low", "high"]].isna().all(axis=None)
    assert small["measure"].iloc[0] == ""
    shown = figures[figures["measure"] != ""]
    assert (shown["events"] >= 10).all()


def test_horizons_beyond_the_follow_up_are_left_out(cohort):
    comparison, _ = cohort
    short = comparison.time < 12
    table = pd.DataFrame({"followed": np.where(short, "short", "long")})
    frame = subgroup_table(comparison, table, (12.0,), samples=20)
    own = frame[frame["level"] == "short"]
    assert "Harrell C" in set(own["measure"])
    assert "O/E(12)" not in set(own["measure"])


def test_bands():
    table = pd.DataFrame(
        {
            "age": [44.0, 50, 59, 60, 81, np.nan],
            "ecog": [0.0, 1, 1, 3, 0, 2],
            "marker": np.arange(6) / 7 + 0.001,
            "sex": ["f", "m", "", "f", None, "m"],
            "same": ["x"] * 6,
        }
    )
    levels = {}
    for group in subgroups_of(table):
        levels.setdefault(group.variable, []).append((group.level, int(group.rows.sum())))
    assert levels["age"] == [("under 50", 1), ("50 to 59", 2), ("60 to 69", 1), ("80 and over", 1), (MISSING, 1)]
    assert levels["ecog"] == [("0", 2), ("1", 2), ("2", 1), ("3", 1)]
    assert levels["sex"] == [("f", 2), ("m", 2), (MISSING, 2)]
    assert "same" not in levels
    many = subgroups_of(pd.DataFrame({"marker": np.arange(90.0)}))
    assert [int(g.rows.sum()) for g in many] == [30, 30, 30]


@given(
    st.lists(
        st.one_of(st.none(), st.sampled_from(["", "a", "b", "<c>"]), st.integers(-5, 120).map(str)),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=60)
def test_every_patient_is_in_one_level(values):
    groups = subgroups_of(pd.DataFrame({"age": values}))
    if groups:
        assert (np.sum([g.rows for g in groups], axis=0) == 1).all()
        assert len({g.level for g in groups}) == len(groups)
        assert all(g.rows.any() for g in groups)


def test_refusals(cohort):
    comparison, table = cohort
    with pytest.raises(SurvivalError, match="399 rows"):
        subgroup_table(comparison, table.iloc[1:], (12.0,))
    with pytest.raises(FitCancelled):
        subgroup_table(comparison, table, (12.0,), cancelled=lambda: True)
