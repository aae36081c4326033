"""What a hostile or huge table costs: rows, cells and findings are bounded before they are made. Work is counted."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.cohort import write_large
from study import errors
from study.disk.store import inspect
from study.errors import Findings, StudyError
from study.settings import Columns, Covariate, Settings
from study.tables.formats import parquet, text
from study.tables.formats.parquet_pages import column_chunks, unpacked_bytes
from study.tables.formats.raw import MAX_CELLS, MAX_ROWS
from study.tables.patients import parse_patients
from study.tables.read import read_table

PLAIN = Settings("x", "x", columns=Columns(photo="none"))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[errors.Finding]:
    """Every finding that is made, kept or not."""
    out: list[errors.Finding] = []
    finding = errors.Finding

    def make(*args: object) -> errors.Finding:
        out.append(finding(*args))  # type: ignore[arg-type]
        return out[-1]

    monkeypatch.setattr(errors, "Finding", make)
    return out


def test_findings_beyond_the_limit_are_counted_and_never_made(made: list[errors.Finding]) -> None:
    n, columns = 5_000, [f"c{i}" for i in range(20)]
    rows = "".join(f"P{i},-1,x,{','.join(['word'] * 20)}\n" for i in range(n))
    plan = Settings("x", "x", columns=PLAIN.columns, covariates=tuple(map(Covariate, columns)))
    findings = Findings(50)
    parse_patients(f"patient_id,time_months,event,{','.join(columns)}\n{rows}".encode(), plan, findings)
    assert findings.counts["error"] == 21 * n + 1
    assert len(findings.errors) == 50
    assert len(made) == len(findings.items) < 100


def test_doubled_ids_and_zero_times_are_counted_likewise(made: list[errors.Finding]) -> None:
    rows = "".join(f"P{i % 4999},0,1\n" for i in range(5_000))
    findings = Findings(10)
    parse_patients(f"patient_id,time_months,event\n{rows}".encode(), PLAIN, findings)
    assert findings.counts["error"] == 5_001
    assert len(made) == 10


def test_sentences_are_asked_for_only_while_they_are_kept() -> None:
    asked: list[int] = []
    findings = Findings(3)
    findings.add_each("error", "f", np.arange(1000), lambda i: (asked.append(i) or "wrong", ""))
    assert (asked, findings.counts["error"], findings.left_off) == ([0, 1, 2], 1000, 997)


def test_a_text_of_too_many_rows_or_cells_is_refused_before_it_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def unexpected(*_: object) -> object:
        raise AssertionError("the table was taken apart")

    monkeypatch.setattr(text.csv, "reader", unexpected)
    with pytest.raises(StudyError, match="more than 100,000 rows, the limit"):
        read_table(b"patient_id,time_months,event\n" + b"P,1,1\n" * (4 * MAX_ROWS + 1), Findings())
    with pytest.raises(StudyError, match="more than 5,000,000 cells"):
        read_table(b"a,b\n" + b"," * (2 * MAX_CELLS + 1), Findings())


@pytest.mark.slow
def test_the_text_of_one_row_too_many_is_refused() -> None:
    whole = b"a,b\n" + b"1,2\n" * MAX_ROWS
    assert len(read_table(whole, Findings()).rows) == MAX_ROWS
    with pytest.raises(StudyError, match="the limit for one study"):
        read_table(whole + b"1,2\n", Findings())


def packed(table: pa.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_parquet_of_hundreds_of_thousands_of_rows_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    data = packed(pa.table({f"c{i}": np.zeros(400_000) for i in range(10)}), compression="zstd")
    assert len(data) < 50_000
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_: pytest.fail("the file was unpacked"))
    with pytest.raises(StudyError, match="more than 100,000 rows"):
        read_table(data, Findings())


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
def test_the_pages_headers_say_what_a_file_unpacks_to(compression: str, version: str) -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {"a": rng.normal(size=20_000), "b": [f"word {i % 70}" for i in range(20_000)], "c": [None] * 20_000}
    )
    for options in ({}, {"use_dictionary": False}, {"row_group_size": 3_000}, {"data_page_size": 4_096}):
        data = packed(table, compression=compression, data_page_version=version, **options)
        metadata = pq.read_metadata(io.BytesIO(data))
        told = sum(
            metadata.row_group(g).column(c).total_uncompressed_size
            for g in range(metadata.num_row_groups)
            for c in range(metadata.num_columns)
        )
        found = unpacked_bytes(data, column_chunks(data), 2**40)
        assert 0.9 * told - 200 * 8 * metadata.num_row_groups <= found <= told, (options, told, found)


def test_a_page_that_unpacks_to_gigabytes_is_refused_before_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's header is made to say 2 GB; the footer still says a few bytes."""
    data = packed(pa.table({"patient_id": ["a" * 100] * 300}), compression="zstd", use_dictionary=False)
    at = pq.read_metadata(io.BytesIO(data)).row_group(0).column(0).data_page_offset
    head = bytearray(data)
    assert head[at + 2] == 0x15  # field 2, a whole number: the unpacked size, two bytes here
    size, length = _varint(bytes(head), at + 3)
    assert size // 2 > 3_000
    lie = _as_varint(2 * 2_000_000_000)
    forged = data[: at + 3] + lie + data[at + 3 + length :]
    assert unpacked_bytes(forged, column_chunks(forged), parquet.MAX_UNPACKED) > parquet.MAX_UNPACKED
    monkeypatch.setattr(pq.ParquetFile, "read", lambda *_, **__: pytest.fail("the file was unpacked"))
    with pytest.raises(StudyError, match="unpacks to more than 256 MB"):
        read_table(forged, Findings())


def _varint(data: bytes, at: int) -> tuple[int, int]:
    out, n = 0, 0
    while True:
        byte = data[at + n]
        out |= (byte & 0x7F) << 7 * n
        n += 1
        if not byte & 0x80:
            return out, n


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@pytest.mark.slow
def test_texts_that_repeat_the_one_before_are_bounded_by_their_number() -> None:
    """Delta encoding: each text repeats the one before it, so that a page's bytes do not bound what it holds."""
    words = [f"{'x' * 1_500}{i}" for i in range(60_000)]
    data = packed(
        pa.table({"patient_id": words}),
        use_dictionary=False,
        column_encoding={"patient_id": "DELTA_BYTE_ARRAY"},
        compression="zstd",
    )
    assert len(data) < 500_000
    with pytest.raises(StudyError, match="unpacks to more than 256 MB"):
        read_table(data, Findings())
    few = packed(pa.table({"a": ["x1", "x2"]}), use_dictionary=False, column_encoding={"a": "DELTA_BYTE_ARRAY"})
    assert read_table(few, Findings()).rows == [["x1"], ["x2"]]


def test_each_text_of_twenty_thousand_rows_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work goes with the different texts of a column; each column is counted once."""
    from study.tables import column

    counted: list[int] = []
    counter = column.Counter

    def count(cells: object) -> object:
        counted.append(1)
        return counter(cells)  # type: ignore[arg-type]

    monkeypatch.setattr(column, "Counter", count)
    folder = write_large(tmp_path / "large", 20_000, photos=False)
    study, findings = inspect(folder)
    assert not findings.counts["error"]
    assert len(counted) == len((folder / "patients.csv").read_text().split("\n", 1)[0].split(","))
    assert len(study.patients) == 20_000
