"""The real app in a headless browser, on the embedded checkpoint and study, or on tiny ones where those are absent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.driving import ROOT, browser_path, headless_browser, running_app

SCREENSHOTS = ROOT / "artefacts" / "screenshots"


def embedded() -> bool:
    """Whether the default checkpoint and the fitted demo study are there."""
    return (ROOT / "checkpoints/patients/config.json").is_file() and (ROOT / "studies/demo/models/photo").is_dir()


@pytest.fixture(scope="session")
def app_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the app looks for checkpoints and studies, and where it writes: never into the project's own folders."""
    root = tmp_path_factory.mktemp("browser")
    checkpoints = root / "checkpoints"
    checkpoints.mkdir()
    places = {"LATENT_HEALTH_CHECKPOINTS": str(checkpoints), "LATENT_HEALTH_RUNS": str(root / "runs")}
    places["LATENT_HEALTH_TUNING"] = "off"  # tested by itself, in test_tuning.py
    if embedded() or "LATENT_HEALTH_STUDIES" in os.environ:
        for config in Path(os.environ.get("LATENT_HEALTH_CHECKPOINTS") or ROOT / "checkpoints").glob("*/config.json"):
            (checkpoints / config.parent.name).symlink_to(config.parent.resolve())
        return places
    from tests.ui import tiny

    checkpoint = tiny.write_checkpoint(checkpoints / "portraits")
    tiny.write_study(root / "studies" / "demo", checkpoint)
    return {**places, "LATENT_HEALTH_STUDIES": str(root / "studies")}


@pytest.fixture(scope="session")
def address(app_environment: dict[str, str]) -> Iterator[str]:
    with running_app(environment={"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"), **app_environment}) as url:
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    if browser_path() is None:
        pytest.skip("there is no Chromium on this machine (package chromium, or set CHROMIUM to its path)")
    with headless_browser() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def screenshots() -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS


@pytest.fixture(autouse=True)
def in_order(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests of a module are one job: after a step that failed the next ones have nothing to start from."""
    if getattr(request.module, "broken", ""):
        pytest.skip(f"{request.module.broken} failed before")
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        request.module.broken = request.node.name
