"""The one gate for zip files of photos: untrusted bytes in, the bytes of one member at a time out.

Nothing is ever unpacked to disk, so no name in the file can lead anywhere. Names, number, sizes, compression and
overlaps are checked in the directory before a member is read; a member is read up to the limit of a photo, whatever
the directory says of its size. Whether the bytes are a photo is for `photo.load_photo` to say.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path, PurePosixPath

from faces.errors import ArchiveError
from faces.photo import MAX_BYTES

MAX_ARCHIVE_BYTES = 1 << 40
MAX_DIRECTORY_BYTES = 32 << 20
MAX_MEMBERS = 200_000
MAX_TOTAL_BYTES = 1 << 40  # of all members, unpacked
MAX_RATIO = 100  # unpacked to packed; photos reach 1, flat BMPs about 30, a bomb made of zeros 1000
RATIO_FREE_BYTES = 1 << 20  # smaller members may shrink as they like
MAX_NAME = 1024  # characters
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others can ask for gigabytes of working memory
_LOCAL_HEADER = 30  # bytes before a member's name
_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 0x1


class PhotoArchive:
    """A zip file that passed the gate; a context manager.

    names: members that are ordinary visible files, in the order of the directory, with `/` between folders. Folders,
    hidden files and macOS's resource forks are left out. data: the bytes of the file, where they are in memory; `path`
    is then its name alone. Raises ArchiveError where the file is not a zip or is refused.
    """

    def __init__(self, path: Path, data: bytes | None = None) -> None:
        self.path = path
        self._file = _open(path) if data is None else _GuardedBytes(data)
        try:
            self._zip = _directory(self._file, path.name)
            self._members = _checked(self._zip.infolist(), self._zip.start_dir, path.name)
        except BaseException:
            self._file.close()
            raise
        parts = {name: PurePosixPath(name).parts for name in self._members}
        self.names = [n for n, ps in parts.items() if not any(p.startswith(".") or p == "__MACOSX" for p in ps)]

    def read(self, name: str) -> bytes:
        """Bytes of one member; ArchiveError where it is too large, not an ordinary file, damaged or encrypted."""
        info = self._members[name]
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise ArchiveError("This member of the zip is a link or a device, not a file.")
        if info.flag_bits & _ENCRYPTED:
            raise ArchiveError("This member of the zip is encrypted: unpack it with its password first.")
        if info.compress_type not in METHODS:
            raise ArchiveError("This member of the zip is compressed in an uncommon way: pack it again as a plain zip.")
        if info.file_size > MAX_BYTES:
            raise ArchiveError(f"The photo is larger than {MAX_BYTES >> 20} MB: save it smaller and try again.")
        try:
            with self._zip.open(info) as member:
                return member.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
            raise ArchiveError("This member of the zip is damaged: pack it again.") from error

    def close(self) -> None:
        self._zip.close()
        self._file.close()

    def __enter__(self) -> PhotoArchive:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Guard:
    """A file whose directory is measured before Python's reader parses it: it would build an object for every entry
    of a directory of any size."""

    guarded = True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        read: Callable[[int], bytes] = super().read  # type: ignore[misc]
        if not self.guarded:
            return read(wanted)
        # Without a size the reader means the rest of the file, where it looks for the end record.
        data = read(MAX_DIRECTORY_BYTES + 1 if wanted < 0 else min(wanted, MAX_DIRECTORY_BYTES + 1))
        if len(data) > MAX_DIRECTORY_BYTES:
            raise ArchiveError("has a directory larger than that of any collection of photos")
        if data.count(_ENTRY) > MAX_MEMBERS:
            raise ArchiveError(f"holds more than {MAX_MEMBERS} files; split it")
        return data


class _Guarded(_Guard, io.FileIO):
    """On disk."""


class _GuardedBytes(_Guard, io.BytesIO):
    """In memory; the bytes are not copied."""


def _open(path: Path) -> _Guarded:
    try:
        if not path.is_file():
            raise ArchiveError(f"There is no file {path.name}: check the path.")
        if path.stat().st_size > MAX_ARCHIVE_BYTES:
            raise ArchiveError(f"{path.name} is larger than {MAX_ARCHIVE_BYTES >> 30} GB; split it.")
        return _Guarded(path, "rb")
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{path.name} cannot be opened; check the path.") from error


def _directory(file: _Guarded | _GuardedBytes, source: str) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file)
    except ArchiveError as error:
        raise ArchiveError(f"{source} was refused: it {error}.") from None
    except Exception as error:  # the reader raises nearly anything on a damaged directory
        raise ArchiveError(f"{source} is not a zip file, or is damaged or cut off: pack it again.") from error
    file.guarded = False
    return archive


def _checked(entries: list[zipfile.ZipInfo], end: int, source: str) -> dict[str, zipfile.ZipInfo]:
    """Members by their names, `/` between folders. Raises ArchiveError for an archive that was not packed honestly."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in entries:
        name = info.filename.replace("\\", "/")  # some programs for Windows write these
        absolute = name.startswith("/") or name[1:2] == ":" or ".." in PurePosixPath(name).parts
        if absolute or not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            raise ArchiveError(f"{source} was refused: it names a file outside itself, {name[:60]!a}.")
        if name in members:
            raise ArchiveError(f"{source} was refused: two of its members are called {name[:60]!a}.")
        if info.file_size > max(RATIO_FREE_BYTES, MAX_RATIO * info.compress_size):
            raise ArchiveError(f"{source} was refused: {name[:60]!a} unpacks to far more than any photo does.")
        members[name] = info
    packed, unpacked = (sum(getattr(i, size) for i in entries) for size in ("compress_size", "file_size"))
    if unpacked > MAX_TOTAL_BYTES or unpacked > max(RATIO_FREE_BYTES, MAX_RATIO * packed):
        raise ArchiveError(f"{source} was refused: it unpacks to far more than photos do.")
    # Members that share bytes are how a small file unpacks to a large one below every ratio.
    spans = sorted((i.header_offset, i.header_offset + _LOCAL_HEADER + i.compress_size) for i in entries)
    if any(before[1] > after[0] for before, after in pairwise([*spans, (end, end)])):
        raise ArchiveError(f"{source} was refused: its members overlap.")
    return {name: info for name, info in members.items() if not info.is_dir() and not name.endswith("/")}
