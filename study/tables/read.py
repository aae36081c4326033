"""The only entry for tables: the format is detected from the bytes, not from the file's name."""

from __future__ import annotations

from pathlib import Path

from study.errors import Findings, StudyError
from study.tables.formats.excel import MAGIC, OLD, read_excel
from study.tables.formats.parquet import MAGIC as PARQUET
from study.tables.formats.parquet import read_parquet
from study.tables.formats.raw import FILE_NAME, MAX_BYTES, RawTable, refusal, tidied
from study.tables.formats.text import read_text

FILE_NAMES = (FILE_NAME, "patients.xlsx", "patients.parquet")
EXTENSIONS = ("csv", "tsv", "txt", "xlsx", "parquet")


def read_table(data: bytes, findings: Findings, name: str = FILE_NAME) -> RawTable:
    """Header, cells and row numbers of a CSV, Excel or Parquet table.

    Raises StudyError, one sentence, when the file as a whole is not a table; a row that does not fit is a finding and
    left out.
    """
    if len(data) > MAX_BYTES:
        raise refusal(f"larger than {MAX_BYTES >> 20} MB.", "Keep only the columns of the study.", None, name)
    if data.startswith(OLD):
        message = "this is an old (.xls) or a protected Excel workbook."
        raise refusal(message, "Save it as .xlsx without a password, or as CSV.", None, name)
    if data.startswith(MAGIC):
        raw = read_excel(data, findings, name)
    elif data.startswith(PARQUET):
        raw = read_parquet(data, name)
    else:
        raw = read_text(data, findings, name)
    return tidied(raw, name)


def table_file(folder: Path) -> Path:
    """The patient table of a study's folder; patients.csv where there is none. Raises StudyError where there are
    several: which one counts would be a guess."""
    existing = [folder / name for name in FILE_NAMES if (folder / name).exists()]
    if len(existing) > 1:
        names = " and ".join(path.name for path in existing)
        raise StudyError(f"{folder.name} has {names}: keep the one that counts, and remove the others.")
    return existing[0] if existing else folder / FILE_NAME
