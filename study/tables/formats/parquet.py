"""Parquet tables: flat columns of numbers, texts, truth values and dates become texts; anything nested is refused."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from study.tables.formats.parquet_pages import DELTA_ENCODINGS, column_chunks, unpacked_bytes
from study.tables.formats.raw import (
    FILE_NAME,
    MAX_BYTES,
    MAX_CELL,
    MAX_COLUMNS,
    RawTable,
    check_header,
    check_size,
    refusal,
    too_wide,
    without_blanks,
)

MAGIC = b"PAR1"
MAX_UNPACKED = 4 * MAX_BYTES
THRIFT_LIMITS = {"thrift_string_size_limit": 16 * 2**20, "thrift_container_size_limit": 1_000_000}
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
_WORDS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_null)
_OTHERS = (*_WORDS, pa.types.is_boolean, pa.types.is_date, pa.types.is_timestamp)
_REMEDY = "Save the table as CSV, or with plain columns."


def read_parquet(data: bytes, name: str = FILE_NAME) -> RawTable:
    """The table of a Parquet file; rows are numbered as if the header were row 1. Raises StudyError."""
    try:
        # Words are read as codes with a list of different words: one huge word in half a million rows stays one.
        file = pq.ParquetFile(pa.BufferReader(data), **THRIFT_LIMITS)
        schema = file.schema_arrow
        _check_schema(schema, name)
        check_size(file.metadata.num_rows, len(schema), name)
        chunks = column_chunks(data)
        if unpacked_bytes(data, chunks, MAX_UNPACKED) > MAX_UNPACKED:
            raise refusal(f"it unpacks to more than {MAX_UNPACKED >> 20} MB.", _REMEDY, None, name)
        # Columns of texts are read as codes, which Arrow cannot do with delta encodings.
        delta = {chunk.column for chunk in chunks if chunk.encodings & DELTA_ENCODINGS}
        words = [f.name for f in schema if f.type in (pa.string(), pa.large_string()) and f.name not in delta]
        table = pq.ParquetFile(pa.BufferReader(data), read_dictionary=words, **THRIFT_LIMITS).read()
        if table.nbytes > MAX_UNPACKED or table.num_rows != file.metadata.num_rows:
            raise refusal(f"it unpacks to more than {MAX_UNPACKED >> 20} MB.", _REMEDY, None, name)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, MemoryError, OverflowError) as error:
        raise refusal("the Parquet file is damaged.", "Save it again.", None, name) from error
    header = [str(field.name).strip() for field in schema]
    check_header(header, name)
    columns = [_texts(table.column(i), header[i], name) for i in range(len(header))]
    named = [i for i, column in enumerate(header) if not column.startswith("__index_level_")]
    rows = [list(cells) for cells in zip(*(columns[i] for i in named), strict=True)]
    typed = frozenset(header[i] for i in named if any(test(schema.field(i).type) for test in _NUMBERS))
    if not rows:
        raise refusal("there is no patient in the table.", "It needs one row per patient.", None, name)
    rows, numbers = without_blanks(rows, list(range(2, len(rows) + 2)))
    notes = ("Rows of a Parquet file are numbered as if its header were row 1.",)
    return RawTable([header[i] for i in named], rows, numbers, False, notes, typed)


def _check_schema(schema: pa.Schema, name: str) -> None:
    if len(schema) > MAX_COLUMNS:
        raise too_wide(name)
    for field in schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_nested(kind):
            raise refusal(f"column {str(field.name)[:60]!r} holds lists or records.", _REMEDY, 1, name)
        if not any(test(kind) for test in (*_NUMBERS, *_OTHERS)):
            raise refusal(f"column {str(field.name)[:60]!r} holds {kind}, not numbers or texts.", _REMEDY, 1, name)


def _texts(column: pa.ChunkedArray, called: str, name: str) -> list[str]:
    try:
        out: list[str] = []
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type):
                words = [_text(value)[: MAX_CELL + 1] for value in chunk.dictionary.to_pylist()]
                out += ["" if place is None else words[place] for place in chunk.indices.to_pylist()]
            else:
                out += [_text(value) for value in chunk.to_pylist()]
        return out
    except (pa.ArrowException, ValueError, OverflowError, IndexError) as error:
        message = f"column {called[:60]!r} holds a value that cannot be read."
        raise refusal(message, "Correct it, or save the table as CSV.", None, name) from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float):
        return "" if value != value else f"{value:.15g}"
    return value.isoformat()[:10] if hasattr(value, "isoformat") else str(value).strip()
