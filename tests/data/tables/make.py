"""The workbooks beside this file, as two programs write them: python make.py FOLDER (openpyxl 3.1.5, XlsxWriter 3.3.1).

The application needs neither: it reads workbooks by itself, and the tests compare it with these.
"""

import sys
from datetime import date, datetime
from pathlib import Path

import openpyxl
import xlsxwriter

HEADER = ["patient_id", "time_months", "event", "age", "sex", "site", "baseline", "note"]
ROWS = [
    ["P1", 12.5, True, 61, "female", "lung", date(2020, 2, 29), "Grüße & <b>"],
    ["P2", 0.1 + 0.2, False, 70, "male", "pancreas", datetime(2019, 12, 31, 13, 5), None],
    ["P3", 7, True, None, "male", "=1+1", date(2021, 1, 1), "'quoted"],
]


def with_openpyxl(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Patients"
    sheet.append(HEADER)
    for row in ROWS:
        sheet.append(row)
    sheet["F4"].data_type = "s"
    sheet["B4"] = "=3+4"  # a formula whose value no program has stored: it reads as missing
    book.create_sheet("Codebook").append(["column", "meaning"])
    hidden = book.create_sheet("Hidden", 0)
    hidden.sheet_state = "hidden"
    book.save(path)


def with_xlsxwriter(path: Path) -> None:
    book = xlsxwriter.Workbook(path, {"strings_to_formulas": False})
    sheet = book.add_worksheet("Table")
    day = book.add_format({"num_format": "dd.mm.yyyy"})
    for j, name in enumerate(HEADER):
        sheet.write(0, j, name)
    for i, row in enumerate(ROWS, start=2):  # a blank row between header and patients
        for j, value in enumerate(row):
            if isinstance(value, date):
                sheet.write_datetime(i, j, value, day)
            elif isinstance(value, bool):
                sheet.write_boolean(i, j, value)
            elif isinstance(value, str):
                sheet.write_string(i, j, value)
            elif value is not None:
                sheet.write_number(i, j, value)
    sheet.write_formula(4, 1, "=3+4", None, 7)
    book.close()


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    with_openpyxl(folder / "openpyxl.xlsx")
    with_xlsxwriter(folder / "xlsxwriter.xlsx")
