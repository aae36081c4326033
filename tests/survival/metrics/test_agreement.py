"""ICC(2,1) against the published table, and by law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from survival.errors import SurvivalError
from survival.metrics.agreement import intraclass, intraclass_ci

# Shrout and Fleiss 1979, table 2: six targets, four judges; table 4 has ICC(2,1) = 0.29.
PUBLISHED = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def test_the_published_example() -> None:
    assert intraclass(PUBLISHED) == pytest.approx(0.2898, abs=1e-4)


def test_noise_of_known_size() -> None:
    rng = np.random.default_rng(0)
    people, noise = rng.normal(0, 2, (4000, 1)), rng.normal(0, 1, (4000, 5))
    assert intraclass(people + noise) == pytest.approx(4 / 5, abs=0.02)
    shifted = people + noise + np.array([0, 0, 0, 0, 5.0])  # absolute agreement: a shift counts
    assert intraclass(shifted) < 0.6


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-50, 50))
def test_unit_and_zero_do_not_matter(seed: int, unit: float, zero: float) -> None:
    values = np.random.default_rng(seed).normal(size=(6, 3)) + np.arange(6)[:, None]
    assert intraclass(unit * values + zero) == pytest.approx(intraclass(values), rel=1e-6, abs=1e-9)
    assert intraclass(values) <= 1
    same = np.repeat(values[:, :1], 4, axis=1)
    assert intraclass(same) == pytest.approx(1)


def test_the_interval_holds_the_value_and_few_people_are_refused() -> None:
    e = intraclass_ci(np.random.default_rng(1).normal(size=(12, 4)) + np.arange(12)[:, None], 300)
    assert e.low < e.value < e.high <= 1
    assert e.n == 12
    with pytest.raises(SurvivalError, match="at least 2 people"):
        intraclass(np.ones((1, 3)))
    assert np.isnan(intraclass(np.ones((3, 3))))
