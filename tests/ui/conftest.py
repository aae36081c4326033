"""A tiny checkpoint and study for the pages, and the app started from its entry."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

import latent.inversion.settings
import study.scoring.face_evidence
import study.scoring.scorer
import ui.portrait.photo
from latent.checkpoints import Checkpoint
from study.disk.store import Study
from tests.ui import tiny

DOUBT = study.scoring.face_evidence.doubt
APP = Path(__file__).resolve().parents[2] / "app.py"


@dataclasses.dataclass(frozen=True)
class Places:
    """Roots of checkpoints and studies, and what stands in them."""

    checkpoints: Path
    studies: Path
    checkpoint: Checkpoint
    study: Study


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("places")
    checkpoint = tiny.write_checkpoint(root / "checkpoints" / "portraits")
    study = tiny.write_study(root / "studies" / "demo", checkpoint)
    return Places(root / "checkpoints", root / "studies", checkpoint, study)


@pytest.fixture
def entry_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a server whose entry has run: pages come from st.navigation.

    AppTest starts every run as if the server were new, and takes the files in pages/ for pages of their own.
    """
    begin = PagesManager.__init__

    def start(self: PagesManager, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        monkeypatch.setattr(PagesManager, "uses_pages_directory", False)

    monkeypatch.setattr(PagesManager, "__init__", start)


@pytest.fixture
def real_doubt() -> Callable[..., str]:
    """The rule that `open_app` sets aside."""
    return DOUBT


@pytest.fixture
def open_app(places: Places, monkeypatch: pytest.MonkeyPatch, entry_has_run: None) -> Callable[..., AppTest]:
    """Starts the app on the tiny places, or on other ones; inversion cut to two steps."""
    short = {name: dataclasses.replace(s, steps=2) for name, s in latent.inversion.settings.PRESETS.items()}
    monkeypatch.setattr(latent.inversion.settings, "PRESETS", short)
    # Patches of colour stand for faces here.
    for module in (study.scoring.face_evidence, study.scoring.scorer, ui.portrait.photo):
        monkeypatch.setattr(module, "doubt", lambda face: "")

    def start(studies: Path = places.studies, checkpoints: Path = places.checkpoints) -> AppTest:
        monkeypatch.setenv("LATENT_HEALTH_STUDIES", str(studies))
        monkeypatch.setenv("LATENT_HEALTH_CHECKPOINTS", str(checkpoints))
        monkeypatch.setenv("LATENT_HEALTH_TUNING", os.environ.get("LATENT_HEALTH_TUNING", "off"))
        return AppTest.from_file(str(APP), default_timeout=120).run()

    return start
