"""The scrubber's payload, and that its three files fit together."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ui.health_direction import scrubber
from ui.health_direction.scrubber import pack

HERE = Path(scrubber.__file__).parent
HTML, CSS, JS = ((HERE / f"scrubber.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))


def unpack(payload: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """The header and the frames of a payload made by `pack`."""
    (length,) = struct.unpack_from("<I", payload)
    header = json.loads(payload[4 : 4 + length])
    frames, start = [], 4 + length
    for size in header["frame_bytes"]:
        frames.append(payload[start : start + size])
        start += size
    return header, frames


@given(
    frames=st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5),
    header=st.dictionaries(
        st.sampled_from(["times", "curves", "ende"]), st.lists(st.integers(-(10**9), 10**9) | st.none(), max_size=4)
    ),
    seek=st.tuples(st.integers(0, 90), st.integers(0, 10**6)),
)
def test_what_is_packed_comes_out_again(frames: list[bytes], header: dict, seek: tuple[int, int]) -> None:
    found, parts = unpack(pack(frames, "image/png", header, seek))
    assert parts == frames
    assert {key: found[key] for key in header} == header
    assert (found["seek"]["index"], found["seek"]["count"]) == seek
    assert found["mime"] == "image/png"


def test_moving_the_slider_is_not_a_new_strip() -> None:
    first, second = (unpack(pack([b"a", b"b"], "image/png", {"x": 1}, seek))[0] for seek in ((0, 1), (1, 2)))
    assert first["id"] == second["id"], "the browser keeps its decoded frames"
    assert unpack(pack([b"a", b"c"], "image/png", {"x": 1}))[0]["id"] != first["id"]
    assert unpack(pack([b"a", b"b"], "image/png", {"x": 2}))[0]["id"] != first["id"]


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        pack([b"a"], "image/png", {"curve": [float("nan")]})


def test_every_part_the_script_looks_for_is_in_the_page() -> None:
    wanted = set(re.findall(r'find\("\.([\w-]+)"\)', JS)) | {"scrubber"}
    there = {name for names in re.findall(r'class="([^"]+)"', HTML) for name in names.split()}
    assert wanted <= there
    assert len(wanted) > 10


def test_controls_can_be_used_without_a_mouse_and_without_sight() -> None:
    assert 'type="range"' in HTML, "the browser's own slider: arrow keys, Home, End, Page Up and Down"
    assert HTML.count("<button") == HTML.count('<button type="button"') == 4
    assert "aria-valuetext" in JS
    assert HTML.count('role="img"') == 3
    assert all(f'setAttribute("aria-label", header.{alt}' in JS for alt in ("curve_alt", "place_alt"))
    assert "focus-visible" in CSS


def test_the_component_asks_the_server_nothing_while_it_moves() -> None:
    assert JS.count("setStateValue(") == 1
    moving = JS[JS.index("oninput") : JS.index("onchange")]
    assert "tell" not in moving
    assert "commit" not in moving
    for word in ("fetch(", "XMLHttpRequest", "WebSocket", "eval(", "innerHTML"):
        assert word not in JS
