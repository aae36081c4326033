"""A study is looked over in the real app: patients, table, photos, an exclusion, codes, and a new study from a zip."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page, expect

from bench.driving import ROOT, running_app
from study.disk.exclusions import exclude
from study.disk.store import Study
from study.files import csv_text, sha256_of, write_bytes, write_json, write_text
from study.settings import settings_text
from study.simulation.simulate import encode_jpeg
from tests.browser.test_main_job import PATIENCE, go, shoot
from tests.latents_file import write_latents

pytestmark = pytest.mark.browser
WORK = 900_000  # ms; half a minute on a free machine
PATIENTS = 96
SPOILED = {"P0003": "blur", "P0012": "dark", "P0020": "grey", "P0031": "none", "P0032": "face"}


def small_demo(folder: Path) -> None:
    """The first patients of the embedded study, some of them with what goes wrong in real ones."""
    whole = Study.open(ROOT / "studies" / "demo")
    table = pd.read_csv(whole.path / "patients.csv", dtype=str, keep_default_na=False).head(PATIENTS)
    ids = list(table["patient_id"])
    for patient in ids:
        write_bytes(folder / "photos" / f"{patient}.jpg", whole.photos[patient].read_bytes())
    table.loc[5, "age"] = ""
    table.loc[7, "photo"] = ""
    table.loc[9, "photo"] = "photos/lost.jpg"
    write_text(folder / "patients.csv", csv_text(table))
    write_text(folder / "study.toml", settings_text(replace(whole.settings, simulation={})))
    for patient, change in SPOILED.items():
        spoil(folder / "photos" / f"{patient}.jpg", change)
    index = whole.latents().index
    rows = index[index["patient_id"].isin([p for p in ids if SPOILED.get(p) not in ("none", "face")])]
    codes, rows = np.array(whole.latents().views[rows.index]), rows.reset_index(drop=True)
    rows["photo_sha256"] = [sha256_of(folder / "photos" / f"{patient}.jpg") for patient in rows["patient_id"]]
    write_latents(folder, codes, rows, whole.embedding)
    reasons = {"none": "is not a JPEG, PNG, WebP, HEIC, AVIF, BMP or TIFF photo.", "face": ": no face was found."}
    failures = [
        {"patient_id": p, "photo": f"{p}.jpg", "reason": f"{p}.jpg{' ' if c == 'none' else ''}{reasons[c]}"}
        for p, c in SPOILED.items()
        if c in reasons
    ]
    write_json(folder / "embedding.json", {"failures": failures})
    exclude(folder, ["P0015"], "second photo of P0014")


def spoil(path: Path, change: str) -> None:
    if change == "none":
        path.write_bytes(b"no photo")
        return
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if change == "blur":
        image = image.filter(ImageFilter.GaussianBlur(6))
    elif change == "dark":
        image = image.point(lambda value: value // 5)
    elif change == "grey":
        image = image.convert("L").convert("RGB")
    else:
        image = image.crop((0, 0, 60, 60)).resize((256, 256))
    path.write_bytes(encode_jpeg(np.asarray(image)))


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    if not (ROOT / "studies/demo/index.parquet").is_file():
        pytest.skip("the embedded study is not there, and tiny ones have no faces to look over")
    root = tmp_path_factory.mktemp("cohort")
    small_demo(root / "studies" / "demo")
    places = {"LATENT_HEALTH_STUDIES": str(root / "studies"), "LATENT_HEALTH_RUNS": str(root / "runs")}
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
    with running_app(environment={**threads, **places}) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        expect(page.get_by_text("Research use only")).to_be_visible()
        go(page, "Cohort")
        yield page
        page.close()


def settle(page: Page) -> None:
    """Wait for the run that a filled field has started: a click into it is lost now and then."""
    page.wait_for_timeout(500)
    expect(page.locator("[data-testid=stApp]")).to_have_attribute("data-test-script-state", "notRunning")


def view(page: Page, name: str) -> None:
    page.locator("[data-testid=stMain]").get_by_role("radio", name=name, exact=True).click()


def test_who_is_analysed(page: Page, screenshots: Path) -> None:
    expect(page.get_by_text("From the table to the analysis")).to_be_visible()
    expect(page.get_by_text("second photo of P0014")).to_be_visible()
    shoot(page, screenshots, "cohort-patients")


def test_the_table_check(page: Page, screenshots: Path) -> None:
    view(page, "Table check")
    expect(page.get_by_text("photos/lost.jpg is not there.")).to_be_visible()
    shoot(page, screenshots, "cohort-check")


def test_photos_are_looked_over(page: Page, screenshots: Path) -> None:
    view(page, "Photos")
    page.get_by_role("button", name="Check the photos").click()
    expect(page.locator(".lh-thumb")).to_have_count(24, timeout=WORK)
    shoot(page, screenshots, "cohort-photos")


def test_a_patient_is_taken_out_and_back(page: Page, screenshots: Path) -> None:
    page.get_by_text("blurred (1)").click()
    expect(page.locator(".lh-thumb")).to_have_count(1)
    settle(page)
    page.get_by_text("P0003", exact=True).click()
    expect(page.get_by_role("button", name="Exclude 1 marked")).to_be_visible()
    reason = page.get_by_label("Reason for excluding the marked patients")
    reason.fill("out of focus")
    reason.press("Enter")
    settle(page)
    page.get_by_role("button", name="Exclude 1 marked").click()
    page.get_by_text("Excluded patients (2)").click()
    expect(page.get_by_text("out of focus")).to_be_visible()
    shoot(page, screenshots, "cohort-excluded")
    page.get_by_role("button", name="Undo the last exclusion").click()
    expect(page.get_by_text("Excluded patients (1)")).to_be_visible()


def test_codes_and_what_their_error_says(page: Page, screenshots: Path) -> None:
    view(page, "Face codes and model")
    expect(page.get_by_text("Cox regression of").first).to_be_visible()
    shoot(page, screenshots, "cohort-codes")


def test_reconstructions_worst_first(page: Page, screenshots: Path) -> None:
    view(page, "Reconstructions")
    expect(page.locator(".lh-trio")).to_have_count(8)
    shoot(page, screenshots, "cohort-reconstructions")


def offer(page: Page, csv: dict[str, object]) -> None:
    """A table, and when survival is to be reported: of seven patients no time is proposed."""
    page.locator("input[type=file]").first.set_input_files(csv)  # type: ignore[arg-type]
    times = page.get_by_role("textbox", name="Report survival at (months)")
    settle(page)
    times.fill("12")
    times.press("Enter")
    settle(page)


def test_a_new_study(page: Page, screenshots: Path) -> None:
    view(page, "New study")
    rows = "".join(f"N{i},{10 + i},{'dead' if i % 2 else 'alive'},{50 + i},P{i:04d}.jpg\n" for i in range(1, 7))
    table = ("Patient,OS months,Status,Age,Image\n" + rows + "N7,-3,dead,60,x.jpg\n").encode()
    csv = {"name": "patients.csv", "mimeType": "text/csv", "buffer": table}
    offer(page, csv)
    expect(page.get_by_text("The table has errors.")).to_be_visible()
    shoot(page, screenshots, "cohort-new-errors")
    page.get_by_role("button", name="Remove patients.csv").click()
    expect(page.get_by_text("2. What the columns mean")).to_have_count(0)
    csv["buffer"] = table.replace(b"-3", b"3")
    offer(page, csv)
    expect(page.get_by_text("7 patients, 4 events, in months.")).to_be_visible()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(1, 7):
            name = f"P{i:04d}.jpg"
            archive.writestr(name, (ROOT / "studies" / "demo" / "photos" / name).read_bytes())
    photos = {"name": "photos.zip", "mimeType": "application/zip", "buffer": buffer.getvalue()}
    page.locator("input[type=file]").nth(1).set_input_files(photos)  # type: ignore[arg-type]
    settle(page)
    field = page.get_by_placeholder("my-study")
    field.fill("fresh")
    field.press("Enter")
    settle(page)
    page.get_by_text("I may use these data for this purpose, photos included").click()
    settle(page)
    shoot(page, screenshots, "cohort-new")
    page.get_by_role("button", name="Make the study").click()
    page.get_by_role("button", name="Choose it in the sidebar").click(timeout=WORK)
    expect(page.locator("[data-testid=stSidebar] input").first).to_have_value("fresh")
