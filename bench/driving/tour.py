"""What is measured of one server: cold start, clicks on whatever redraws a page, the main job, the frames."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from bench.driving import Server
from bench.driving.clock import click_seconds, longest_still, open_page, wait_complete

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = ("Home", "Cohort", "Survival model", "Portrait", "Health direction", "Fine-tune")
# Controls of a page (a key of Streamlit's) and what is pressed on each, in order; the last one ends where the page was.
CONTROLS: dict[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "Cohort": (
        (
            "cohort-view",
            ("Table check", "Photos", "Face codes and model", "Codes", "Reconstructions", "New study", "Patients"),
        ),
    ),
    "Survival model": (
        (
            "survival-view",
            ("Risk groups", "Hazard ratios", "Calibration", "Over time", "Decision", "Penalty", "Subgroups", "Models"),
        ),
    ),
    "Portrait": (("photo_source", ("Example", "Upload", "Example", "Upload")),),
    "Fine-tune": (("finetune-source", ("Existing set", "New photos")),),
}


def astronaut_file() -> dict[str, Any]:
    """skimage's astronaut as an upload."""
    from PIL import Image
    from skimage.data import astronaut

    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    return {"name": "astronaut.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


class Tour:
    """Measures one server. seconds: measure -> values in the order taken. clicks: page / label -> seconds, the first
    one cold. problems: part -> why its measures are missing."""

    def __init__(self, server: Server, browser: Browser) -> None:
        self.server, self.browser = server, browser
        self.seconds: dict[str, list[float]] = {}
        self.clicks: dict[str, list[float]] = {}
        self.problems: dict[str, str] = {}
        self.page: Page

    def note(self, name: str, value: float) -> None:
        self.seconds.setdefault(name, []).append(value)

    def run(self) -> None:
        """Everything but the slider; the page stays open on Health direction, with the uploaded face."""
        from playwright.sync_api import Error

        parts = {"start": self.start, "pages": self.pages, "main job": self.main_job, "frames": self.frames}
        for name, part in parts.items():
            try:
                part()
            except Error as error:
                self.problems[name] = str(error).splitlines()[0]
        self.note("server memory at the end (MB)", self.server.memory_mb())
        self.note("server processor time in all (s)", self.server.processor_seconds())

    def start(self) -> None:
        """From the start of the process to the first page complete; then a second session."""
        self.note("server answers (s)", time.perf_counter() - self.server.started)
        for kind in ("cold start", "new session"):
            begin = self.server.started if kind == "cold start" else time.perf_counter()
            page = open_page(self.browser, self.server.address)
            page.get_by_text("Research use only").first.wait_for()
            self.note(f"{kind} to first words (s)", time.perf_counter() - begin)
            self.note(f"{kind} to page complete (s)", wait_complete(page) - begin)
            if kind == "cold start":
                page.close()
            else:
                self.page = page

    def pages(self) -> None:
        """Every page once to warm it, then twice from its link, and every control in it."""
        others_first = PAGES[1:] + PAGES[:1]  # the session begins on the first one, and its link there does nothing
        for when in ("first time", "warm"):
            for name in others_first:
                self.note(f"{name}: opened, {when} (s)", self._link(name))
        for name in others_first:
            self.note(f"{name}: opened, warm (s)", self._link(name))
            for key, labels in CONTROLS.get(name, ()):
                for warm in (False, True):
                    self._press(name, key, labels, warm)

    def _press(self, name: str, key: str, labels: tuple[str, ...], warm: bool) -> None:
        for label in labels:
            control = self.page.locator(f".st-key-{key}").get_by_role("radio", name=label, exact=True)
            if control.count() != 1 or control.get_attribute("aria-checked") == "true":
                continue  # another revision's page may lack it; a press on what is chosen runs nothing
            seconds = click_seconds(self.page, control)
            self.note(f"{name}: {'click' if warm else 'click, first time'} (s)", seconds)
            self.clicks.setdefault(f"{name} / {label}", []).append(seconds)

    def _link(self, name: str) -> float:
        link = self.page.locator("[data-testid=stSidebarNav]").get_by_role("link", name=name)
        return click_seconds(self.page, link)

    def main_job(self) -> None:
        """Upload, align, invert, score; then clicks with the result on the page."""
        page = self.page
        self._link("Portrait")
        upload = page.locator("input[type=file]")
        upload.wait_for(state="attached")
        score = page.locator(".st-key-score button")
        begin, before = time.perf_counter(), self.server.processor_seconds()
        upload.set_input_files(astronaut_file())  # type: ignore[arg-type]
        score.wait_for()
        self.note("upload to aligned (s)", time.perf_counter() - begin)
        page.evaluate("() => window.benchStart()")
        score.click()
        page.locator("[class*=st-key-number-lead-risk]").first.wait_for()
        self.note("upload to risk (s)", time.perf_counter() - begin)
        self.note("upload to risk, processor time of the server (s)", self.server.processor_seconds() - before)
        self.note("upload to risk, longest still (s)", longest_still(page))
        wait_complete(page)
        for _ in range(2):
            self._press("Portrait with a result", "photo_source", ("Example", "Upload"), warm=True)

    def frames(self) -> None:
        """From the link to a face that can be moved, then clicks next to it."""
        begin = time.perf_counter()
        self.page.get_by_role("button", name="Move this face along the health direction").click()
        self.page.locator(".scrubber[data-ready]").wait_for()
        self.note("frames drawn ahead (s)", time.perf_counter() - begin)
        wait_complete(self.page)
        for _ in range(2):
            self._link("Home")
            self.note("Health direction: opened with frames (s)", self._link("Health direction"))
        self.page.locator(".scrubber[data-ready]").wait_for()
