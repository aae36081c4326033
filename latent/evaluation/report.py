"""What an evaluation leaves: a table on the screen, the same values as JSON, a sheet of samples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.files import PLAIN

SHEET_ROWS = 6
SHEET_SUFFIXES = (".png", ".jpg", ".jpeg")
LINES = (  # printed name, field, field of its standard deviation
    ("Fréchet distance (dlib descriptors)", "frechet", "frechet_sd"),
    ("kernel distance (dlib descriptors)", "kernel", "kernel_sd"),
    ("precision (k = 3)", "precision", None),
    ("recall (k = 3)", "recall", None),
    ("FID", "fid", "fid_sd"),
    ("KID", "kid", "kid_sd"),
    ("mean pairwise descriptor distance", "diversity", None),
    ("share in which dlib finds a face", "face_share", None),
)


def table_lines(report: dict[str, Any]) -> Iterator[str]:
    """The report as text: a column for each truncation, the portraits themselves last."""
    yield f"{report['checkpoint']}: {report['samples']} samples at {report['resolution']} px, seed {report['seed']}."
    columns = list(report["rows"])
    heads = [f"psi {row['psi']:g}" for row in columns]
    if report["n"] is not None:
        whose = "held-out" if report["reference"] == "held out" else "all"
        yield (
            f"Reference: {report['n']} of {report['reference_portraits']} portraits ({whose}) of {report['data']}; "
            f"distances between {report['n']} and {report['n']} images. Last column: as many other portraits."
        )
        if whose == "all":
            yield "The set holds out no one: if the checkpoint was trained on it, memorised faces count as quality."
        columns.append(report["floor"])
        heads.append("portraits")
    yield f"Inception: {report['inception'] or 'no weights on this machine, so no FID and no KID'}."
    yield ""
    yield f"{'':36}" + "".join(f"{head:>20}" for head in heads)
    for name, value, sd in LINES:
        if any(column[value] is not None for column in columns):
            yield f"{name:36}" + "".join(
                f"{_cell(column[value], column[sd] if sd else None):>20}" for column in columns
            )


def _cell(value: float | None, sd: float | None) -> str:
    if value is None:
        return "-"
    if sd is None:
        return f"{value:.4g}"
    return f"{value:.5f} ± {sd:.2g}" if abs(value) < 1e-3 else f"{value:.4g} ± {sd:.2g}"


def write_sheet(pictures: NDArray[np.uint8], path: Path) -> None:
    """A grid of at most 6 x 6 pictures, PNG or JPEG by the name's ending."""
    side = pictures.shape[1]
    grid = np.full((SHEET_ROWS**2, side, side, 3), 255, np.uint8)
    grid[: len(pictures)] = pictures[: SHEET_ROWS**2]
    sheet = grid.reshape(SHEET_ROWS, SHEET_ROWS, side, side, 3).swapaxes(1, 2).reshape(2 * (SHEET_ROWS * side,) + (3,))
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    with PLAIN.replacing(path) as temporary:
        Image.fromarray(sheet).save(temporary, kind, **({} if kind == "PNG" else {"quality": 92}))
