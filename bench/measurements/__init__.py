"""`python -m bench measurements`: write the tables of docs/measurements.md from the records in docs/measurements/.

A record is what a benchmark wrote to artefacts/bench/NAME.json. Whatever lies in the folder is shown, by file name.
"""

from pathlib import Path

from bench.measurements.tables import page, read_records
from common.text import count
from study.files import write_text

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, RECORDS = DOCS / "measurements.md", DOCS / "measurements"


def run() -> None:
    """Rewrite the section. Raises StudyError for a record that cannot be read and for a page without markers."""
    records = read_records(RECORDS)
    write_text(PAGE, page(PAGE.read_text(encoding="utf-8"), records))
    print(f"docs/{PAGE.name}: {count(len(records), 'record')}")
