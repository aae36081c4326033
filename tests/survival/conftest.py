from __future__ import annotations

from typing import Any

import pytest

from survival.comparison.fit import fit_model
from survival.models.fitted import FittedModel
from tests.survival.cohorts import made_up


@pytest.fixture(scope="session")
def small_study() -> dict[str, Any]:
    return made_up()


@pytest.fixture(scope="session")
def fitted(small_study: dict[str, Any]) -> FittedModel:
    """Read-only."""
    data = (small_study["X"], small_study["time"], small_study["event"])
    return fit_model("cox-ridge", *data, settings={"n_alphas": 30}, repeats=1)
