"""`.venv/bin/python -m docs.screenshots [demo] [own_study]`: take the pictures of README and guide again, in the app.

Needs the embedded study and checkpoint, and Chromium. The walk's own study is made of the first patients of the demo,
in a folder of its own that is removed; everybody in the pictures is rendered.
"""

from __future__ import annotations

import io
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from PIL import Image

from bench.driving import ROOT, headless_browser, running_app

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

IMAGES = ROOT / "docs" / "images"
DEMO = ROOT / "studies" / "demo"
WIDTH, HEIGHT = 1280, 860
COLOURS = 128  # of a PNG's palette; pages full of faces are JPEG
PARTS = ("demo", "own_study")
LIMIT = 150_000  # bytes
PATIENCE = 120_000  # ms
WORK = 900_000  # ms, for jobs and the search for a code
PATIENTS = 24  # of the study that the walk makes
PATIENT = "P0002"  # an example of the Portrait page


def main() -> None:
    """Every picture, in two sessions of one server: the demo study, and a study made from a table and a zip."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        studies = Path(folder) / "studies"
        studies.mkdir()
        (studies / "demo").symlink_to(DEMO)
        places = {"LATENT_HEALTH_STUDIES": str(studies), "LATENT_HEALTH_RUNS": str(Path(folder) / "runs")}
        with running_app(environment=places) as address, headless_browser() as browser:
            for part in [part for part in (demo, own_study) if part.__name__ in (sys.argv[1:] or PARTS)]:
                page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
                page.set_default_timeout(PATIENCE)
                page.goto(address)
                page.get_by_text("Research use only").first.wait_for()
                part(page)
                page.close()


def demo(page: Page) -> None:
    """Home, Survival model, Portrait and Health direction with the embedded study."""
    page.locator(".lh-strip img").first.wait_for()
    shoot(page, "walk-home.png")
    go(page, "Survival model")
    page.locator(".js-plotly-plot").first.wait_for()
    shoot(page, "walk-survival-model.png", ".js-plotly-plot")
    go(page, "Portrait")
    press(page, "photo_source", "Example")
    page.locator(f".st-key-example-{PATIENT} button").click()
    settle(page)
    start = page.get_by_role("button", name="Compute the risk")
    start.click()
    page.locator("[data-testid=stMetric]").filter(has_text="Hazard ratio").wait_for(timeout=WORK)
    shoot(page, "walk-portrait.png", "[data-testid=stMetric]")
    page.get_by_role("button", name="Move this face along the health direction").click()
    page.locator(".scrubber[data-ready]").wait_for(timeout=WORK)
    slider = page.locator(".scrubber input[type=range]")
    slider.focus()
    for _ in range(8):
        slider.press("ArrowRight")
    shoot(page, "health-direction.png")


def own_study(page: Page) -> None:
    """The study of the walk: made, its table and its photos checked."""
    go(page, "Cohort")
    press(page, "cohort-view", "New study")
    table, photos = files()
    page.locator("input[type=file]").first.set_input_files(table)
    page.get_by_text("What the columns mean").first.wait_for()
    page.locator("input[type=file]").nth(1).set_input_files(photos)
    settle(page)
    field = page.get_by_placeholder("my-study")
    field.fill("clinic")
    field.press("Enter")
    settle(page)
    shoot(page, "walk-new-study.png", "text=What the columns mean")
    page.get_by_text("I may use these data for this").click()
    settle(page)
    page.get_by_role("button", name="Make the study").click()
    page.get_by_role("button", name="Choose it in the sidebar").click(timeout=WORK)
    page.get_by_text("Study of real patients").wait_for()  # the new study is what the page shows
    press(page, "cohort-view", "Table check")
    shoot(page, "walk-table-check.png")
    press(page, "cohort-view", "Photos")
    page.get_by_role("button", name="Check the photos").click()
    page.locator(".lh-thumb").nth(7).wait_for(timeout=WORK)
    shoot(page, "walk-photos.jpg", ".lh-thumb")


def files() -> tuple[dict[str, Any], dict[str, Any]]:
    """A table with a few gaps and a zip of its photos, as uploads."""
    table = pd.read_csv(DEMO / "patients.csv", dtype=str, keep_default_na=False).head(PATIENTS)
    names = [Path(photo).name for photo in table["photo"]]
    table["photo"] = names
    table.loc[[4, 11], "age"] = ""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names[:-1]:
            archive.write(DEMO / "photos" / name, name)
    csv = table.to_csv(index=False).encode()
    return (
        {"name": "patients.csv", "mimeType": "text/csv", "buffer": csv},
        {"name": "photos.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()},
    )


def go(page: Page, name: str) -> None:
    page.locator("[data-testid=stSidebarNav]").get_by_role("link", name=name).click()
    settle(page)


def press(page: Page, key: str, label: str) -> None:
    """A segment of the control with this key of Streamlit's."""
    page.locator(f".st-key-{key}").get_by_role("radio", name=label, exact=True).click()
    settle(page)


def settle(page: Page) -> None:
    """Waits until the app has drawn what was asked for."""
    page.wait_for_timeout(500)
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()
    page.wait_for_timeout(500)


def shoot(page: Page, name: str, scroll_to: str = "") -> None:
    """docs/images/NAME: the window, scrolled so that the place is a little below its upper edge."""
    settle(page)
    page.evaluate("() => document.activeElement && document.activeElement.blur()")
    main: Locator = page.locator("[data-testid=stMain]")
    top = 0
    if scroll_to:
        box = page.locator(scroll_to).first.bounding_box()
        top = int(box["y"] + main.evaluate("e => e.scrollTop")) - 160 if box else 0
    main.evaluate("(e, top) => e.scrollTo(0, top)", top)
    page.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    file = IMAGES / name
    if file.suffix == ".jpg":
        picture.save(file, quality=80, optimize=True)
    else:
        picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} KB", flush=True)
    if file.stat().st_size > LIMIT:
        raise RuntimeError(f"{file.name} is larger than {LIMIT // 1000} KB: lower COLOURS or the window.")


if __name__ == "__main__":
    main()
