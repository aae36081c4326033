"""Delayed entry (left truncation) in a study's analyses, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from survival.delayed_entry import delayed_start_words

if TYPE_CHECKING:
    from study.disk.store import Study

LATE_ENTRY = (
    "Some patients came under observation after time 0 (delayed entry): each counts as at risk from then on in Cox "
    "models, Harrell's C, calibration slopes (Cox), hazard ratios, survival curves and log-rank tests. Uno's C, AUC, "
    "Brier scores, calibration and decision curves at a time need everyone followed from time 0 and are not given; "
    "models other than Cox models cannot take entry times into account and are not fitted."
)


def late_notes(study: Study, rows: pd.DataFrame, sentence: str = LATE_ENTRY) -> list[str]:
    """What to say of an analysis of these rows where patients came under observation late; [] where none did.

    sentence: how entry times count in the analysis. Further ones say where a survival curve cannot begin at 0.
    """
    entry = study.entry_of(rows)
    if entry is None:
        return []
    words = delayed_start_words(rows["time"].to_numpy(np.float64), rows["event"].to_numpy(bool), entry, study.time_unit)
    return [sentence, *([words] if words else [])]
