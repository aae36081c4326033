"""A study is looked over in the real app: patients, table, photos, codes, reconstructions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, Page, expect

from bench.driving import ROOT, running_app
from study.exclusions import exclude
from study.files import csv_text, sha256_of, write_bytes, write_json, write_text
from study.latents import write_latents
from study.settings import settings_text
from study.simulate import encode_jpeg
from study.store import Study
from tests.browser.test_main_job import PATIENCE, go, shoot

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
    ws, index = whole.latents()
    rows = index[index["patient_id"].isin([p for p in ids if SPOILED.get(p) not in ("none", "face")])]
    codes, rows = np.array(ws[rows.index]), rows.reset_index(drop=True)
    rows["photo_sha256"] = [sha256_of(folder / "photos" / f"{patient}.jpg") for patient in rows["patient_id"]]
    write_latents(folder, codes, rows, whole.embedding)
    reasons = {"none": "is not a JPEG, PNG, WebP, BMP or TIFF photo.", "face": ": no face was found."}
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
    page.get_by_role("button", name="Look the photos over").click()
    expect(page.locator(".lh-thumb")).to_have_count(24, timeout=WORK)
    shoot(page, screenshots, "cohort-photos")


def test_codes_and_what_their_error_says(page: Page, screenshots: Path) -> None:
    view(page, "Codes")
    expect(page.get_by_text("Cox regression of").first).to_be_visible()
    shoot(page, screenshots, "cohort-codes")


def test_reconstructions_worst_first(page: Page, screenshots: Path) -> None:
    view(page, "Reconstructions")
    expect(page.locator(".lh-trio")).to_have_count(8)
    shoot(page, screenshots, "cohort-reconstructions")
