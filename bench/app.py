"""The running app in a headless browser: start, reruns of every page, the main job, and how fast a face follows the
slider; `--busy N` while N processes multiply matrices.

Baselines: the same drive of this commit's parent (`--against REV`), with its own settings, in turns on the same machine
in the same run; and for the slider `st.slider` + `st.image`, the same frames, a server round trip a step. The slider is
timed inside the page, from the input event to the moment after the frame with the new picture was painted; clicks from
the press to the last change in the page.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.driving import ROOT, headless_browser, running_app, serving, shipped_environment
from bench.driving.clock import SCRUB, WATCH_PICTURE, open_page
from bench.driving.revision import checked_out, git, parent
from bench.driving.tour import Tour
from bench.parts.common import print_table
from common.threads import worker_environment

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

STEPS = 30
BASELINE = ROOT / "bench" / "driving" / "slider_image.py"
MULTIPLY = "import numpy as np\na = np.random.default_rng(0).random((512, 512), np.float32)\nwhile True:\n    a @ a"
OURS, NONE = "this commit", "none"


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """That many processes that multiply matrices, each on one thread, until the block is left."""
    environment = {**os.environ, **worker_environment(1)}
    children = [subprocess.Popen([sys.executable, "-c", MULTIPLY], env=environment) for _ in range(processes)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()


def scrub_latency(ours: Page, browser: Browser) -> tuple[list[float], list[float]]:
    """Milliseconds from input event to painted frame, ours and the baseline's, in turns."""
    root = ours.locator(".scrubber[data-ready]")
    count = int(ours.locator(".scrubber input[type=range]").get_attribute("max") or 0) + 1
    frames = np.random.default_rng(0).integers(0, 255, (count, 16, 16, 3), dtype=np.uint8)
    ours_ms, theirs_ms = [], []
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "frames.npy"
        np.save(file, frames.repeat(16, axis=1).repeat(16, axis=2))
        with running_app(BASELINE, {"FRAMES": str(file)}) as address:
            theirs = open_page(browser, address)
            knob = theirs.get_by_role("slider")
            knob.wait_for()
            theirs.locator("[data-testid=stImage] img").wait_for()
            rng = np.random.default_rng(0)
            for turn in range(STEPS):
                ours_ms.append(float(root.evaluate(SCRUB, int(rng.integers(0, count)))))
                theirs.evaluate(WATCH_PICTURE)
                knob.press("ArrowRight" if turn % 2 == 0 else "ArrowLeft")
                theirs_ms.append(float(theirs.evaluate("() => window.benchTime")))
    return ours_ms, theirs_ms


def drive(root: Path) -> tuple[Tour, list[float], list[float]]:
    """One server of the copy in `root`, from its start to its end: what was measured, and the slider's times."""
    with headless_browser() as browser, tempfile.TemporaryDirectory() as runs:
        environment = {**shipped_environment(root), "LATENT_HEALTH_RUNS": runs}
        script = root / "serve.py"
        with serving(script if script.is_file() else root / "app.py", environment, root) as server:
            tour = Tour(server, browser)
            tour.run()
            ours_ms, theirs_ms = scrub_latency(tour.page, browser) if "frames" not in tour.problems else ([], [])
    return tour, ours_ms, theirs_ms


def table_of(taken: Mapping[str, Sequence[Mapping[str, Sequence[float]]]]) -> list[dict[str, object]]:
    """A row a measure: median of each copy, and the longest where a measure was taken more than once; of two copies how
    many times as long the second one took. taken: copy -> drives -> measure -> values."""
    rows = []
    names = list(dict.fromkeys(name for drives in taken.values() for drive in drives for name in drive))
    for name in names:
        row: dict[str, object] = {"measure": name}
        medians: list[object] = []
        for copy, drives in taken.items():
            values = [value for drive in drives for value in drive.get(name, ())]
            row[copy] = statistics.median(values) if values else ""
            row[f"{copy}, max"] = max(values) if len(values) > 1 else ""
            medians.append(row[copy])
        if len(medians) == 2:
            ours, theirs = medians
            row["times"] = theirs / ours if isinstance(ours, float) and isinstance(theirs, float) and ours else ""
        rows.append(row)
    return rows


def arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench app", description=__doc__)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="processes that multiply matrices meanwhile")
    against = f"revision to compare with (default: this commit's parent; {NONE}: no comparison)"
    parser.add_argument("--against", default="", metavar="REV", help=against)
    parser.add_argument("--rounds", type=int, default=1, help="drives of each copy, in turns (default 1)")
    options = parser.parse_args(words)
    if options.busy < 0 or options.rounds < 1:
        parser.error("--busy must be 0 or more, --rounds 1 or more")
    return options


def run(words: Sequence[str] = ()) -> dict[str, Any]:
    """Drive the app on the embedded checkpoint and study; prints a table."""
    options = arguments(words)
    if "LATENT_HEALTH_STUDIES" not in os.environ and not (ROOT / "studies" / "demo" / "models" / "photo").is_dir():
        raise SystemExit("bench app needs the fitted demo study: python -m study fit demo.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers, busy processes and the copy go with it
    with ExitStack() as held:
        copies = {OURS: ROOT}
        if options.against != NONE:
            try:
                revision = options.against or parent()
                copies[git("rev-parse", "--short", revision)] = held.enter_context(checked_out(revision))
            except (RuntimeError, OSError) as error:
                raise SystemExit(f"{error}. Without git, or a commit before this one: --against {NONE}.") from error
        held.enter_context(busy(options.busy))
        tours: dict[str, list[Tour]] = {name: [] for name in copies}
        scrubs: dict[str, list[float]] = {name: [] for name in (*copies, "st.slider + st.image")}
        for turn in range(options.rounds):
            for name in list(copies)[:: 1 if turn % 2 == 0 else -1]:
                tour, ours_ms, theirs_ms = drive(copies[name])
                tours[name].append(tour)
                scrubs[name] += ours_ms
                scrubs["st.slider + st.image"] += theirs_ms
    rows = table_of({name: [tour.seconds for tour in runs] for name, runs in tours.items()})
    meanwhile = f", {options.busy} busy processes meanwhile" if options.busy else ""
    print_table(rows, f"The app in headless Chromium, settings as shipped{meanwhile}: median")
    slider = [
        {"slider": name, "median (ms)": statistics.median(ms), "95th percentile (ms)": float(np.percentile(ms, 95))}
        for name, ms in scrubs.items()
        if ms
    ]
    print_table(slider, f"From input to painted frame, {STEPS} steps")
    lost = [(name, *each) for name, runs in tours.items() for tour in runs for each in tour.problems.items()]
    problems = [": ".join(each) for each in lost]
    for problem in problems:
        print(f"Not measured: {problem}")
    clicks = {name: [tour.clicks for tour in runs] for name, runs in tours.items()}
    result = {"busy": options.busy, "rows": rows, "slider": slider, "scrub_ms": scrubs}
    return result | {"clicks": clicks, "problems": problems}
