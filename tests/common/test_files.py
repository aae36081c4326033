"""Files are written whole or not at all, and a refusal is the room's error in one sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from common.files import PLAIN, Files


class RoomError(Exception):
    pass


FILES = Files(RoomError)


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


def half_written(path: Path) -> None:
    with FILES.replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")


def half_made(folder: Path) -> None:
    with FILES.replacing_folder(folder) as new:
        (new / "a").write_text("2")
        raise OSError("full")


def test_a_file_is_old_or_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.json"
    FILES.write_json(path, {"a": "\u2212"})
    assert path.read_bytes() == b'{\n "a": "\xe2\x88\x92"\n}\n'
    with pytest.raises(RoomError, match=r"^a\.json could not be written: No space left on device\.$"):
        half_written(path)
    assert path.read_text("utf-8").startswith("{")
    with pytest.raises(OSError, match="full"), PLAIN.replacing(path):
        raise OSError("full")
    assert not left_over(path.parent)


def test_any_error_leaves_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with FILES.replacing_folder(folder) as new:
        (new / "a").write_text("1")
    with pytest.raises(RoomError, match=r"^model/ could not be written: full"):
        half_made(folder)
    assert (folder / "a").read_text() == "1"
    with FILES.replacing_folder(folder) as new:
        (new / "b").write_text("3")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert not left_over(tmp_path)


def test_what_is_read_is_limited(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with pytest.raises(RoomError, match=r"^The table is missing \(table\.csv\)\.$"):
        FILES.read_limited(path, 10, "The table")
    path.write_bytes(b"x" * 11)
    with pytest.raises(RoomError, match="larger than"):
        FILES.read_limited(path, 10, "The table")
    assert FILES.read_limited(path, 11, "The table") == b"x" * 11
    with pytest.raises(RoomError, match="could not be read"):
        FILES.sha256_of(tmp_path / "none")
