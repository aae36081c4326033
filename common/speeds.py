"""How long work took on this machine, compared with what its size says: for times that are promised to a person.

A file of ratios in the user's cache, by kind of work and machine; no names and no data. LATENT_HEALTH_CACHE names
another folder.
"""

from __future__ import annotations

import json
import math
import os
import platform
from contextlib import suppress
from pathlib import Path

from common.files import PLAIN
from common.parsing import json_value

FOLDER = "LATENT_HEALTH_CACHE"
NAME = "speeds.json"
KEPT = 5  # the newest ratios of a kind
MAX_BYTES = 1 << 16
SPREAD = 1.5  # a range is at least so much on either side: a machine's other work differs from day to day


def record(kind: str, ratio: float) -> None:
    """Keep seconds taken, divided by seconds expected from the size alone. Where it cannot be kept, it is not."""
    if not (math.isfinite(ratio) and ratio > 0):
        return
    path = _path()
    known = _read(path)
    known[_key(kind)] = [*known.get(_key(kind), []), round(ratio, 4)][-KEPT:]
    with suppress(OSError):
        PLAIN.write_text(path, json.dumps(known))


def seconds(kind: str, expected: float) -> tuple[float, float] | None:
    """From and to how many seconds work of this size takes here; None where none of its kind has been measured."""
    ratios = _read(_path()).get(_key(kind), [])
    if not ratios:
        return None
    middle = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return expected * min(*ratios, middle / SPREAD), expected * max(*ratios, middle * SPREAD)


def _path() -> Path:
    cache = os.environ.get(FOLDER) or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latent-health"
    return Path(cache) / NAME


def _key(kind: str) -> str:
    """Of a kind of work on this machine: a home folder may be shared by several."""
    return f"{kind} on {platform.node()}, {os.cpu_count()} cores"


def _read(path: Path) -> dict[str, list[float]]:
    """What can be believed of the file."""
    try:
        if path.stat().st_size > MAX_BYTES:
            return {}
        known = json_value(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {
        str(kind): [float(r) for r in ratios if type(r) in (int, float) and math.isfinite(r) and r > 0][-KEPT:]
        for kind, ratios in known.items()
        if isinstance(ratios, list)
    }
