"""What the networks share: Cox's partial likelihood of a batch, its order, the device, the scale of their scores."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from survival.metrics.calibration import calibration_slope


def cox_loss(log_hr: Tensor, event: Tensor, end: Tensor) -> Tensor:
    """Mean negative partial log-likelihood of an event.

    log_hr, event: (n,) in falling time. end: (n,) the last place with the same time, so that ties share a risk set.
    """
    log_risk = torch.logcumsumexp(log_hr, dim=0)[end]
    return -((log_hr - log_risk) * event).sum() / event.sum()


def falling(time: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(places in falling time, end): the order that cox_loss wants of some rows, and its ties."""
    places = places[np.argsort(-time[places], kind="stable")]
    backwards = -time[places]
    return places, np.searchsorted(backwards, backwards, side="right") - 1


def device_name(asked: str | None) -> str:
    """What was asked for; None: CUDA where there is one."""
    return asked or ("cuda" if torch.cuda.is_available() else "cpu")


def scale_of(time: np.ndarray, event: np.ndarray, out_of_fold: np.ndarray) -> float:
    """The factor that brings out-of-fold scores to log hazard ratios; 0 where they tell nothing, or the wrong way."""
    slope = calibration_slope(time, event, out_of_fold).value
    return slope if np.isfinite(slope) and slope > 0 else 0.0


def copy_of(network: nn.Module) -> dict[str, Tensor]:
    """The network's weights as they are now."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
