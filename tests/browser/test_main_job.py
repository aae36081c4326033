"""The main job in the real app: a photo goes in, a risk comes out, the face moves along the health direction."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from skimage.data import astronaut

from ui.shell import theme

pytestmark = pytest.mark.browser
PATIENCE = 120_000  # ms, for anything but the search for the code
SEARCH = 600_000  # ms; seconds on a free machine, minutes on a crowded one
LOOKS = [("light", 1280), ("dark", 1280), ("light", 1920), ("dark", 1920)]
expect.set_options(timeout=PATIENCE)
CANVAS = "canvas => canvas.toDataURL()"


@pytest.fixture(scope="module")
def page(browser: Browser, address: str) -> Iterator[Page]:
    """One session for the whole job; whatever the browser complains of ends up in `complaints`."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page.set_default_timeout(PATIENCE)
    page.complaints = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.complaints.append(f"script: {error}"))  # type: ignore[attr-defined]
    page.on("requestfailed", lambda request: page.complaints.append(f"failed: {request.url}"))  # type: ignore[attr-defined]
    page.on("request", lambda request: _outside(page, request.url, address))
    # Straight to an inner page of a fresh server: the entry must come first all the same.
    page.goto(f"{address}/portrait")
    expect(page.get_by_text("Research use only")).to_be_visible()
    expect(page.get_by_role("link", name="Health direction").first).to_be_visible()
    yield page
    page.close()


def _outside(page: Page, url: str, address: str) -> None:
    if not url.startswith((address, address.replace("http", "ws"), "data:", "blob:")):
        page.complaints.append(f"asked outside: {url}")  # type: ignore[attr-defined]


def go(page: Page, name: str) -> None:
    page.locator("[data-testid=stSidebarNav]").get_by_role("link", name=name).click()


def shoot(page: Page, folder: Path, name: str, looks: Sequence[tuple[str, int]] = LOOKS) -> None:
    """The whole page in both modes and widths, and that nothing sticks out sideways."""
    for mode, width in looks:
        page.emulate_media(color_scheme=mode)  # type: ignore[arg-type]
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(1500)
        main = page.locator("[data-testid=stMain]")
        wide, inside = main.evaluate("e => [e.scrollWidth, e.clientWidth]")
        assert wide <= inside + 1, f"{name} is wider than the window at {width} px"
        page.set_viewport_size({"width": width, "height": int(main.evaluate("e => e.scrollHeight")) + 10})
        page.wait_for_timeout(700)
        page.screenshot(path=folder / f"{name}-{mode}-{width}.png")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def photo() -> dict[str, object]:
    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    return {"name": "astronaut.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def readings(page: Page) -> list[str]:
    return page.locator(".scrubber .numbers .value").all_inner_texts()


def slider(page: Page) -> Locator:
    return page.locator(".scrubber input[type=range]")


def test_home(page: Page, screenshots: Path) -> None:
    go(page, "Home")
    expect(page.locator(".lh-gallery img")).to_have_count(8)
    expect(page.locator(".lh-strip img")).to_have_count(7)
    expect(page.locator(".stMarkdownBadge", has_text="Simulated study")).to_be_visible()
    shoot(page, screenshots, "home")


def test_portrait(page: Page, screenshots: Path) -> None:
    go(page, "Portrait")
    page.locator("input[type=file]").set_input_files(photo())  # type: ignore[arg-type]
    start = page.get_by_role("button", name="Compute the risk")
    expect(start).to_be_visible()
    start.click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    expect(page.get_by_text("Downloads", exact=True)).to_be_visible(timeout=SEARCH)
    expect(page.locator("[data-testid=stMetric]").filter(has_text="Hazard ratio")).to_be_visible()
    expect(page.get_by_alt_text("Reconstruction", exact=True)).to_be_visible()
    for mode, palette in (("dark", theme.DARK), ("light", theme.LIGHT)):
        page.emulate_media(color_scheme=mode)  # type: ignore[arg-type]
        ink = ", ".join(str(int(palette.ink[i : i + 2], 16)) for i in (1, 3, 5))
        expect(page.locator(".xtick text").first).to_have_css("fill", f"rgb({ink})")
    shoot(page, screenshots, "portrait")


def test_health_direction(page: Page, screenshots: Path) -> None:
    page.get_by_role("button", name="Move this face along the health direction").click()
    root = page.locator(".scrubber[data-ready]")
    expect(root).to_be_visible()
    picture, curve = root.locator("canvas.picture"), root.locator(".this-curve")
    page.wait_for_timeout(300)
    face, path, told = picture.evaluate(CANVAS), curve.get_attribute("d"), readings(page)
    middle = root.get_attribute("data-frame")
    knob = slider(page)
    knob.focus()
    for _ in range(8):
        knob.press("ArrowRight")
    expect(root).to_have_attribute("data-frame", str(int(middle or 0) + 8))
    assert readings(page)[0].replace("\u2009", "") == "×2.00", "eight steps double the hazard"
    assert all(now != before for now, before in zip(readings(page), told, strict=True)), "every figure moved"
    assert picture.evaluate(CANVAS) != face
    assert curve.get_attribute("d") != path
    assert "hazard ratio 2.00" in (knob.get_attribute("aria-valuetext") or "")

    root.get_by_role("button", name="Hold to see the start").dispatch_event("pointerdown")
    page.wait_for_timeout(100)
    assert picture.evaluate(CANVAS) == face, "while held, the start is shown"
    root.get_by_role("button", name="Hold to see the start").dispatch_event("pointerup")
    page.wait_for_timeout(100)
    moved = picture.evaluate(CANVAS)
    assert moved != face
    shoot(page, screenshots, "health_direction")
    root.get_by_role("button", name="Show difference").click()
    page.wait_for_timeout(100)
    assert picture.evaluate(CANVAS) != moved
    expect(root.locator(".legend")).to_be_visible()
    page.screenshot(path=screenshots / "health_direction-difference.png")
    root.get_by_role("button", name="Show face").click()


def test_the_slider_needs_no_server_and_the_server_learns_where_it_rests(page: Page) -> None:
    root, knob = page.locator(".scrubber[data-ready]"), slider(page)
    knob.press("Home")
    expect(root).to_have_attribute("data-frame", "0")
    expect(page.get_by_text("The slider rests at a hazard ratio of ×\u20090.125")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".scrubber[data-ready]")).not_to_have_attribute("data-frame", "0")
    root.get_by_role("button", name="Reset to start").click()
    expect(page.get_by_text("The slider rests at a hazard ratio of ×\u20091.00")).to_be_visible()


def test_play_moves_by_itself_and_stops(page: Page) -> None:
    root = page.locator(".scrubber[data-ready]")
    before = root.get_attribute("data-frame")
    root.get_by_role("button", name="Play").click()
    expect(root).not_to_have_attribute("data-frame", before or "")
    root.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(400)
    rest = root.get_attribute("data-frame")
    page.wait_for_timeout(400)
    assert root.get_attribute("data-frame") == rest


def test_the_browser_complained_of_nothing_and_asked_nobody_else(page: Page) -> None:
    assert page.complaints == []  # type: ignore[attr-defined]
