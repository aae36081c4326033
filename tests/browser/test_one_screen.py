"""What must be seen together fits one screen: face, slider and curve; and the result of a score comes to the reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from bench.driving import running_app
from study.disk.store import Study
from tests.browser.conftest import embedded
from tests.browser.test_main_job import PATIENCE, go, photo
from tests.browser.test_main_job import SEARCH as WORK
from tests.ui import tiny

pytestmark = pytest.mark.browser
PHONE = (390, 844)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("screen")
    tiny.write_study(root / "studies" / "demo", tiny.write_checkpoint(root / "checkpoints" / "portraits"))
    return root


@pytest.fixture(scope="module")
def page(browser: Browser, root: Path) -> Iterator[Page]:
    roots = {"STUDIES": "studies", "CHECKPOINTS": "checkpoints", "RUNS": "runs"}
    places = {f"LATENT_HEALTH_{name}": str(root / folder) for name, folder in roots.items()}
    places["LATENT_HEALTH_TUNING"] = "off"
    with running_app(environment={"OMP_NUM_THREADS": "1", **places}) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        expect(page.get_by_text("Research use only")).to_be_visible()
        go(page, "Health direction")
        expect(page.locator(".scrubber[data-ready]")).to_be_visible(timeout=WORK)
        yield page
        page.close()


def resize(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(800)


def scroll_to(page: Page, top: int) -> None:
    page.locator("[data-testid=stMain]").evaluate("(main, top) => { main.scrollTop = top }", top)
    page.wait_for_timeout(300)


def edges(part: Locator) -> tuple[float, float, float, float]:
    """Left, top, right and bottom in the window, CSS pixels."""
    box = part.bounding_box()
    assert box is not None
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def assert_inside(page: Page, parts: dict[str, Locator], top: float = 0.0) -> None:
    """Every part lies wholly in the window. top: height of a bar that covers the window's upper edge."""
    size = page.viewport_size
    assert size is not None
    for name, part in parts.items():
        left, upper, right, lower = edges(part)
        assert left >= 0, name
        assert upper >= top, name
        assert right <= size["width"], name
        assert lower <= size["height"], name


def assert_nothing_sticks_out(page: Page) -> None:
    wide, inside = page.locator("[data-testid=stMain]").evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert wide <= inside


def parts(page: Page) -> dict[str, Locator]:
    root = page.locator(".scrubber[data-ready]")
    return {
        "face": root.locator(".frame"),
        "slider": root.locator("input[type=range]"),
        "labels of the slider": root.locator(".ticks"),
        "figures": root.locator(".numbers"),
        "curve": root.locator(".curve-plot"),
    }


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1366, 768), (1440, 900), (1920, 1080)])
def test_face_slider_and_curve_are_seen_together(page: Page, width: int, height: int) -> None:
    resize(page, width, height)
    scroll_to(page, 0)
    shown = parts(page)
    assert_inside(page, shown)
    assert_nothing_sticks_out(page)
    face, slider = edges(shown["face"]), edges(shown["slider"])
    assert 0 <= slider[1] - face[3] < 24, "the slider lies directly under the face"
    assert face[2] - face[0] > 300, "the face is large enough to be read"
    assert edges(shown["curve"])[0] >= face[2], "the curve lies beside the face"


def test_on_a_phone_face_and_slider_stay_while_the_figures_pass_under_them(page: Page) -> None:
    resize(page, *PHONE)
    scroll_to(page, 0)
    shown = parts(page)
    assert_nothing_sticks_out(page)
    rest = edges(shown["face"])[1]
    bar = edges(page.locator("[data-testid=stHeader]"))[3]
    scroll_to(page, int(edges(shown["curve"])[3]) - PHONE[1] + 8)
    assert_inside(page, shown, top=bar)
    face, slider = edges(shown["face"]), edges(shown["slider"])
    assert face[1] < rest, "the page was scrolled"
    assert face[1] == pytest.approx(bar, abs=2), "the face sticks under the bar"
    assert 0 <= slider[1] - face[3] < 24
    assert edges(shown["figures"])[1] >= edges(shown["labels of the slider"])[3], "nothing is covered"
    before = page.locator(".scrubber").get_attribute("data-frame")
    shown["slider"].focus()
    shown["slider"].press("ArrowRight")
    expect(page.locator(".scrubber")).not_to_have_attribute("data-frame", before or "")
    assert_inside(page, shown, top=bar)
    scroll_to(page, 0)
    resize(page, 1280, 720)


def highest(folder: Path) -> str:
    """The patient to whom the study's model gives the highest hazard that is still among the cohort's scores."""
    study = Study.open(folder)
    codes, table = study.analysed()
    scores = np.asarray(study.model().predict(codes))
    scores[study.model().extrapolated(scores) != 0] = -np.inf
    return str(table["patient_id"][int(np.argmax(scores))])


def test_what_no_patient_backs_is_marked_where_it_is_read(page: Page, root: Path) -> None:
    resize(page, 1280, 720)
    scroll_to(page, 0)
    patient, chooser = highest(root / "studies" / "demo"), page.get_by_role("combobox", name="Patient")
    before = page.locator(".scrubber").get_attribute("data-ready")
    chooser.fill(patient)
    chooser.press("Enter")
    expect(page.locator(".scrubber")).not_to_have_attribute("data-ready", before or "", timeout=WORK)
    expect(page.locator(".scrubber[data-ready] .caption")).to_contain_text(patient)
    view, slider = page.locator(".scrubber[data-ready]"), parts(page)["slider"]
    slider.press("End")
    expect(view.locator(".tag")).to_contain_text("extrapolated")
    expect(view.locator(".beyond-words")).to_be_visible()
    notes = view.locator(".numbers .note").all_inner_texts()
    assert notes[1:] == ["extrapolated"] * (len(notes) - 1)
    assert_inside(page, {"tag": view.locator(".tag"), "mark on the curve": view.locator(".beyond-words")})
    hatched = view.locator(".outside i").last
    assert edges(hatched)[2] == pytest.approx(edges(slider)[2], abs=2), "the track's end is hatched"
    assert "extrapolated" in (slider.get_attribute("aria-valuetext") or "")
    view.get_by_role("button", name="Reset to start").click()
    expect(view.locator(".tag")).to_have_text("start")
    expect(view.locator(".beyond-words")).to_be_hidden()


def scrolled(page: Page) -> float:
    return float(page.locator("[data-testid=stMain]").evaluate("main => main.scrollTop"))


@pytest.fixture(scope="module")
def portrait(browser: Browser, address: str) -> Iterator[Page]:
    """The page with a photo, on the embedded study: an untrained generator draws no face, and a score needs one."""
    if not embedded():
        pytest.skip("the embedded checkpoint and study are absent")
    page = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="light")
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    expect(page.get_by_text("Research use only")).to_be_visible()
    go(page, "Portrait")
    page.locator("input[type=file]").set_input_files(photo())  # type: ignore[arg-type]
    yield page
    page.close()


@pytest.mark.parametrize("size", [(1280, 720), PHONE])
def test_progress_and_result_of_a_score_come_into_view_by_themselves(portrait: Page, size: tuple[int, int]) -> None:
    page = portrait
    start = page.get_by_role("button", name="Compute the risk")
    expect(start).to_be_enabled(timeout=WORK)
    resize(page, *size)
    start.click()
    expect(page.locator(".st-key-progress")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_in_viewport()
    verdict = page.locator(".st-key-outcome .lh-verdict")
    expect(verdict).to_be_visible(timeout=WORK)
    expect(verdict).to_contain_text("the typical patient")
    expect(verdict).to_be_in_viewport(ratio=1)
    page.wait_for_timeout(3000)
    tiles = page.locator(".st-key-outcome [data-testid=stMetric]")
    shown = {"verdict": verdict, "percentile": tiles.nth(0), "hazard ratio": tiles.nth(1)}
    if size != PHONE:
        shown["curve"] = page.locator(".st-key-outcome .js-plotly-plot")
    bar = edges(page.locator("[data-testid=stHeader]"))[3] if size == PHONE else 0.0
    assert_inside(page, shown, top=bar)
    assert_nothing_sticks_out(page)
    fit = page.get_by_text("How well the face model reproduces the photo")
    assert edges(fit)[1] > edges(page.locator(".st-key-outcome"))[3], "fit and provenance come after the result"


def test_a_return_to_the_page_leaves_the_reader_at_its_top(portrait: Page) -> None:
    page = portrait
    resize(page, 1280, 720)
    go(page, "Home")
    expect(page.get_by_text("Where to go")).to_be_visible()
    go(page, "Portrait")
    expect(page.locator(".st-key-outcome .lh-verdict")).to_be_visible()
    page.wait_for_timeout(3000)
    assert scrolled(page) == 0
