"""A model made of several networks, each stopped by a part of the training patients that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from survival.models.scaled import NO_RANKING, scale_factor

Score = Callable[[nn.Sequential], np.ndarray]


@dataclass(frozen=True, eq=False)
class Members:
    """networks: one a fold. epochs: at which each was best. centre: mean of the members' training medians. slope: from
    scores to log hazard ratios, 0 where they rank nobody. out_of_fold: (n,) each patient's log hazard ratio by the
    member that was stopped by it.
    """

    networks: list[nn.Sequential]
    epochs: tuple[int, ...]
    centre: float
    slope: float
    out_of_fold: np.ndarray

    @property
    def notes(self) -> tuple[str, ...]:
        return (NO_RANKING,) if self.slope == 0 else ()


def fit_members(
    fold: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    train: Callable[[np.ndarray, int], tuple[nn.Sequential, int]],
    score: Score,
    seed: int,
) -> Members:
    """One network a fold. train: (mask of the patients to learn from, seed) -> (network, its best epoch). score: (n,)
    of all patients under a network. fold, time, event: (n,)."""
    networks, epochs, centres, out_of_fold = [], [], [], np.empty(len(time))
    for k in range(int(fold.max()) + 1):
        inside = fold != k
        network, epoch = train(inside, seed + 1000 * k)
        scores = score(network)
        centres.append(float(np.median(scores[inside])))
        out_of_fold[~inside] = scores[~inside] - centres[-1]
        networks.append(network)
        epochs.append(epoch)
    slope = scale_factor(time, event, out_of_fold)
    return Members(networks, tuple(epochs), float(np.mean(centres)), slope, slope * out_of_fold)


def mean_score(networks: Sequence[nn.Sequential], score: Score) -> np.ndarray:
    """(n,) mean of the members' scores."""
    return np.asarray(np.mean([score(network) for network in networks], axis=0))
