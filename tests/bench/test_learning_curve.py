"""The learning curve of simulated patients: outcomes drawn again, means over cohorts, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.learning_curve import run
from bench.learning_curve.cohorts import one_cohort, row_of
from study.errors import StudyError


def people(n: int = 160) -> tuple[np.ndarray, pd.DataFrame]:
    """Codes in which the hazard of the face is plain to see."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(n, 2, 3)).astype(np.float32)
    hazard = codes.reshape(n, -1) @ np.array([1.0, -0.6, 0.3, 0, 0, 0])
    sex, years = rng.choice(["female", "male"], n), rng.integers(40, 80, n)
    table = pd.DataFrame({"image": "", "sex": sex, "age_years": years, "face_log_hazard": hazard})
    return codes, table


@pytest.mark.slow
def test_a_seed_gives_the_same_cohort_and_another_other_outcomes() -> None:
    codes, table = people()
    one, again, other = (
        one_cohort({"photo": codes}, table, 120, ("cox-ridge",), seed) for seed in ((0, 1), (0, 1), (0, 2))
    )
    assert one == again != other
    assert one["cox-ridge"]["share"] > 0.7
    assert 60 < one["cox-ridge"]["events"] < 110


def test_limits_are_of_single_cohorts_and_the_error_of_their_mean() -> None:
    values = [{"c": c, "share": 2 * c - 0.5, "slope": 1.0, "events": 80.0} for c in (0.6, 0.62, 0.64, 0.66)]
    row = row_of(100, values)
    sd = np.std([0.6, 0.62, 0.64, 0.66], ddof=1)
    assert (row["c"], row["c low"], row["c high"]) == pytest.approx((0.63, 0.63 - 1.96 * sd, 0.63 + 1.96 * sd))
    assert row["share se"] == pytest.approx(2 * sd / 2)
    assert (row["patients"], row["events"]) == (100, 80)


@pytest.mark.slow
def test_files_in_a_record_out(tmp_path: Path) -> None:
    codes, table = people(100)
    np.save(tmp_path / "codes.npy", codes)
    table.to_csv(tmp_path / "factors.csv", index=False)
    files = ["--latents", str(tmp_path / "codes.npy"), "--factors", str(tmp_path / "factors.csv")]
    np.savez(tmp_path / "seen.npz", colour=codes[:, 0], descriptor=codes[:, 1])
    more = ["--measured", str(tmp_path / "seen.npz"), "--models", "cox-ridge,cox-readouts"]
    record = run([*files, *more, "--sizes", "60,100", "--cohorts", "2"])
    assert [row["patients"] for row in record["with cox-readouts"]] == [60, 100]
    assert [row["patients"] for row in record["rows"]] == [60, 100]
    for words, sentence in (
        (["--sizes", "200"], "sizes up to 100"),
        (["--cohorts", "1"], "at least 2 cohorts"),
    ):
        with pytest.raises(StudyError, match=sentence):
            run([*files, *words])
    np.save(tmp_path / "codes.npy", codes[:50])
    with pytest.raises(StudyError, match="one code for each of the 100 rows"):
        run(files)
    with pytest.raises(StudyError, match="Give --study"):
        run([])
