"""What the networks share: Cox's partial likelihood of a batch, and a model made of several networks, each stopped by a
part of the training patients that it does not learn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from survival.models.scaled import NO_RANKING, scale_factor

Score = Callable[[nn.Sequential], np.ndarray]


def cox_loss(log_hr: Tensor, event: Tensor, end: Tensor) -> Tensor:
    """Mean negative partial log-likelihood of an event.

    log_hr, event: (n,) in falling time. end: (n,) the last place with the same time, so that ties share a risk set.
    """
    log_risk = torch.logcumsumexp(log_hr, dim=0)[end]
    return -((log_hr - log_risk) * event).sum() / event.sum()


def risk_order(time: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(places in falling time, end): the order that cox_loss wants of some rows, and its ties."""
    places = places[np.argsort(-time[places], kind="stable")]
    backwards = -time[places]
    return places, np.searchsorted(backwards, backwards, side="right") - 1


def device_name(device: str | None) -> str:
    """None: CUDA where there is one."""
    return device or ("cuda" if torch.cuda.is_available() else "cpu")


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    """The network's weights as they are now."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


@dataclass(frozen=True, eq=False)
class Members:
    """networks: one per fold. epochs: at which each was best. centre: mean of their training medians. slope: from
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
    """One network per fold. train: (mask of the patients to learn from, seed) -> (network, its best epoch). score: (n,)
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
