"""Codes that show one person several times: photos of patients who have several, or the views of each photo."""

from __future__ import annotations

import numpy as np

from study.disk.latents import mean_over_views
from study.disk.store import Study
from survival.uncertainty.photo import PHOTOS, VIEWS, Repeats

FEWEST_PATIENTS = 20  # with several photos, that their spread is taken
MOST_PHOTOS = 1000  # whose views are compared: enough for a standard deviation


def same_person(study: Study, patients: list[str]) -> Repeats | None:
    """Of a model's patients; None where each has one photo and each photo one view."""
    latents = study.latents()
    owners = latents.index["patient_id"].to_numpy()
    rows = np.flatnonzero(np.isin(owners, patients))
    _, place, counts = np.unique(owners[rows], return_inverse=True, return_counts=True)
    if (counts > 1).sum() >= FEWEST_PATIENTS:
        some = rows[counts[place] > 1]
        return Repeats(PHOTOS, mean_over_views(latents.views[some]), owners[some])
    views = latents.views.shape[1]
    if views == 1:
        return None
    some = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_PHOTOS)).astype(int))]
    codes = np.asarray(latents.views[some], np.float32)
    return Repeats(VIEWS, codes.reshape(-1, *codes.shape[2:]), np.repeat(some, views))
