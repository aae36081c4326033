from __future__ import annotations

from typing import Any

import pytest

from survival.models.cox_model import CoxModel
from tests.survival.cohorts import made_up


@pytest.fixture(scope="session")
def small_study() -> dict[str, Any]:
    return made_up()


@pytest.fixture(scope="session")
def fitted(small_study: dict[str, Any]) -> CoxModel:
    return CoxModel("ridge", n_alphas=30).fit(small_study["X"], small_study["time"], small_study["event"])
