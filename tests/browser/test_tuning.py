"""A score is followed by a tuning that nobody asked for: watched, shown with a switch back, gone with the photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.driving import ROOT, running_app
from tests.browser.test_main_job import PATIENCE, SEARCH, go
from tests.ui import tiny

pytestmark = pytest.mark.browser
# The server's script, before what serve.py says: a tuning of four steps whose picture counts as closer, and patches of
# colour that count as faces.
SHORT = """
import sys
sys.path.insert(0, {root!r})
import latent.inversion.pivotal_tuning as pivotal
import study.scoring.face_evidence
short = pivotal.PivotalSettings(steps=4)
pivotal.PivotalSettings = lambda: short
pivotal.Pivotal.closer = property(lambda made: True)
study.scoring.face_evidence.doubt = lambda face: ""
"""


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    root: Path = tmp_path_factory.mktemp("tuning")
    tiny.write_study(root / "studies" / "demo", tiny.write_checkpoint(root / "checkpoints" / "portraits"))
    roots = {"STUDIES": "studies", "CHECKPOINTS": "checkpoints", "RUNS": "runs"}
    places = {f"LATENT_HEALTH_{name}": str(root / folder) for name, folder in roots.items()}
    script = root / "serve.py"
    served = (ROOT / "serve.py").read_text("utf-8").replace('"app.py"', repr(str(ROOT / "app.py")))
    script.write_text(SHORT.format(root=str(ROOT)) + served, "utf-8")
    with running_app(script, {"OMP_NUM_THREADS": "1", "LATENT_HEALTH_TUNING": "on", **places}) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        expect(page.get_by_text("Research use only")).to_be_visible()
        go(page, "Portrait")
        yield page
        page.close()


def test_the_score_comes_first_and_the_tuned_picture_by_itself(page: Page) -> None:
    page.get_by_text("Example", exact=True).click()
    page.get_by_role("button", name="P0002", exact=True).click()
    page.get_by_text("Already aligned", exact=True).click()
    page.get_by_role("button", name="Compute the risk").click()
    expect(page.locator(".lh-verdict")).to_be_visible(timeout=SEARCH)
    verdict = page.locator(".lh-verdict").inner_text()
    switch = page.get_by_text("Picture shown")
    expect(switch).to_be_visible(timeout=SEARCH)
    expect(page.get_by_text("The tuned picture is for display and has no part in them.")).to_be_visible()
    assert page.locator(".lh-verdict").inner_text() == verdict


def test_the_reconstruction_is_one_switch_away(page: Page) -> None:
    page.get_by_role("radio", name="Reconstruction", exact=True).click()
    expect(page.get_by_text("The tuned picture is for display and has no part in them.")).to_be_hidden()


def test_removing_the_photo_removes_the_tuning(page: Page) -> None:
    page.get_by_role("button", name="Remove photo and result").click()
    expect(page.get_by_text("Picture shown")).to_be_hidden()
    expect(page.locator(".lh-verdict")).to_be_hidden()
