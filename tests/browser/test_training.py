"""Photos become a training set and a checkpoint goes on learning from them, in the real app."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from bench.driving import ROOT
from jobs.queue import Queue
from tests.browser.test_main_job import PATIENCE, go, shoot

pytestmark = pytest.mark.browser
WORK = 900_000  # ms; a minute or two on a free machine
PHOTOS = 40


@pytest.fixture(scope="module")
def page(browser: Browser, address: str, app_environment: dict[str, str]) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    expect(page.get_by_text("Research use only")).to_be_visible()
    go(page, "Fine-tune")
    expect(page.get_by_text("No job is waiting or running.")).to_be_visible()
    yield page
    page.close()
    queue = Queue(Path(app_environment["LATENT_HEALTH_RUNS"]) / "queue")
    for job in queue.jobs()[0]:  # jobs outlive the app; none outlives the tests
        queue.stop(job.id)


def photos() -> dict[str, object]:
    """A zip of portraits with one file that is none."""
    found = sorted((ROOT / "studies" / "demo" / "photos").glob("*.jpg"))[:PHOTOS]
    if len(found) < PHOTOS:
        pytest.skip("the embedded study is not there, and tiny ones have no faces to align")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in found:
            archive.write(path, path.name)
        archive.writestr("broken.jpg", b"no photo")
    return {"name": "portraits.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()}


def fill(page: Page, label: str, value: str) -> None:
    """Type into a field once the page is at rest; while it is drawn anew, a field may be there twice."""
    expect(page.locator('[data-test-script-state="notRunning"]')).to_have_count(1)
    field = page.get_by_label(label, exact=True)
    expect(field).to_have_count(1)
    field.fill(value)
    field.press("Enter")


def test_the_page_before_anything_is_there(page: Page, screenshots: Path) -> None:
    explained = page.get_by_text(re.compile("fitted to new photos"))
    expect(explained).to_be_visible()  # the choice itself is loaded by the browser when it is first needed
    if "at once" in explained.inner_text():  # the embedded start has one, a tiny one has not
        page.get_by_text("Adversarial (StyleGAN2, ADA)").click()
        expect(page.get_by_text("cannot be fitted to new photos as quickly")).to_be_visible()
    page.get_by_text("People and quality").click()
    page.get_by_text("Settings", exact=True).click()
    expect(page.get_by_label("Learning rate", exact=True)).to_be_visible()
    shoot(page, screenshots, "fine_tune-empty")


def test_photos_become_a_set(page: Page) -> None:
    page.locator("input[type=file]").set_input_files(photos())  # type: ignore[arg-type]
    fill(page, "Name of the set", "forty")
    page.get_by_text("I may use these photos").click()
    page.get_by_role("button", name="Make the training set").click()
    expect(page.get_by_text("Training set forty")).to_be_visible()
    # one is no photo, and in two of the portraits the detector is not certain of the face
    expect(page.get_by_text("Refused photos (3)")).to_be_visible(timeout=WORK)
    expect(page.locator(".lh-gallery img")).to_have_count(32)


def test_a_checkpoint_goes_on_learning(page: Page, screenshots: Path) -> None:
    fill(page, "Length (thousand images)", "0.2")
    page.get_by_text("Settings", exact=True).click()
    fill(page, "Report every (thousand images)", "0.05")
    page.get_by_role("button", name="Start fine-tuning").click()
    expect(page.locator(".js-plotly-plot")).to_have_count(4, timeout=WORK)
    expect(page.get_by_alt_text("Grid of samples after 0.")).to_be_visible()
    shoot(page, screenshots, "fine_tune-running")


def test_it_goes_on_without_the_page_and_ends_in_the_picker(page: Page, address: str, screenshots: Path) -> None:
    page.goto("about:blank")
    page.wait_for_timeout(2000)
    page.goto(address)
    go(page, "Fine-tune")
    expect(page.get_by_text("can now be chosen in the sidebar")).to_be_visible(timeout=WORK)
    shoot(page, screenshots, "fine_tune-done")
    page.get_by_role("button", name="Choose it in the sidebar").click()
    expect(page.get_by_role("button", name="Chosen")).to_be_visible()
    expect(page.get_by_role("combobox", name="Face model")).to_have_value(re.compile("^patients-forty"))
