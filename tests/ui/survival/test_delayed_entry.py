"""The pages of a study whose patients came under observation late: what is there, and the sentence on what is not."""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from jobs.queue import Queue
from study.comparison.fit import fit, fit_plan
from study.comparison.plan import Plan
from study.comparison.run import compare
from study.comparison.saved_model import DELAYED_ENTRY
from study.description.delayed_entry import LATE_ENTRY
from study.disk.store import Study
from study.files import csv_text, write_text
from study.settings import settings_text
from tests.ui.conftest import Places
from tests.ui.test_pages import words

pytestmark = pytest.mark.slow  # its fixtures take seconds

Opener = Callable[..., AppTest]
PLAN = Plan(("age-sex", "clinical", "photo"), folds=3, repeats=1, samples=40, shuffles=1, penalties=8)
VIEWS = {
    "Models": 2,
    "Risk groups": 1,
    "Hazard ratios": 2,
    "Calibration": 0,
    "Over time": 0,
    "Decision": 0,
    "Penalty": 1,
    "Proportional hazards": 1,
    "Subgroups": 0,
    "Details": 0,
}


@pytest.fixture(scope="module")
def late(places: Places, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of studies with the tiny study, in which half of the patients came late."""
    root = tmp_path_factory.mktemp("late")
    shutil.copytree(places.study.path, root / "demo")
    table = pd.read_csv(root / "demo" / "patients.csv", dtype=str)
    part = np.random.default_rng(0).uniform(0, 0.8, len(table)) * (np.arange(len(table)) % 2)
    table["enrolled"] = (table["time_months"].astype(float) * part).round(3).astype(str)
    write_text(root / "demo" / "patients.csv", csv_text(table))
    settings = places.study.settings
    entry = replace(settings.columns, entry="enrolled")
    write_text(root / "demo" / "study.toml", settings_text(replace(settings, columns=entry)))
    study = Study.open(root / "demo")
    fit(study, plan=fit_plan(folds=3, repeats=1, penalties=8, samples=200))
    compare(study, PLAN)
    return root


@pytest.fixture
def app(open_app: Opener, late: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("LATENT_HEALTH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(Queue, "start_runner", lambda self: None)
    return open_app(studies=late)


def test_home_names_what_the_models_figures_count(app: AppTest) -> None:
    app.switch_page("pages/home.py").run()
    assert not app.exception
    said = html.unescape(words(app))
    assert DELAYED_ENTRY in said
    assert "Uno's C to" not in said


@pytest.mark.parametrize("view", list(VIEWS))
def test_views_show_what_counts_from_entry_on(app: AppTest, view: str) -> None:
    app.switch_page("pages/survival_model.py").run()
    app.segmented_control(key="survival-view").set_value(view).run()
    assert not app.exception
    assert len(app.get("plotly_chart")) == VIEWS[view]
    assert html.unescape(words(app)).count(LATE_ENTRY) == 1 + (
        view in ("Models", "Calibration", "Over time", "Decision", "Details")
    ), "once where models are planned, once in the views that lack figures"
