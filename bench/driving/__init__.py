"""The running app and a headless browser, for benchmarks and browser tests."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
STARTED_WITHIN = 120.0  # seconds
MAKEFILE_SETTINGS = re.compile(r"^FAST := (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Server:
    """A Streamlit server at work. started: time.perf_counter() just before its process began."""

    address: str
    pid: int
    started: float

    def processor_seconds(self) -> float:
        """User and system time of its process so far; 0 where the system does not say."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Resident memory of its process now; 0 where the system does not say."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        except OSError:
            return 0.0
        match = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        return int(match[1]) / 1024 if match else 0.0


def browser_path() -> str | None:
    """The Chromium of this machine; CHROMIUM where it is set; None where there is none."""
    return os.environ.get("CHROMIUM") or next((path for name in BROWSERS if (path := shutil.which(name))), None)


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def shipped_environment(root: Path) -> dict[str, str]:
    """The variables with which `make app` of the copy in `root` starts the server."""
    match = MAKEFILE_SETTINGS.search((root / "Makefile").read_text("utf-8"))
    return dict(word.split("=", 1) for word in match[1].split()) if match else {}


@contextmanager
def serving(
    script: Path = ROOT / "serve.py", environment: Mapping[str, str] | None = None, root: Path = ROOT
) -> Iterator[Server]:
    """Serve a Streamlit script on a free port, with the settings and the code in `root`; ends it afterwards.

    Raises RuntimeError with the server's last output when it does not start.
    """
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=root, env={**os.environ, **(environment or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(process, address)
        yield Server(address, process.pid, started)
    finally:
        process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextmanager
def running_app(script: Path = ROOT / "serve.py", environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """As `serving`, of this copy; yields the address."""
    with serving(script, environment) as server:
        yield server.address


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    begin = time.monotonic()
    while time.monotonic() - begin < STARTED_WITHIN:
        if process.poll() is not None:
            output = process.stdout.read().decode(errors="replace") if process.stdout else ""
            raise RuntimeError(f"The server stopped at once: {output[-2000:]}")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise RuntimeError(f"The server did not answer within {STARTED_WITHIN:.0f} s.")


@contextmanager
def headless_browser() -> Iterator[Browser]:
    """Chromium without a window. Raises RuntimeError where there is none."""
    from playwright.sync_api import sync_playwright

    path = browser_path()
    if path is None:
        raise RuntimeError("There is no Chromium on this machine: install the package chromium, or set CHROMIUM.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
