"""Models are compared in the real app: planned, run by the queue, looked at, kept as pictures, and one chosen."""

from __future__ import annotations

import io
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from bench.driving import running_app
from study.disk.store import Study
from tests.browser.test_main_job import LOOKS, PATIENCE, go, shoot
from tests.ui import tiny

pytestmark = pytest.mark.browser
WORK = 600_000  # ms; half a minute on a free machine
VIEWS = ("Risk groups", "Hazard ratios", "Calibration", "Over time", "Decision", "Penalty", "Proportional hazards")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("survival")
    checkpoint = tiny.write_checkpoint(root / "checkpoints" / "portraits")
    tiny.write_study(root / "studies" / "demo", checkpoint)
    roots = {"STUDIES": "studies", "CHECKPOINTS": "checkpoints", "RUNS": "runs"}
    return {f"LATENT_HEALTH_{name}": str(root / folder) for name, folder in roots.items()}


@pytest.fixture(scope="module")
def page(browser: Browser, places: dict[str, str]) -> Iterator[Page]:
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
    with running_app(environment={**threads, **places}) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        expect(page.get_by_text("Research use only")).to_be_visible()
        go(page, "Survival model")
        yield page
        page.close()


def picture(page: Page, kind: str) -> tuple[str, bytes]:
    """Name and bytes of the first figure on the page, as it is kept."""
    with page.expect_download() as download:
        page.get_by_label(f"Download this figure as {kind}").first.click()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def test_a_comparison_is_planned_run_and_shown(page: Page, screenshots: Path) -> None:
    expect(page.get_by_text("No models of this study have been compared yet")).to_be_visible()
    for label, value in (("Repeats", "1"), ("Folds", "3"), ("Penalties tried", "10"), ("Permuted outcomes", "1")):
        field = page.get_by_label(label, exact=True)
        field.fill(value)
        field.press("Enter")
    page.get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("C of the best model")).to_be_visible(timeout=WORK)
    expect(page.locator("table.lh-models").first).to_contain_text("Photo (W+), ridge Cox")
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    shoot(page, screenshots, "survival-models")


def test_figures_are_kept_as_pictures_for_print(page: Page) -> None:
    name, data = picture(page, "PNG")
    assert name == "demo-harrell-c.png"
    with Image.open(io.BytesIO(data)) as image:
        assert image.width > 900
        pixels = image.convert("RGB")
        assert pixels.getpixel((2, 2)) == (255, 255, 255), "on white, though the page is dark"
        darkest = min(sum(colour) for _, colour in pixels.getcolors(1 << 20))
        assert darkest < 150, "with dark text on it"
    name, data = picture(page, "SVG")
    assert name == "demo-harrell-c.svg"
    texts = [node.text or "" for node in ElementTree.fromstring(data).iter() if node.tag.endswith("}text")]
    assert any("Harrell C out of fold" in text for text in texts)


def test_a_picture_asked_for_before_the_figure_is_drawn_is_waited_for(page: Page) -> None:
    """The library that draws figures may still be on its way to the browser."""
    button = page.get_by_label("Download this figure as PNG").first
    rename = "([from, to]) => document.querySelectorAll('.' + from).forEach(e => e.classList.replace(from, to))"
    page.evaluate(rename, ["js-plotly-plot", "not-drawn-yet"])
    with page.expect_download() as download:
        button.click()
        expect(page.get_by_text("Making the picture …")).to_be_visible()
        expect(button).to_be_disabled()
        page.evaluate(rename, ["not-drawn-yet", "js-plotly-plot"])
    assert download.value.suggested_filename == "demo-harrell-c.png"
    expect(button).to_be_enabled()
    expect(page.get_by_text("Making the picture …")).to_have_count(0)


def test_every_view_draws_its_figure(page: Page, screenshots: Path) -> None:
    for view in VIEWS:
        page.locator("[data-testid=stMain]").get_by_role("radio", name=view, exact=True).click()
        expect(page.get_by_role("heading", name=view, exact=True)).to_be_visible()
        expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
        expect(page.get_by_text("How to read it").first).to_be_visible()
        shoot(page, screenshots, f"survival-{view.lower().replace(' ', '-')}", looks=(LOOKS[0], LOOKS[3]))


def test_the_chosen_model_is_the_one_that_scores(page: Page, places: dict[str, str]) -> None:
    page.locator("[data-testid=stMain]").get_by_role("radio", name="Models", exact=True).click()
    page.get_by_role("button", name="Make it the study's model").click()
    expect(page.get_by_role("button", name="Back to the model fitted on the Cohort page")).to_be_visible(timeout=WORK)
    assert Study.open(Path(places["LATENT_HEALTH_STUDIES"]) / "demo").chosen_model == "photo-cox-ridge"
    go(page, "Home")
    expect(page.get_by_text("Photo (W+), ridge Cox").first).to_be_visible()
