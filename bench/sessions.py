"""Many people at once: N browser sessions (default 20) of one server, each with a face of its own, upload to risk.

What is checked, and fails the run: the pictures of a session are of its own face only; its values do
not change while others work, and are those that the same photo gets alone; a photo that was removed, and one whose tab
was closed, can no longer be fetched; who waits sees how many are before, and the number never grows. What is
measured: memory a session and after all have left, and how far the promised wait was from the real one.
"""

from __future__ import annotations

import argparse
import io
import re
import statistics
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.driving import ROOT, Server, headless_browser, serving, shipped_environment
from bench.driving.clock import PATIENCE
from bench.parts.common import print_table
from common.command import Parser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIDE = 32  # px; pictures are compared at this size
SESSION_MB, RETURN_MB = 40.0, 150.0  # targets: a session, and what may stay after all have left
POLL_SECONDS = 0.25
STUCK_SECONDS, WORDS = 180.0, 1500  # without a result; characters of a page that are quoted
LEFT_SECONDS = 20.0  # beyond the server's own time until a closed session is forgotten
OUTCOME, PROGRESS = ".st-key-outcome", ".st-key-progress"
WITHHELD = "No score for this picture"  # a result, too: the face lies too far from the cohort's
WAITING = re.compile(r"(\d+) ahead of you(?:.*?about (?:(\d+) min )?(?:(\d+) s )?to wait)?", re.S)


@dataclass
class Session:
    """One visitor. before: numbers of others that the page said are first, in the order read. promised: seconds of the
    first estimate, when it was read."""

    name: str
    photo: bytes
    page: Page
    began: float = 0.0
    done: float = 0.0
    figures: str = ""
    before: list[int] = field(default_factory=list)
    promised: tuple[float, float] | None = None
    started: float = 0.0
    addresses: list[str] = field(default_factory=list)


def faces(count: int) -> list[tuple[str, bytes]]:
    """Name and JPEG of as many different faces of the demo study."""
    found = sorted((ROOT / "studies" / "demo" / "photos").glob("*.jpg"))[:count]
    if len(found) < count:
        raise SystemExit(f"bench sessions needs {count} photos in studies/demo/photos; there are {len(found)}.")
    return [(path.stem, path.read_bytes()) for path in found]


def small(picture: Image.Image) -> NDArray[np.float32]:
    """A picture as (SIDE, SIDE, 3), its own mean light taken away."""
    pixels = np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    return np.asarray(pixels - pixels.mean(), np.float32)


def nearest(data: bytes, references: NDArray[np.float32]) -> int:
    """Which of the references (n, SIDE, SIDE, 3) a picture is most like."""
    with Image.open(io.BytesIO(data)) as picture:
        return int(np.abs(references - small(picture)).mean((1, 2, 3)).argmin())


def aligned_faces(photos: Sequence[bytes]) -> NDArray[np.float32]:
    """The faces as the app aligns them, (n, SIDE, SIDE, 3): what a session's pictures are compared with."""
    from faces.align import align
    from faces.landmarks import detect_faces
    from faces.photo import load_photo

    loaded = [load_photo(data) for data in photos]
    return np.stack([small(Image.fromarray(align(photo, detect_faces(photo)[0]).pixels)) for photo in loaded])


def status(address: str) -> int:
    """HTTP status of an address."""
    try:
        with urllib.request.urlopen(address, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def fetched(address: str) -> bytes:
    """What an address or a data URI gives."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        return bytes(answer.read())


def visit(browser: Browser, server: Server, name: str, photo: bytes) -> Session:
    """A new session with its photo uploaded and its face found; the code is not searched yet."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(server.address)
    page.get_by_text("Research use only").first.wait_for()  # before the entry has run, links lead back to it
    page.locator("[data-testid=stSidebarNav]").get_by_role("link", name="Portrait").click()
    page.locator("input[type=file]").wait_for(state="attached")
    page.locator("input[type=file]").set_input_files({"name": f"{name}.jpg", "mimeType": "image/jpeg", "buffer": photo})
    button(page).wait_for()
    return Session(name, photo, page)


def button(page: Page) -> Any:
    return page.locator(".st-key-score button")


def begin(session: Session) -> None:
    session.began = time.perf_counter()
    button(session.page).click()


def look(session: Session) -> bool:
    """Read what the page says now; whether it has its result."""
    page = session.page
    if page.locator(f"{OUTCOME} [data-testid=stMetric]").count() or page.get_by_text(WITHHELD).count():
        session.done = time.perf_counter()
        session.figures = figures(session)
        return True
    text = " ".join(page.locator(PROGRESS).all_inner_texts())  # at once: it may end between two questions
    if found := WAITING.search(text):
        session.before.append(int(found[1]))
        if found[2] or found[3]:
            wait = 60.0 * int(found[2] or 0) + int(found[3] or 0)
            session.promised = session.promised or (time.perf_counter(), wait)
    elif text and session.began and not session.started and session.before:
        session.started = time.perf_counter()
    return False


def figures(session: Session) -> str:
    """What the page says of the face, all in one line."""
    shown = session.page.locator(f"{OUTCOME} [data-testid=stMetric]").all_inner_texts()
    return " | ".join(" ".join(text.split()) for text in shown)


def work_through(sessions: Sequence[Session]) -> None:
    """Until every session has its result. Raises SystemExit, with what the pages say, where none gets one any more."""
    waiting, news = list(sessions), time.perf_counter()
    while waiting:
        left = [session for session in waiting if not look(session)]
        now = time.perf_counter()
        news = now if len(left) < len(waiting) else news
        waiting = left
        if now - news > STUCK_SECONDS:
            raise SystemExit("\n".join(f"{s.name} got no result: {words_of(s.page)}" for s in waiting))
        time.sleep(POLL_SECONDS)


def words_of(page: Page) -> str:
    """The beginning of what a page says, in one line."""
    return " ".join(" ".join(page.locator("[data-testid=stMain]").all_inner_texts()).split())[:WORDS]


def check_pictures(sessions: Sequence[Session], references: NDArray[np.float32]) -> list[str]:
    """Complaints about pictures that are of another's face. Collects the addresses of each session's pictures."""
    wrong = []
    for index, session in enumerate(sessions):
        images = session.page.locator("[data-testid=stMain] img")
        found = images.evaluate_all("all => all.map(e => [e.alt, e.src])")
        faces_shown = [(alt, src) for alt, src in found if re.search("aligned face|reconstruct|code|photo", alt, re.I)]
        session.addresses = [src for _, src in found if src.startswith("http")]
        compared = 0
        for alt, src in faces_shown:
            if not re.search(r"^The aligned face$|Reconstruct|drawn|as the generator", alt, re.I):
                continue
            compared += 1
            if (whose := nearest(fetched(src), references)) != index:
                wrong.append(f"{session.name} sees {sessions[whose].name if whose < len(sessions) else whose}: {alt!r}")
        if not compared:
            wrong.append(f"{session.name}: no picture of a face was found on the page")
    return wrong


def check_queue(sessions: Sequence[Session]) -> list[str]:
    """Complaints about sessions in which the number of others before them grew."""
    grew = [s for s in sessions if any(later > earlier for earlier, later in pairwise(s.before))]
    return [f"{s.name}: the number before it grew: {s.before}" for s in grew]


def check_addresses(addresses: Sequence[str], what: str) -> list[str]:
    """Complaints about pictures that can still be fetched."""
    answers = {address: status(address) for address in addresses}
    return [f"{what}: {address} answers {code}" for address, code in answers.items() if code != 404]


def parse(words: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m bench sessions", description=__doc__)
    parser.add_argument("--sessions", type=int, default=20, metavar="N", help="browser sessions at once (default 20)")
    parser.add_argument("--again", type=int, default=2, help="how many faces are scored once more, alone (default 2)")
    options = parser.parse_args(list(words))
    if not 2 <= options.sessions <= 100 or not 0 <= options.again <= options.sessions:
        parser.error("--sessions must be 2 to 100, --again 0 to as many")
    return options


def run(words: Sequence[str] = ()) -> dict[str, Any]:
    """Drive the sessions; prints tables. Raises SystemExit where something of one session was seen in another."""
    options = parse(words)
    from playwright.sync_api import Error

    try:
        return _run(options)
    except Error as error:
        raise SystemExit(f"The browser did not get through: {str(error).splitlines()[0]}") from error


def _run(options: argparse.Namespace) -> dict[str, Any]:
    from ui.shell.closed_sessions import KEEP_SECONDS as keeps

    photos = faces(options.sessions + 1)
    references = aligned_faces([data for _, data in photos])
    wrong: list[str] = []
    memory: dict[str, float] = {}
    with headless_browser() as browser, tempfile.TemporaryDirectory() as runs:
        environment = {**shipped_environment(ROOT), "LATENT_HEALTH_RUNS": runs}
        with serving(environment=environment) as server:
            first = visit(browser, server, *photos[-1])
            begin(first)
            work_through([first])
            first.page.context.close()
            time.sleep(keeps + LEFT_SECONDS)
            memory["warm, no sessions"] = server.memory_mb()
            sessions = [visit(browser, server, name, photo) for name, photo in photos[: options.sessions]]
            memory["photos uploaded"] = server.memory_mb()
            for session in sessions:
                begin(session)
            work_through(sessions)
            memory["all have a result"] = server.memory_mb()
            wrong += check_pictures(sessions, references)
            wrong += check_queue(sessions)
            wrong += [f"{s.name}: figures changed" for s in sessions if figures(s) != s.figures]
            again = []
            for session in sessions[: options.again]:
                alone = visit(browser, server, session.name, session.photo)
                begin(alone)
                work_through([alone])
                again.append((session.name, session.figures, alone.figures))
                alone.page.context.close()
            wrong += [f"{name}: {one!r} with others, {two!r} alone" for name, one, two in again if one != two]
            removed, closed = sessions[-1], sessions[:-1]  # the first ones were scored again: pictures are shared
            removed.page.get_by_role("button", name="Remove photo and result").click()
            button(removed.page).wait_for(state="detached")
            removed.page.wait_for_timeout(2000)
            wrong += check_addresses(removed.addresses, f"{removed.name}, removed")
            for session in sessions:
                session.page.context.close()
            time.sleep(keeps + LEFT_SECONDS)
            left = [address for session in closed for address in session.addresses]
            wrong += check_addresses(left, "tab closed")
            memory["all have left"] = server.memory_mb()
    return report(sessions, memory, wrong)


def report(sessions: Sequence[Session], memory: dict[str, float], wrong: Sequence[str]) -> dict[str, Any]:
    """Prints the tables. Raises SystemExit with what was wrong."""
    base = memory["warm, no sessions"]
    a_session = (memory["all have a result"] - base) / len(sessions)
    stays = memory["all have left"] - base
    print_table([{"memory of the server": name, "MB": value} for name, value in memory.items()])
    waits = [s.done - s.began for s in sessions]
    promises = [(s.promised[1], s.started - s.promised[0]) for s in sessions if s.promised and s.started]
    rows: list[dict[str, object]] = [
        {"measure": "sessions", "value": len(sessions)},
        {"measure": f"memory a session (MB; target under {SESSION_MB:g})", "value": a_session},
        {"measure": f"memory that stays (MB; target under {RETURN_MB:g})", "value": stays},
        {"measure": "shortest wait for a result (s)", "value": min(waits)},
        {"measure": "longest wait for a result (s)", "value": max(waits)},
        {"measure": "most that were said to be before one", "value": max((max(s.before, default=0)) for s in sessions)},
    ]
    if promises:
        ratio = statistics.median(promised / max(real, 0.1) for promised, real in promises)
        rows.append({"measure": "promised wait over the real one, median", "value": ratio})
    print_table(rows, "Many sessions at once")
    for sentence in wrong:
        print(f"Wrong: {sentence}")
    if wrong:
        raise SystemExit(f"{len(wrong)} checks failed.")
    print("Every session saw only its own face and values; removed photos cannot be fetched.")
    return {
        "sessions": len(sessions),
        "memory_mb": memory,
        "memory_a_session_mb": a_session,
        "memory_that_stays_mb": stays,
        "within_targets": bool(a_session < SESSION_MB and stays < RETURN_MB),
        "seconds": waits,
        "before": [s.before for s in sessions],
        "promised_and_real_wait": promises,
    }
