"""Table 1 and follow-up against numpy, scipy and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from study.description.table_one import EVERYONE, KNOWN, MISSING, analysed_rows, follow_up, table_one, table_one_rows
from study.disk.exclusions import Exclusion
from study.disk.store import Study
from study.errors import StudyError
from tests.study.conftest import patient_table, write_study


@pytest.fixture
def study(tmp_path) -> Study:
    table = patient_table(80, seed=3).astype({"age": object, "stage": object})
    table.loc[:4, "age"] = ""
    table.loc[:9, "stage"] = ""
    return Study.open(write_study(tmp_path / "clinic", table))


def test_numbers_and_words(study):
    table = table_one(study)
    age = study.patients["age"].dropna()
    row = table[(table["variable"] == "age") & (table["level"] == "")].iloc[0]
    assert row["n"] == 75
    np.testing.assert_allclose([row["q1"], row["median"], row["q3"]], np.percentile(age, [25, 50, 75]))
    assert (row["least"], row["most"]) == (age.min(), age.max())
    gone = table[table["level"] == MISSING].set_index("variable")
    assert gone.loc["age", "n"] == 5
    assert gone.loc["stage", "n"] == 10
    assert gone.loc["stage", "share"] == pytest.approx(10 / 80)
    assert set(gone["share_of"]) == {EVERYONE}
    assert set(table.loc[(table["variable"] == "stage") & (table["level"] != MISSING), "share_of"]) == {KNOWN}
    for name, known in (("sex", 80), ("stage", 70), ("ecog", 80)):
        levels = table[(table["variable"] == name) & (table["level"] != MISSING)]
        assert levels["n"].sum() == known
        assert levels["share"].sum() == pytest.approx(1)
    assert table[table["variable"] == "ecog"]["level"].tolist() == ["0", "1", "2", "3"]


def test_words_for_people(study):
    rows = table_one_rows(table_one(study))
    women = int((study.patients["sex"] == "female").sum())
    assert ("sex", "female", f"{women} ({100 * women / 80:.1f} %)") in rows
    assert ("stage", MISSING, "10 (12.5 %)") in rows


def test_follow_up_is_the_reverse_curve(study):
    found = follow_up(study)
    time, event = study.patients["time"].to_numpy(), study.patients["event"].to_numpy()
    assert (found.patients, found.events, found.censored) == (80, event.sum(), (~event).sum())
    # scipy's empirical survival function with the roles of event and censoring exchanged
    curve = stats.ecdf(stats.CensoredData.right_censored(time, event)).sf
    below = curve.quantiles[curve.probabilities <= 0.5]
    assert found.median.value == pytest.approx(below[0])
    assert found.median.low <= found.median.value
    assert found.patient_time == pytest.approx(time.sum())
    assert found.rate.value == pytest.approx(100 * event.sum() / time.sum())
    exact = stats.poisson.cdf(event.sum(), found.rate.low * time.sum() / 100)
    assert exact > 0.975
    assert stats.poisson.cdf(event.sum(), found.rate.high * time.sum() / 100) == pytest.approx(0.025)
    assert found.unit == "months"


def test_everyone_followed_to_the_end(tmp_path):
    table = patient_table(60)
    table["time_months"], table["event"] = (
        np.minimum(table["time_months"], 24.0),
        (table["time_months"] < 24).astype(int),
    )
    found = follow_up(Study.open(write_study(tmp_path / "full", table)))
    assert found.median.value == 24  # whoever had no event was seen for 24 months


def test_excluded_patients_are_not_in_it(study):
    out = replace(study, excluded={p: Exclusion("twice", "") for p in study.patients["patient_id"][:20]})
    assert len(analysed_rows(out)) == 60
    assert follow_up(out).patients == 60
    everyone = replace(study, excluded={p: Exclusion("twice", "") for p in study.patients["patient_id"]})
    with pytest.raises(StudyError, match="No patient"):
        table_one(everyone)
