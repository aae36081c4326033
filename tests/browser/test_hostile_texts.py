"""Every page with a study, a checkpoint and jobs whose texts are markdown and HTML: all of it is shown as text, and the
browser asks nobody but the app for anything."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Error, Page, Request, expect

from bench.driving import running_app
from latent.checkpoints import load_checkpoint
from study.comparison.fit import fit, fit_plan
from study.comparison.plan import Plan
from study.comparison.run import compare
from study.disk.exclusions import exclude
from study.disk.store import Study
from study.files import csv_text, write_json, write_text
from study.report.build import report_html
from study.settings import Covariate, settings_text
from tests.browser.test_main_job import PATIENCE, go
from tests.ui import tiny

pytestmark = pytest.mark.browser
CASES = Path(__file__).parents[1] / "data" / "cases" / "injection"
ELSEWHERE = "127.0.0.1:9"
EVIL = (
    f"![x](http://{ELSEWHERE}/h.png) [y](http://{ELSEWHERE}/l) <img src=http://{ELSEWHERE}/i.png onerror=alert(1)> "
    f"$x^2$ :red[z] :smile: :material/home: http://{ELSEWHERE}/a <a href=http://{ELSEWHERE}/b>b</a>"
)
SHORT = f"![x](http://{ELSEWHERE}/s.png)"
VIEWED = {"Cohort": 6, "Survival model": 11}  # pages whose views are gone through, and how many there are
SHOWING = ("Home", "Cohort", "Survival model", "Fine-tune")
PAGES = ("Home", "Cohort", "Survival model", "Portrait", "Health direction", "Fine-tune")
# What markdown or HTML from a file would leave in the page. Streamlit's own links go to its own address.
INJECTED = (
    f'img[src*="{ELSEWHERE}"], a[href*="{ELSEWHERE}"], [style*="{ELSEWHERE}"], image[href*="{ELSEWHERE}"], '
    '.katex, iframe, [onerror], img[alt="x"]'
)


def hostile_study(folder: Path, checkpoint_folder: Path) -> Study:
    """A small study in which everything that may be any text is EVIL, fitted, compared, reported and with a note of
    photos that failed."""
    study = tiny.write_study(folder, load_checkpoint(checkpoint_folder))
    rng = np.random.default_rng(3)
    table = pd.read_csv(study.path / "patients.csv", dtype=str)
    table[EVIL[:90]] = rng.integers(1, 90, len(table)).astype(str)
    table[SHORT] = rng.choice([SHORT, f"<b>{SHORT}</b>", "$a$"], len(table))
    table["site"] = rng.choice([SHORT, "lung"], len(table))
    covariates = (
        Covariate("number", "numeric", EVIL[:90], label=SHORT),
        Covariate("words", "categorical", SHORT, label=f"<a href=http://{ELSEWHERE}/c>c</a>"),
    )
    settings = replace(
        study.settings, title=EVIL, source=EVIL, citation=EVIL, covariates=covariates, simulated=False, aligned=True
    )
    write_text(study.path / "patients.csv", csv_text(table))
    write_text(study.path / "study.toml", settings_text(settings))
    study = Study.open(folder)
    exclude(folder, ["P0007"], f"twin of {SHORT}")
    write_json(folder / "embedding.json", {"failures": [{"patient_id": "P0009", "photo": EVIL, "reason": EVIL}]})
    report = fit(Study.open(folder), plan=fit_plan(folds=3, repeats=1, penalties=12, samples=200))
    write_json(folder / "models" / "photo" / "report.json", {**report, "label": EVIL, "notes": [EVIL]})
    plan = Plan(("age-sex", "clinical", "photo"), folds=3, repeats=1, samples=40, shuffles=1, penalties=8)
    compare(Study.open(folder), plan)
    return Study.open(folder)


def hostile_checkpoint(folder: Path) -> None:
    """config.json may say anything beside what the networks need."""
    tiny.write_checkpoint(folder)
    config = json.loads((folder / "config.json").read_text())
    told = dict.fromkeys(("source", "licence", "imported_at", "run", "note"), EVIL)
    told |= {"training": {"settings": {EVIL: EVIL}, "data": {"name": EVIL}}, "imported_from": {"file": EVIL}}
    (folder / "config.json").write_text(json.dumps({**config, **told}))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("hostile")
    hostile_checkpoint(root / "checkpoints" / "portraits")
    hostile_study(root / "studies" / "demo", root / "checkpoints" / "portraits")
    shutil.copytree(CASES / "study_markdown", root / "studies" / "evil")
    tiny.write_run(root / "runs" / "finetune" / "evil", "failed", EVIL)
    tiny.write_set(root / "runs" / "sets" / "evil", reasons={EVIL: 2})
    return {
        "LATENT_HEALTH_CHECKPOINTS": str(root / "checkpoints"),
        "LATENT_HEALTH_STUDIES": str(root / "studies"),
        "LATENT_HEALTH_RUNS": str(root / "runs"),
    }


@pytest.fixture(scope="module")
def page(browser: Browser, places: dict[str, str]) -> Iterator[Page]:
    with running_app(environment={"OMP_NUM_THREADS": "1", **places}) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.asked = []  # type: ignore[attr-defined]

        def note(request: Request) -> None:
            if not request.url.startswith((f"{address}/", address.replace("http", "ws"), "data:", "blob:")):
                page.asked.append(request.url)  # type: ignore[attr-defined]

        page.on("request", note)
        page.on("dialog", lambda dialog: page.asked.append(f"dialog {dialog.message}"))  # type: ignore[attr-defined]
        page.goto(address)
        expect(page.get_by_text("Research use only")).to_be_visible()
        yield page
        page.close()


def settle(page: Page) -> None:
    """Until the script has run."""
    page.wait_for_timeout(500)
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_have_count(1)
    page.wait_for_timeout(300)


def check(page: Page, where: str) -> None:
    settle(page)
    assert page.asked == [], where  # type: ignore[attr-defined]
    found = page.locator(INJECTED).evaluate_all("all => all.map(e => e.outerHTML.slice(0, 200))")
    assert found == [], where
    text = page.locator("body").inner_text()
    assert "\U0001f604" not in text, f"{where}: :smile: was rendered"
    assert not re.search(r"Traceback|Error:", text), where


def open_everything(page: Page, where: str) -> None:
    """Expanders are opened and help is pointed at: both are rendered only then."""
    for summary in page.locator("[data-testid=stExpander] summary").all():
        if summary.is_visible() and not summary.evaluate("e => e.parentElement.open"):
            summary.click()
            settle(page)
    for icon in page.locator("[data-testid=stTooltipIcon]").all()[:25]:
        if icon.is_visible():
            icon.hover()
            page.wait_for_timeout(150)
            check_now = page.locator(INJECTED).count()
            assert check_now == 0, f"{where}: help"
    page.mouse.move(0, 0)
    check(page, where)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_texts_from_files_as_texts(page: Page, name: str) -> None:
    go(page, name)
    expect(page.locator("h1")).to_be_visible()
    check(page, name)
    open_everything(page, name)
    shown = page.locator("body").inner_text()
    views = page.locator("[data-testid=stMain] [data-testid=stButtonGroup]").first
    if name in VIEWED:
        expect(views).to_be_visible()
    labels = views.locator("button").all_inner_texts() if name in VIEWED else []
    assert len(labels) >= VIEWED.get(name, 0)
    for label in labels:
        views.get_by_text(label, exact=True).click()
        check(page, f"{name}, {label}")
        open_everything(page, f"{name}, {label}")
        shown += page.locator("body").inner_text()
    assert name not in SHOWING or "![x](http" in shown, f"{name} shows nothing of the texts"


def test_the_browser_is_told_to_ask_nobody_else(page: Page) -> None:
    """Were a text to slip through all the same, the policy of the page still keeps the request at home."""
    answer = page.request.get(page.url)
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    heard: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        place = f"http://127.0.0.1:{server.server_port}"
        picture = f"const i = new Image(); i.onload = y; i.onerror = n; i.src = '{place}/i'"
        for way in (f"fetch('{place}/f')", f"new Promise((y, n) => {{ {picture} }})", f"import('{place}/m.js')"):
            with pytest.raises(Error):
                page.evaluate(f"() => {way}")
        page.wait_for_timeout(500)
        server.shutdown()
    assert heard == []
    page.asked.clear()  # type: ignore[attr-defined]  # the browser reports what it was asked for and did not send


def test_a_hostile_table_is_offered_as_text(page: Page) -> None:
    """The case of the report: column names that ask for a picture, given to the page that makes a study."""
    go(page, "Cohort")
    settle(page)
    page.locator("[data-testid=stMain] [data-testid=stButtonGroup]").first.get_by_text("New study", exact=True).click()
    settle(page)
    page.locator("input[type=file]").first.set_input_files(CASES / "column_markdown.csv")
    expect(page.get_by_text("column_markdown.csv")).to_be_visible()
    check(page, "a hostile table")
    open_everything(page, "a hostile table")


def test_the_report_is_one_page_without_a_request(browser: Browser, places: dict[str, str], tmp_path: Path) -> None:
    study = Study.open(Path(places["LATENT_HEALTH_STUDIES"]) / "demo")
    (tmp_path / "report.html").write_bytes(report_html(study))
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_timeout(3000)
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.locator(INJECTED.replace("iframe, ", "")).count() == 0
    assert "![x](http" in page.locator("body").inner_text()
    page.close()


def test_a_study_that_is_refused_says_so_in_text(page: Page) -> None:
    """cases/injection/study_markdown: its table asks for a picture where an event should be."""
    page.locator("[data-testid=stSidebar]").get_by_role("combobox", name="Study").click()
    page.get_by_role("option", name="evil").click()
    for name in PAGES:
        go(page, name)
        check(page, name)
        open_everything(page, name)
    go(page, "Cohort")
    page.locator("[data-testid=stButtonGroup]").first.get_by_text("Table check", exact=True).click()
    check(page, "Table check")
    expect(page.get_by_text("![](http://127.0.0.1:9/ev)").first).to_be_visible()
