"""`python -m study report`: writes the report of a study as one HTML file."""

from __future__ import annotations

import sys
from typing import Any

from common.command import file_argument, path_argument
from study.disk.places import REPORT_PAGE
from study.disk.store import Study
from study.errors import StudyError
from study.files import check_writable, write_bytes

ENDINGS = (".html", ".htm")


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument(
        "--model", help="the study's model, a folder under models/ (default: the study's chosen one, or photo)"
    )
    parser.add_argument("--comparison", help="a folder under comparisons/ (default: main, or the only one)")
    parser.add_argument(
        "--out", type=file_argument, help="HTML file to write (default: report.html in the study's folder)"
    )


def run(args: Any) -> int:
    # Imported here: Plotly and the statistics take seconds, and --help needs neither.
    from study.report.build import report_html

    study = Study.open(args.study)
    out = args.out or study.path / REPORT_PAGE
    if out.suffix.lower() not in ENDINGS:
        raise StudyError(f"--out {out.name}: the report is an HTML file; give it a name that ends in .html.")
    check_writable(out)
    data = report_html(
        study, args.model, args.comparison, on_progress=lambda what: print(f"{what} ...", file=sys.stderr, flush=True)
    )
    write_bytes(out, data)
    print(f"{out}: {len(data) / 2**20:.1f} MB, one file that needs no network.")
    return 0
