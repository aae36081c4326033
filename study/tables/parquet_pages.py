"""What the pages of a Parquet file unpack to, from their headers alone, before anything is unpacked.

Arrow allocates what a page's own header says, whatever the file's footer says, so the headers are what must be bounded
(Apache Parquet format: PageHeader, in Thrift's compact protocol).
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow.parquet as pq

MAX_PAGES = 50_000
DELTA_BYTE_ARRAY = 7  # a text may repeat the one before it: a page's bytes do not bound what it holds
_MAX_DEPTH = 4
_STRUCT, _BOOLEANS, _BYTE, _DOUBLE, _BINARY, _LISTS = 12, (1, 2), 3, 7, 8, (9, 10)
_DATA, _DATA_2 = 5, 8  # fields of PageHeader
_ENCODING = {_DATA: 2, _DATA_2: 4}  # field of theirs


@dataclass(frozen=True)
class Page:
    unpacked: int
    packed: int
    values: int
    encoding: int
    end: int  # of its header


def unpacked_bytes(data: bytes, metadata: pq.FileMetaData, most: int) -> int:
    """How many bytes the file's pages unpack to, at most; stops counting beyond `most`.

    Raises ValueError for headers that cannot be, and for more pages than a table has.
    """
    total, pages = 0, 0
    for g in range(metadata.num_row_groups):
        group = metadata.row_group(g)
        for c in range(group.num_columns):
            column = group.column(c)
            at, left = column.data_page_offset, column.num_values
            if column.has_dictionary_page and column.dictionary_page_offset:
                at = min(at, column.dictionary_page_offset)
            end = at + column.total_compressed_size
            while left > 0 and at < end:
                page = _page(data, at)
                pages += 1
                if pages > MAX_PAGES:
                    raise ValueError("too many pages")
                delta = page.encoding == DELTA_BYTE_ARRAY
                total += page.unpacked * (max(page.values, 1) if delta else 1)
                if total > most:
                    return total
                at = page.end + page.packed
                left -= page.values
    return total


def _page(data: bytes, at: int) -> Page:
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
    return Page(unpacked, packed, max(values, 0), encoding, reader.at)


class _Compact:
    """Reads one struct of Thrift's compact protocol; keeps whole numbers and structs, skips the rest."""

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

    def struct(self, depth: int = 0) -> dict[int, object]:
        if depth > _MAX_DEPTH:
            raise ValueError("a header without end")
        fields: dict[int, object] = {}
        last = 0
        while (head := self.byte()) != 0:
            last = last + (head >> 4) if head >> 4 else self.whole()
            fields[last] = self.value(head & 15, depth)
            if len(fields) > 100:
                raise ValueError("a header without end")
        return fields

    def value(self, kind: int, depth: int) -> object:
        if kind in _BOOLEANS:
            return kind == 1
        if kind == _BYTE:
            return self.byte()
        if kind in (4, 5, 6):
            return self.whole()
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _BINARY:
            self.skip(self.varint())
        elif kind == _DOUBLE:
            self.skip(8)
        elif kind in _LISTS:
            head = self.byte()
            size = head >> 4 if head >> 4 < 15 else self.varint()
            if size > 1000:
                raise ValueError("a list in a page's header")
            for _ in range(size):
                self.value(head & 15, depth + 1)
        else:  # a map, which page headers do not hold
            raise ValueError("a map in a page's header")
        return None

    def skip(self, size: int) -> None:
        self.at += size
        if self.at > len(self.data):
            raise ValueError("a header beyond the file")
