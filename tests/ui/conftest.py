"""A tiny checkpoint and study for the pages, and the app started from its entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import latent.inversion
from latent.checkpoints import Checkpoint
from study.store import Study
from tests.ui import tiny

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
def open_app(places: Places, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    """Starts the app on the tiny places, or on other ones; inversion cut to two steps."""
    short = {name: dataclasses.replace(s, steps=2) for name, s in latent.inversion.PRESETS.items()}
    monkeypatch.setattr(latent.inversion, "PRESETS", short)

    def start(studies: Path = places.studies, checkpoints: Path = places.checkpoints) -> AppTest:
        monkeypatch.setenv("LATENT_HEALTH_STUDIES", str(studies))
        monkeypatch.setenv("LATENT_HEALTH_CHECKPOINTS", str(checkpoints))
        return AppTest.from_file(str(APP), default_timeout=120).run()

    return start
