"""What the pages of a Parquet file unpack to, from footer and page headers alone, before anything is unpacked.

Arrow allocates what a page's own header says, whatever the file's footer says, so the headers are what must be bounded.
The footer is read here as well: where a column's own record in it is damaged, Arrow's accessor ends the whole process
instead of raising (Apache Parquet format: FileMetaData and PageHeader, in Thrift's compact protocol).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MAX_PAGES = 50_000
DELTA_ENCODINGS = frozenset({5, 6, 7})
DELTA_BYTE_ARRAY = 7  # a text may repeat the one before it: a page's bytes do not bound what it holds
_MAX_DEPTH = 10
_STRUCT, _BOOLEANS, _BYTE, _DOUBLE, _BINARY, _LISTS = 12, (1, 2), 3, 7, 8, (9, 10)
_DATA, _DATA_2 = 5, 8  # fields of PageHeader
_ENCODING = {_DATA: 2, _DATA_2: 4}  # field of theirs
_TAIL = 8  # the footer's length and the magic number, at the end of the file


@dataclass(frozen=True)
class Chunk:
    """The pages of one column in one row group. start, size: bytes in the file; encodings: numbers of the format."""

    column: str
    values: int
    start: int
    size: int
    encodings: frozenset[int]


def column_chunks(data: bytes) -> list[Chunk]:
    """All column chunks that the footer of a Parquet file names. Raises ValueError for a footer that cannot be."""
    length = int.from_bytes(data[-_TAIL:-4], "little")
    if length + _TAIL > len(data):
        raise ValueError("a footer longer than the file")
    footer = _Compact(data, len(data) - _TAIL - length).struct()
    return [_chunk(column) for group in _structs(footer.get(4)) for column in _structs(group.get(1))]


def _structs(value: Any) -> list[dict[int, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("a footer without its lists")
    return value


def _chunk(column: dict[int, Any]) -> Chunk:
    record = column.get(3)
    if not isinstance(record, dict):
        raise ValueError("a column without its record")
    values, size, data_page = record.get(5), record.get(7), record.get(9)
    if not (isinstance(values, int) and isinstance(size, int) and isinstance(data_page, int)):
        raise ValueError("a column without its sizes")
    dictionary = record.get(11)
    start = min(data_page, dictionary) if isinstance(dictionary, int) and dictionary > 0 else data_page
    path, encodings = record.get(3) or [], record.get(2) or []
    if not isinstance(path, list) or not isinstance(encodings, list):
        raise ValueError("a column without its name")
    name = b".".join(part for part in path if isinstance(part, bytes)).decode("utf-8", "replace")
    return Chunk(name, values, start, size, frozenset(e for e in encodings if isinstance(e, int)))


def unpacked_bytes(data: bytes, chunks: list[Chunk], most: int) -> int:
    """How many bytes the pages of these chunks unpack to, at most; stops counting beyond `most`.

    Raises ValueError for headers that cannot be, and for more pages than a table has.
    """
    total, pages = 0, 0
    for chunk in chunks:
        at, left, end = chunk.start, chunk.values, chunk.start + chunk.size
        while left > 0 and at < end:
            unpacked, values, at = _page(data, at)
            total, left, pages = total + unpacked, left - values, pages + 1
            if pages > MAX_PAGES:
                raise ValueError("too many pages")
            if total > most:
                return total
    return total


def _page(data: bytes, at: int) -> tuple[int, int, int]:
    """(bytes that a page unpacks to at most, how many values it holds, where the next one begins)."""
    reader = _Compact(data, at)
    fields = reader.struct()
    unpacked, packed = fields.get(2), fields.get(3)
    if not isinstance(unpacked, int) or not isinstance(packed, int) or unpacked < 0 or packed < 0:
        raise ValueError("a page without sizes")
    values = encoding = 0
    for key in (_DATA, _DATA_2):
        inner = fields.get(key)
        if isinstance(inner, dict):
            values, encoding = (v if isinstance(v := inner.get(k), int) else 0 for k in (1, _ENCODING[key]))
    times = max(values, 1) if encoding == DELTA_BYTE_ARRAY else 1
    return unpacked * times, max(values, 0), reader.at + packed


class _Compact:
    """Reads one struct of Thrift's compact protocol; floating-point numbers are skipped."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def byte(self) -> int:
        if not 0 <= self.at < len(self.data):
            raise ValueError("a header beyond the file")
        self.at += 1
        return self.data[self.at - 1]

    def varint(self) -> int:
        out = 0
        for shift in range(0, 70, 7):
            byte = self.byte()
            out |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return out
        raise ValueError("a number without end")

    def whole(self) -> int:
        raw = self.varint()
        return (raw >> 1) ^ -(raw & 1)

    def struct(self, depth: int = 0) -> dict[int, Any]:
        if depth > _MAX_DEPTH:
            raise ValueError("a header without end")
        fields: dict[int, Any] = {}
        last = 0
        while (head := self.byte()) != 0:
            last = last + (head >> 4) if head >> 4 else self.whole()
            fields[last] = self.value(head & 15, depth)
            if len(fields) > 100:
                raise ValueError("a header without end")
        return fields

    def value(self, kind: int, depth: int) -> Any:
        if kind in _BOOLEANS:
            return kind == 1
        if kind == _BYTE:
            return self.byte()
        if kind in (4, 5, 6):
            return self.whole()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _BINARY:
            return self.skip(self.varint())
        if kind == _DOUBLE:
            return self.skip(8)
        if kind in _LISTS:
            return self.items(depth)
        raise ValueError("a map, which neither footer nor page header holds")

    def items(self, depth: int) -> list[Any]:
        head = self.byte()
        size = head >> 4 if head >> 4 < 15 else self.varint()
        if size > len(self.data) or depth > _MAX_DEPTH:  # every item takes a byte at least
            raise ValueError("a list longer than the file")
        if head & 15 in _BOOLEANS:
            return [self.byte() == 1 for _ in range(size)]
        return [self.value(head & 15, depth + 1) for _ in range(size)]

    def skip(self, size: int) -> bytes:
        begin, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise ValueError("a header beyond the file")
        return self.data[begin : self.at]
