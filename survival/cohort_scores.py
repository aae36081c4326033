"""Where a new score stands among a cohort's out-of-fold scores, and what the cohort's follow-up carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from survival.horizons import Horizons, carried_horizons


class CohortScores:
    """For a model with cohort_ (DataFrame, a row a patient: time, event, log_hr out of fold, entry where some came
    under observation late) and cuts_ ((3,) quartiles of log_hr)."""

    cohort_: pd.DataFrame
    cuts_: np.ndarray

    def _require_fitted(self) -> None:
        """Raises SurvivalError where the model has no cohort yet."""

    def percentile(self, log_hr: Any) -> np.ndarray | float:
        """Share (0 to 100) of the cohort whose out-of-fold score lies below, ties counted half.

        Out-of-fold scores are the ones to compare with: a new face was not in the training set either, whereas the
        cohort's scores under the final model are spread too widely, having been fitted.
        """
        self._require_fitted()
        scores = np.sort(self.cohort_["log_hr"].to_numpy())
        value = np.asarray(log_hr, dtype=np.float64)
        below, upto = np.searchsorted(scores, value, "left"), np.searchsorted(scores, value, "right")
        rank = 50.0 * (below + upto) / len(scores)
        return float(rank) if value.ndim == 0 else rank

    def quartile(self, log_hr: Any) -> np.ndarray:
        """Risk quartile, 0 (lowest) to 3, of new scores by the cohort's out-of-fold cut-points."""
        self._require_fitted()
        return np.searchsorted(self.cuts_, np.asarray(log_hr, dtype=np.float64), side="right")

    def extrapolated(self, log_hr: Any) -> np.ndarray:
        """(n,) -1 below every score of the cohort, 1 above every one, 0 among them. Hazard and survival of a score
        outside the cohort's are extrapolated: no patient had one like it."""
        self._require_fitted()
        scores = self.cohort_["log_hr"].to_numpy()
        value = np.atleast_1d(np.asarray(log_hr, dtype=np.float64))
        return (value > scores.max()).astype(int) - (value < scores.min()).astype(int)

    def horizons(self, times: Sequence[float]) -> Horizons:
        """Which of these times the cohort's follow-up carries a survival figure at."""
        self._require_fitted()
        return carried_horizons(times, self.cohort_["time"], self.cohort_["event"], self.cohort_.get("entry"))
