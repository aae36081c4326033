"""Members of a torch zip file as slices of it.

torch stores members without compression, one after the other, so anything else is refused: a file is never larger
inside than outside, and the directory is small enough to be walked before anything is believed.
"""

from collections.abc import Iterator
from itertools import pairwise

from latent.errors import ImportRefused
from latent.importing.pickle_reader import damaged

MAX_MEMBERS = 20_000
MAX_DIRECTORY = 8 << 20
_END, _ENTRY, _LOCAL = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_END_SIZE, _ENTRY_SIZE, _LOCAL_SIZE = 22, 46, 30


def _int(data: memoryview, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "little")


def _directory(data: memoryview) -> Iterator[tuple[str, list[int]]]:
    """Entries of the central directory (APPNOTE 4.3.12), whose place the end record gives (4.3.16): name, and flags,
    method, packed size, size and offset."""
    tail = max(0, len(data) - _END_SIZE - 0xFFFF)
    position = bytes(data[tail:]).rfind(_END)
    if position < 0 or tail + position + _END_SIZE > len(data):
        raise damaged("its zip directory is missing")
    end = tail + position
    count, size, position = _int(data, end + 10, 2), _int(data, end + 12, 4), _int(data, end + 16, 4)
    if count > MAX_MEMBERS or size > MAX_DIRECTORY:
        raise ImportRefused("The file is a zip with more members than any weight file has; it was refused.")
    if position + size > end:
        raise damaged("its zip directory is not where it should be")
    for _ in range(count):
        if position + _ENTRY_SIZE > end or data[position : position + 4] != _ENTRY:
            raise damaged("its zip directory cannot be read")
        lengths = [_int(data, position + at, 2) for at in (28, 30, 32)]  # name, extra field, comment
        name = bytes(data[position + _ENTRY_SIZE : position + _ENTRY_SIZE + lengths[0]])
        numbers = [_int(data, position + at, size) for at, size in ((8, 2), (10, 2), (20, 4), (24, 4), (42, 4))]
        yield name.decode("utf-8", "replace"), numbers
        position += _ENTRY_SIZE + sum(lengths)


def zip_members(data: memoryview) -> dict[str, memoryview]:
    """Name (without the archive's own folder) -> bytes. Raises ImportRefused for a zip that torch did not write."""
    members: dict[str, memoryview] = {}
    spans: list[tuple[int, int]] = []
    for path, (flags, method, packed, size, offset) in list(_directory(data)):
        if method != 0 or packed != size or flags & 1:
            raise ImportRefused(
                "The file is a compressed or encrypted zip, which torch does not write; it was refused."
            )
        start = offset + _LOCAL_SIZE
        if start > len(data) or data[offset : offset + 4] != _LOCAL:
            raise damaged("a member of its zip is missing")
        start += _int(data, offset + 26, 2) + _int(data, offset + 28, 2)
        if start + size > len(data):
            raise damaged("a member of its zip is cut short")
        name = path.partition("/")[2]
        if name in members:
            raise damaged("two members of its zip have one name")
        members[name] = data[start : start + size]
        spans.append((offset, start + size))
    spans.sort()
    if any(before[1] > after[0] for before, after in pairwise(spans)):
        raise ImportRefused("The file is a zip whose members overlap, which torch does not write; it was refused.")
    return members
