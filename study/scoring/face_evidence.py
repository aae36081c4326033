"""Whether a square shows a face, and the picture of its code too; otherwise there is no score, on a page or elsewhere.

Before the search: the detector found the face, or found one in the square that a person placed, or a person confirmed
in words that it is one. After it: a code far from all faces of the cohort, or whose picture the detector does not
recognise as a face, gets no values, whatever was confirmed.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from faces.align import AlignedFace
from faces.flags import UNCERTAIN
from faces.landmarks import face_in_square
from latent.checkpoints import Checkpoint
from latent.editing.render import synthesize
from latent.inversion.whitening import Whitening

SHARE = 0.999  # of the cohort's codes within the bound
NORMAL_SHARE = 3.09  # standard deviations that hold as much of a normal distribution
MIN_CODES = 20  # below it a cohort gives no bound
CODES_AT_MOST = 5000  # looked at: enough for a thousandth
MAX_WORDS = 300


def doubt(face: AlignedFace) -> str:
    """Why a person must confirm a square before it is scored, a sentence; "" where the detector is answer enough."""
    if face.score is None:
        return (
            "The detector finds no face in this square. A score is meaningless unless the square shows a face: use "
            "another photo, place the square on the face, or confirm in words that it shows one."
        )
    uncertain = next((flag for flag in face.quality.flags if flag.kind == UNCERTAIN), None)
    return uncertain.sentence if uncertain is not None else ""


def ground(face: AlignedFace, confirmed: str = "") -> str:
    """What a square was taken for a face on, for a score's record."""
    words = " ".join(confirmed.split())[:MAX_WORDS]
    if face.score is None or doubt(face):
        return f"Confirmed by a person: {words}"
    how = "Found in the square that a person placed" if face.placed else "Found by the detector"
    return f"{how} (detector's score {face.score:.2f})."


def implausibility_bound(checkpoint: Checkpoint, ws: NDArray[np.float32]) -> float | None:
    """The implausibility (mean square in whitened coordinates, 1 for a random code) that SHARE of a cohort's codes
    (n, num_ws, w_dim) stay within: their empirical quantile, or that of a log-normal distribution where this is
    larger; None for too few."""
    if len(ws) < MIN_CODES:
        return None
    rows = np.unique(np.linspace(0, len(ws) - 1, min(len(ws), CODES_AT_MOST)).astype(int))
    whitening = Whitening(checkpoint.statistics, "cpu")
    with torch.no_grad():
        codes, _ = whitening.split(torch.from_numpy(np.ascontiguousarray(ws[rows], np.float32)))
        values = whitening.implausibility(codes).numpy().astype(np.float64)
    logs = np.log(values)
    fitted = np.exp(logs.mean() + NORMAL_SHARE * logs.std())
    return float(max(np.quantile(values, SHARE, method="higher"), fitted))


def draws_faces(checkpoint: Checkpoint) -> bool:
    """Whether the detector takes the generator's average face for one: otherwise it cannot judge its pictures."""
    mean = np.asarray(checkpoint.statistics.mean, np.float32)
    picture = synthesize(checkpoint, np.broadcast_to(mean, (1, checkpoint.num_ws, checkpoint.w_dim)).copy())[0]
    return face_in_square(picture) is not None


def no_figures(reconstruction: NDArray[np.uint8], implausibility: float, bound: float | None, draws: bool) -> str:
    """Why a code gets no percentile, hazard ratio and survival, a sentence; "" where it does.

    reconstruction: its picture, uint8 (R, R, 3); bound: of the cohort's codes, None where they cannot be compared;
    draws: whether the generator's average picture is taken for a face.
    """
    if draws and face_in_square(reconstruction) is None:
        return (
            "No values: the picture drawn from the code is not a face, so the code does not describe a person's face."
        )
    if bound is not None and implausibility > bound:
        return (
            f"No values: the code lies further from the generator's faces (implausibility {implausibility:.1f}) than "
            f"99.9 % of the cohort's codes ({bound:.1f})."
        )
    return ""
