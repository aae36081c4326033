"""The running app in a headless browser: start, reload, rerun, the main job, and how fast a face follows the slider.

Baseline of the slider: `st.slider` + `st.image`, the same frames, a server round trip a step, measured in turns with
ours on the same machine in the same run. Both are timed inside the page, from the input event to the moment after the
frame with the new picture was painted.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common import print_table
from bench.driving import ROOT, headless_browser, running_app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STEPS = 30
PATIENCE = 300_000  # ms
BASELINE = ROOT / "bench" / "driving" / "slider_image.py"
AFTER_PAINT = (
    "const painted = done => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(0) }"
)
SCRUB = (
    "(root, index) => new Promise(done => {"
    + AFTER_PAINT
    + """
  const range = root.querySelector("input[type=range]")
  const begin = performance.now()
  range.value = index
  range.dispatchEvent(new Event("input", { bubbles: true }))
  const look = () => requestAnimationFrame(() => {
    if (root.dataset.frame === String(index)) painted(() => done(performance.now() - begin))
    else look()
  })
  look()
})"""
)
WATCH_PICTURE = (
    "() => { "
    + AFTER_PAINT
    + """
  window.benchTime = new Promise(done => {
    let begin = 0
    document.addEventListener("keydown", () => { begin = performance.now() }, { capture: true, once: true })
    const picture = document.querySelector("[data-testid=stImage] img")
    const watch = new MutationObserver(async () => {
      watch.disconnect()
      await picture.decode()
      requestAnimationFrame(() => painted(() => done(performance.now() - begin)))
    })
    watch.observe(picture, { attributes: true, attributeFilter: ["src"] })
  })
}"""
)
WATCH_MOTION = """() => {
  window.benchMoves = [performance.now()]
  new MutationObserver(() => window.benchMoves.push(performance.now()))
    .observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true })
}"""
LONGEST_STILL = "() => Math.max(...window.benchMoves.slice(1).map((t, i) => t - window.benchMoves[i]))"


def astronaut_file() -> dict[str, Any]:
    """skimage's astronaut as an upload."""
    from PIL import Image
    from skimage.data import astronaut

    buffer = io.BytesIO()
    Image.fromarray(astronaut()).save(buffer, "PNG")
    return {"name": "astronaut.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def baseline_frames(count: int, side: int = 256) -> np.ndarray:
    """A face getting brighter, uint8 (count, side, side, 3): as hard to encode as the app's own frames."""
    from PIL import Image
    from skimage.data import astronaut

    face = np.asarray(Image.fromarray(astronaut()[0:220, 120:340]).resize((side, side)), np.float64)
    return np.stack([np.clip(face * gain, 0, 255).astype(np.uint8) for gain in np.linspace(0.6, 1.2, count)])


def open_page(browser: Browser, address: str) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    return page


def seconds_home(browser: Browser, address: str) -> tuple[float, float]:
    """Seconds until Home's first words and until its last picture, in a new session."""
    begin = time.perf_counter()
    page = open_page(browser, address)
    page.get_by_text("Research use only").wait_for()
    words = time.perf_counter() - begin
    page.locator(".lh-gallery img").first.wait_for()
    pictures = time.perf_counter() - begin
    page.close()
    return words, pictures


def main_job(page: Page) -> dict[str, float]:
    """Upload, align, invert, score: seconds, and the longest time in which nothing on the page moved."""
    page.locator("[data-testid=stSidebarNav]").get_by_role("link", name="Portrait").click()
    upload = page.locator("input[type=file]")
    upload.wait_for(state="attached")
    page.evaluate(WATCH_MOTION)
    begin = time.perf_counter()
    upload.set_input_files(astronaut_file())  # type: ignore[arg-type]
    page.get_by_role("button", name="Find the code and score it").click()
    page.get_by_text("Take away").wait_for()
    seconds = time.perf_counter() - begin
    return {"upload to risk (s)": seconds, "longest still (s)": float(page.evaluate(LONGEST_STILL)) / 1000}


def rerun_seconds(page: Page, repeats: int = 7) -> float:
    """Median seconds of a rerun of the whole Portrait page with its result on it, from click to the new content."""
    taken = []
    for turn in range(repeats):
        source = "Example" if turn % 2 == 0 else "Upload"
        sign = (
            page.get_by_role("button", name="Other patients")
            if turn % 2 == 0
            else page.locator("[data-testid=stFileUploader]")
        )
        begin = time.perf_counter()
        page.locator(".st-key-photo_source").get_by_text(source, exact=True).click()
        sign.wait_for()
        taken.append(time.perf_counter() - begin)
    return statistics.median(taken)


def frames_ahead(page: Page) -> float:
    """Seconds from the link to a face that can be moved."""
    begin = time.perf_counter()
    page.get_by_role("button", name="Move this face along the health direction").click()
    page.locator(".scrubber[data-ready]").wait_for()
    return time.perf_counter() - begin


def scrub_latency(ours: Page, theirs: Page, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from input event to painted frame, ours and the baseline's, in turns."""
    root = ours.locator(".scrubber[data-ready]")
    knob = theirs.get_by_role("slider")
    knob.wait_for()
    theirs.locator("[data-testid=stImage] img").wait_for()
    rng = np.random.default_rng(0)
    here, there = [], []
    for turn in range(STEPS):
        here.append(float(root.evaluate(SCRUB, int(rng.integers(0, count)))))
        theirs.evaluate(WATCH_PICTURE)
        knob.press("ArrowRight" if turn % 2 == 0 else "ArrowLeft")
        there.append(float(theirs.evaluate("() => window.benchTime")))
    return here, there


def run() -> dict[str, Any]:
    """Drive the app on the embedded checkpoint and study; prints a table."""
    if "LATENT_HEALTH_STUDIES" not in os.environ and not (ROOT / "studies" / "demo" / "models" / "photo").is_dir():
        raise SystemExit("bench app needs the fitted demo study: python -m study fit demo.")
    rows: list[dict[str, object]] = []
    with headless_browser() as browser, tempfile.TemporaryDirectory() as scratch:
        begin = time.perf_counter()
        with running_app() as address:
            serving = time.perf_counter() - begin
            words, pictures = seconds_home(browser, address)
            warm_words, warm_pictures = seconds_home(browser, address)
            page = open_page(browser, address)
            page.locator(".lh-gallery img").first.wait_for()
            job = main_job(page)
            rerun = rerun_seconds(page)
            ahead = frames_ahead(page)
            side = int(page.locator(".scrubber canvas").evaluate("c => c.width"))
            count = int(page.locator(".scrubber input[type=range]").get_attribute("max") or 0) + 1
            frames = np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
            file = Path(scratch) / "frames.npy"
            np.save(file, frames.repeat(16, axis=1).repeat(16, axis=2))
            with running_app(BASELINE, {"FRAMES": str(file)}) as other:
                here, there = scrub_latency(page, open_page(browser, other), count)
    rows += [
        {"measure": "server answers (s)", "ours": serving},
        {"measure": "cold start to first words (s)", "ours": serving + words},
        {"measure": "cold start to last picture (s)", "ours": serving + pictures},
        {"measure": "new session to first words (s)", "ours": warm_words},
        {"measure": "new session to last picture (s)", "ours": warm_pictures},
        {"measure": "rerun of Portrait with a result (s)", "ours": rerun},
        *({"measure": name, "ours": value} for name, value in job.items()),
        {"measure": f"{count} frames drawn ahead (s)", "ours": ahead},
    ]
    ours, theirs = statistics.median(here), statistics.median(there)
    worst = [float(np.percentile(values, 95)) for values in (here, there)]
    rows.append({"measure": "scrub, median (ms)", "ours": ours, "st.slider + st.image": theirs, "times": theirs / ours})
    rows.append({"measure": "scrub, 95th percentile (ms)", "ours": worst[0], "st.slider + st.image": worst[1]})
    header = ("measure", "ours", "st.slider + st.image", "times")
    table = [{key: row.get(key, "") for key in header} for row in rows]
    print_table(table, f"The app in headless Chromium ({STEPS} steps of the slider, canvas {side} px)")
    return {"rows": table, "scrub_ms": {"ours": here, "baseline": there}}
