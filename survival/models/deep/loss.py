"""What the networks share: Cox's partial likelihood of a batch, its order, and the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


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
