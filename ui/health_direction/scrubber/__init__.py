"""The face scrubber: a custom component that moves a face, its risk and its survival curve together in the browser.

All frames and curves go over once, as one block of bytes; moving the slider asks the server nothing. Only the place
where it comes to rest is reported back (state "place"), for undo and downloads.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent


def _asset(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def pack(frames: Sequence[bytes], mime: str, header: dict[str, Any], seek: tuple[int, int] = (0, 0)) -> bytes:
    """One payload of encoded frames and everything drawn next to them.

    Layout: uint32 little-endian length of the header, the header as UTF-8 JSON, the frames back to back.
    seek: (index, count): where the slider is put; the browser obeys when `count` differs from the last it saw, so a
    rerun leaves the slider alone and an undo moves it.
    """
    body = b"".join(frames)
    plain = json.dumps(header, separators=(",", ":"), allow_nan=False)
    identity = sha256(plain.encode() + body).hexdigest()[:24]
    full = header | {
        "id": identity,
        "mime": mime,
        "frame_bytes": [len(frame) for frame in frames],
        "seek": {"index": int(seek[0]), "count": int(seek[1])},
    }
    encoded = json.dumps(full, separators=(",", ":"), allow_nan=False).encode()
    return struct.pack("<I", len(encoded)) + encoded + body


def scrubber(payload: bytes, key: str, count: int) -> int | None:
    """Show the scrubber; the index of the frame where the slider came to rest since it was put there with `count`.

    None before it was moved; a place reported before the last `seek` no longer counts.
    """
    # Registered on every run: the registry belongs to the running server, and the same content is left as it is. The
    # component wants a callback for every state it reports.
    component = st.components.v2.component(
        "latent_health_scrubber", html=_asset("scrubber.html"), css=_asset("scrubber.css"), js=_asset("scrubber.js")
    )
    place = component(data=payload, key=key, on_place_change=lambda: None).get("place")
    return int(place["index"]) if place and place.get("count") == count else None
