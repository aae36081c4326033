"""The gate for zip files: what it gives back, and that what is crafted is refused before it costs anything."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faces.decoding import archive
from faces.decoding.archive import PhotoArchive
from faces.errors import ArchiveError


def pack(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return path


def test_members_come_back_byte_for_byte(tmp_path: Path) -> None:
    members = {"b/2.jpg": os.urandom(3000), "a.png": b"x" * 5000, "folder/": b"", "Grün.jpg": b"g"}
    for method in archive.METHODS:
        with PhotoArchive(pack(tmp_path / "photos.zip", members, method)) as photos:
            assert photos.names == ["b/2.jpg", "a.png", "Grün.jpg"]
            assert {name: photos.read(name) for name in photos.names} == {n: members[n] for n in photos.names}


def test_hidden_files_and_resource_forks_are_left_out_and_backslashes_are_folders(tmp_path: Path) -> None:
    members = {".DS_Store": b"1", "__MACOSX/._a.jpg": b"1", "a/.hidden/x.jpg": b"1", "a\\b.jpg": b"2"}
    with PhotoArchive(pack(tmp_path / "x.zip", members)) as photos:
        assert photos.names == ["a/b.jpg"]
        assert photos.read("a/b.jpg") == b"2"


@pytest.mark.parametrize(
    "name", ["../x.jpg", "a/../../x.jpg", "/etc/x.jpg", "C:/x.jpg", "c:x.jpg", "..\\x.jpg", "a\nb.jpg", "x" * 2000]
)
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="names a file outside itself"):
        PhotoArchive(pack(tmp_path / "x.zip", {"fine.jpg": b"1", name: b"2"}))


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="two of its members"):
        PhotoArchive(pack(tmp_path / "x.zip", {"a/b.jpg": b"1", "a\\b.jpg": b"2"}))


def test_a_bomb_is_refused_from_its_directory(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="unpacks to far more"):
        PhotoArchive(pack(tmp_path / "x.zip", {"zeros.bmp": bytes(20 << 20)}))
    many = {f"{i}.bmp": bytes(1 << 20) for i in range(3)}  # each small enough to shrink as it likes
    with pytest.raises(ArchiveError, match="unpacks to far more"):
        PhotoArchive(pack(tmp_path / "y.zip", many))


def test_a_member_is_read_no_further_than_a_photo_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    path = pack(tmp_path / "x.zip", {"big.jpg": os.urandom(5000)}, zipfile.ZIP_STORED)
    with PhotoArchive(path) as photos, pytest.raises(ArchiveError, match="larger than"):
        photos.read("big.jpg")


def test_a_size_that_lies_is_caught(tmp_path: Path) -> None:
    """The directory says 10 bytes, the stream holds 5000: the length it claims is read and its checksum fails."""
    data = bytearray(pack(tmp_path / "x.zip", {"a.jpg": os.urandom(5000)}).read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (10).to_bytes(4, "little")
    (tmp_path / "x.zip").write_bytes(data)
    with PhotoArchive(tmp_path / "x.zip") as photos, pytest.raises(ArchiveError, match="damaged"):
        photos.read("a.jpg")


def test_links_encryption_and_odd_compression_are_refused_one_by_one(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(link, "/etc/passwd")
        file.writestr("odd.jpg", b"1" * 50, zipfile.ZIP_LZMA)
        file.writestr("secret.jpg", b"secret")
        file.writestr("fine.jpg", b"fine")
    data = bytearray((tmp_path / "x.zip").read_bytes())
    entry = data.rindex(b"PK\x01\x02", 0, data.rindex(b"secret.jpg"))
    data[entry + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    with PhotoArchive(tmp_path / "x.zip") as photos:
        for name, reason in {"link": "a link", "odd": "uncommon way", "secret": "encrypted"}.items():
            with pytest.raises(ArchiveError, match=reason):
                photos.read(f"{name}.jpg")
        assert photos.read("fine.jpg") == b"fine"


def test_members_that_share_bytes_are_refused(tmp_path: Path) -> None:
    data = bytearray(pack(tmp_path / "x.zip", {"a.jpg": os.urandom(500), "b.jpg": os.urandom(500)}).read_bytes())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)  # the second member begins where the first does
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(ArchiveError, match="overlap"):
        PhotoArchive(tmp_path / "x.zip")


def test_too_many_members_are_refused_before_they_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = pack(tmp_path / "x.zip", {f"{i}.jpg": b"1" for i in range(30)})
    monkeypatch.setattr(archive, "MAX_MEMBERS", 30)
    PhotoArchive(path).close()
    monkeypatch.setattr(archive, "MAX_MEMBERS", 29)
    with pytest.raises(ArchiveError, match="more than 29 files"):
        PhotoArchive(path)
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 1000)
    with pytest.raises(ArchiveError, match="directory larger"):
        PhotoArchive(path)


def test_what_is_no_zip_is_said(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no file missing"):
        PhotoArchive(tmp_path / "missing.zip")
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(ArchiveError, match="not a zip file"):
        PhotoArchive(tmp_path / "x.zip")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_anywhere_is_an_archive_error_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", b"abc" * 40)
        file.writestr("b/c.jpg", bytes(range(120)))
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.zip"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(1, len(damaged)))]))
    with suppress(ArchiveError), PhotoArchive(path) as photos:
        for name in photos.names:
            assert photos.read(name) in (b"abc" * 40, bytes(range(120)))


def test_a_zip_in_memory_is_the_same_as_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/one.jpg", b"1" * 5000)
        archive.writestr("two.jpg", b"2")
    data = path.read_bytes()
    with PhotoArchive(path) as disk, PhotoArchive(Path("p.zip"), data) as memory:
        assert disk.names == memory.names == ["a/one.jpg", "two.jpg"]
        assert [disk.read(n) for n in disk.names] == [memory.read(n) for n in memory.names]
    for broken in (data[:-30], b"", b"PK\x03\x04"):
        with pytest.raises(ArchiveError, match=r"p\.zip"):
            PhotoArchive(Path("p.zip"), broken)
