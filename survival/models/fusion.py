"""Late fusion: a model for each part of the features, joined by a Cox regression on their out-of-fold scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from survival.cox_regression.baseline import Baseline, fit_baseline
from survival.cox_regression.regression import CoxFit, cox_regression
from survival.errors import Cancelled, SurvivalError, stop_if
from survival.features.encoding import Features, as_features, take_rows
from survival.models.base import SurvivalModel, check_rows, checked_entry, inner_folds
from survival.models.hazard import Hazard, LinearHazard, weighted_sum

FLAT = 1e-9  # a score with a smaller spread ranks nobody and is left out of the join


class LateFusion(SurvivalModel):
    """Stacked Cox regression (Wolpert 1992, with Cox's model as the join).

    An unpenalised Cox regression on the members' out-of-fold scores of the training patients weighs the members, which
    are fitted to all training patients. A member's scores are those of its inner folds, or where it has none those of
    folds drawn here.

    Parameters
    ----------
    members : name -> {"blocks": block or blocks, "model": name, "settings": {...}}; None: ridge Cox on each block.
    folds : of the stacking. missing : of members that do not say. seed : of the folds.

    Attributes after fit: join_ (CoxFit of the outcome on the members' scores), used_ (names of the members in it).
    """

    label = "Late fusion"
    join_: CoxFit

    def __init__(
        self,
        *,
        members: Mapping[str, Mapping[str, Any]] | None = None,
        folds: int = 5,
        missing: str = "refuse",
        seed: int = 0,
    ) -> None:
        self.members, self.folds, self.missing, self.seed = members, folds, missing, seed

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features, t, e = check_rows(X, time, event)
        start = checked_entry(entry, t, self.label, True)
        plan = self.members or {name: {"blocks": name} for name in features}
        fold = inner_folds(e, copies, self.folds, self.seed)
        scores, fitted, notes = np.empty((len(t), len(plan))), {}, list[str]()
        for j, (name, member) in enumerate(plan.items()):
            used = _blocks(features, name, member)
            fitted[name] = self._make(member).fit(used, t, e, copies, cancelled, start)
            notes += [f"{name}: {note}" for note in fitted[name].notes_]
            if (inner := fitted[name].out_of_fold_) is not None:
                scores[:, j] = inner
                continue
            for k in range(self.folds):
                stop_if(cancelled)
                train = fold != k
                model = self._make(member)
                inside = None if copies is None else np.asarray(copies)[train]
                entered = None if start is None else start[train]
                model.fit(take_rows(used, train), t[train], e[train], inside, cancelled, entered)
                scores[~train, j] = model.predict(take_rows(used, ~train))
        varies = scores.std(axis=0) > FLAT
        names = [name for name, used in zip(plan, varies, strict=True) if used]
        if not names:
            raise SurvivalError("No member of the fusion predicts survival: there is nothing to join.")
        self.join_ = cox_regression(scores[:, varies], t, e, names=names, ties="breslow", entry=start)
        self.used_, self.notes_ = tuple(names), tuple(notes)
        self._fitted, self._plan = fitted, plan
        joined = scores[:, varies] @ self.join_.coef
        self._offset = float(np.median(joined))
        self.out_of_fold_ = joined - self._offset
        self._baseline: Baseline = fit_baseline(t, e, self.out_of_fold_, start)
        return self

    def _make(self, member: Mapping[str, Any]) -> SurvivalModel:
        from survival.models.registry import make_model

        return make_model(
            str(member.get("model", "cox-ridge")), **{"missing": self.missing, **member.get("settings", {})}
        )

    def predict(self, X: Any) -> np.ndarray:
        features = as_features(X)
        if not hasattr(self, "_baseline"):
            raise SurvivalError(f"{self.label} has not been fitted yet: fit it first.")
        scores = [self._fitted[name].predict(_blocks(features, name, self._plan[name])) for name in self.used_]
        return np.column_stack(scores) @ self.join_.coef - self._offset

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        return self._baseline.survival(self.predict(X), times)

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        """Each member's gradient times its weight in the join, summed by block."""
        total: dict[str, np.ndarray] = {}
        for name, weight in zip(self.used_, self.join_.coef, strict=True):
            for block, gradient in self._fitted[name].log_hr_gradient().items():
                total[block] = total.get(block, 0.0) + weight * gradient
        return total

    def hazard(self) -> Hazard:
        """Members' gradients times their weights in the join, side by side."""
        members = [self._fitted[name].hazard() for name in self.used_]
        linear = [member for member in members if isinstance(member, LinearHazard)]
        if len(linear) < len(members):
            raise SurvivalError(
                "A start fusion with a network in it cannot be saved: choose a Cox model for its members."
            )
        return weighted_sum(linear, self.join_.coef.tolist(), self._offset, self._baseline)


def _blocks(features: Features, name: str, member: Mapping[str, Any]) -> Features:
    wanted = member.get("blocks", name)
    wanted = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    absent = [block for block in wanted if block not in features]
    if absent:
        raise SurvivalError(
            f"Member {name} of the fusion needs the block {absent[0]}, which is not among the features."
        )
    return {block: features[block] for block in wanted}
