"""ImageCox: a small convolutional network from an aligned photo to the log hazard ratio, trained end to end.

The baseline that a model of codes is measured against: it sees the photo and knows no generator. Loss: Cox's partial
likelihood (Katzman et al. 2018; on images e.g. Mobadersany et al., PNAS 2018;115:E2970) of each mini-batch, exact
within the batch: risk sets are formed among its patients alone, Breslow ties. AdamW. Training photos are mirrored,
shifted and recoloured at random. As in DeepSurv there is one member per fold of the training patients: each starts from
another seed, stops early by the fold that it does not learn from, and scores that fold; predictions are the members'
mean, over the photo and its mirror image.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from survival.cox_regression.baseline import Baseline, fit_baseline
from survival.errors import Cancelled, SurvivalError, stop_if
from survival.features.encoding import as_features
from survival.models.base import SurvivalModel, check_rows, checked_entry, inner_folds
from survival.models.deep.members import copy_of, cox_loss, device_name, fit_members, mean_score, risk_order

GROUPS = 8  # of the normalisation
BETTER = 1e-4  # a left-out loss must fall by as much to count
SCORED = 256  # photos scored at a time
Colours = tuple[Tensor, Tensor]  # mean and standard deviation of the training photos' channels, (1, 3, 1, 1)


class ImageCox(SurvivalModel):
    """Parameters
    ----------
    widths : channels of the stages; each halves the picture. dropout, weight_decay, learning_rate : of the training.
    batch : patients in a mini-batch. epochs : at most; patience : epochs without a better left-out likelihood before
        stopping. members : networks, and folds of early stopping.
    shift : largest shift in either direction, as a share of the side. jitter : standard deviation of the random
        brightness and contrast factors; half of it for each colour channel. 0: none. mirror : whether photos are
        mirrored at random. missing : taken as other models take it; a photo has no missing part.
    device : "cpu", "cuda", or None: CUDA where there is one.

    X is one block of photos, uint8 (n, S, S, 3), S at least 16.

    Attributes after fit: epochs_ (members,) at which each stopped, slope_ factor that the left-out scores asked for.
    """

    label = "Image network"

    def __init__(
        self,
        *,
        widths: tuple[int, ...] = (16, 32, 64, 96),
        dropout: float = 0.3,
        weight_decay: float = 3e-2,
        learning_rate: float = 1e-3,
        batch: int = 64,
        epochs: int = 80,
        patience: int = 15,
        members: int = 4,
        shift: float = 0.06,
        jitter: float = 0.04,
        mirror: bool = True,
        missing: str = "refuse",
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        if members < 2 or epochs < 1 or batch < 8 or not 0 <= dropout < 1 or not 0 <= shift < 0.5 or jitter < 0:
            raise SurvivalError(
                "An image network needs at least 2 members, 1 epoch, batches of 8, a dropout in [0, 1) and a shift "
                "below half the side."
            )
        if not widths or any(width % GROUPS or width < GROUPS for width in widths):
            raise SurvivalError(f"The widths of an image network are multiples of {GROUPS}.")
        self.widths, self.dropout, self.weight_decay = tuple(widths), dropout, weight_decay
        self.learning_rate, self.batch, self.epochs, self.patience = learning_rate, batch, epochs, patience
        self.members, self.shift, self.jitter, self.mirror = members, shift, jitter, mirror
        self.missing, self.seed, self.device = missing, seed, device

    def fit(
        self, X: Any, time: Any, event: Any, copies: Any = None, cancelled: Cancelled = None, entry: Any = None
    ) -> Self:
        features, time, event = check_rows(X, time, event)
        checked_entry(entry, time, self.label, False)
        photos = self._photos(features)
        self._size, self._device = photos.shape[1], device_name(self.device)
        self._colours = _colours(photos, self._device)
        fold = inner_folds(event, copies, self.members, self.seed)

        def train(inside: np.ndarray, seed: int) -> tuple[nn.Sequential, int]:
            return self._train(photos, time, event, np.flatnonzero(inside), seed, cancelled)

        fitted = fit_members(fold, time, event, train, lambda network: self._apply(network, photos), self.seed)
        self._networks, self._centre, self.slope_ = fitted.networks, fitted.centre, fitted.slope
        self.epochs_, self.notes_, self.out_of_fold_ = fitted.epochs, fitted.notes, fitted.out_of_fold
        self._baseline: Baseline = fit_baseline(time, event, self.out_of_fold_)
        return self

    def predict(self, X: Any) -> np.ndarray:
        if not hasattr(self, "_networks"):
            raise SurvivalError(f"{self.label} has not been fitted yet: fit it first.")
        photos = self._photos(as_features(X))
        if photos.shape[1] != self._size:
            raise SurvivalError(f"The network was fitted to photos of {self._size} px, not {photos.shape[1]} px.")
        mean = mean_score(self._networks, lambda network: self._apply(network, photos))
        return self.slope_ * (mean - self._centre)

    def predict_survival_function(self, X: Any, times: Any = None) -> tuple[np.ndarray, np.ndarray]:
        return self._baseline.survival(self.predict(X), times)

    def _photos(self, features: dict[str, Any]) -> np.ndarray:
        """The one block of photos. Raises SurvivalError for anything else."""
        block = next(iter(features.values()))
        if len(features) > 1 or not isinstance(block, np.ndarray) or block.dtype != np.uint8 or block.ndim != 4:
            raise SurvivalError(f"{self.label} takes one block of photos, 8-bit numbers of shape (photos, S, S, 3).")
        least = 2 ** len(self.widths)
        if block.shape[1] != block.shape[2] or block.shape[3] != 3 or block.shape[1] < least:
            raise SurvivalError(
                f"{self.label} takes square colour photos of {least} px and more, not {block.shape[1:]}."
            )
        return block

    def _network(self) -> nn.Sequential:
        layers: list[nn.Module] = []
        for before, width in pairwise((3, *self.widths)):
            layers += [nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False), nn.GroupNorm(GROUPS, width)]
            layers += [nn.SiLU()]
        last = nn.Linear(self.widths[-1], 1, bias=False)
        nn.init.zeros_(last.weight)  # starts at the null model
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout), last)

    def _train(
        self,
        photos: np.ndarray,
        time: np.ndarray,
        event: np.ndarray,
        train: np.ndarray,
        seed: int,
        cancelled: Cancelled,
    ) -> tuple[nn.Sequential, int]:
        """(network at its best epoch, that epoch), by the partial likelihood of the patients not in train."""
        left_out = np.setdiff1d(np.arange(len(time)), train)
        batches = max(1, round(len(train) / self.batch))  # nearly equal: a last one of two patients would say little
        draws = np.random.default_rng(seed)
        with torch.random.fork_rng(devices=[] if self._device == "cpu" else None):
            torch.manual_seed(seed)
            network = self._network().to(self._device)
            optimiser = torch.optim.AdamW(
                network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, betas=(0.9, 0.99)
            )
            best, best_epoch, weights = self._loss(network, photos, time, event, left_out), 0, copy_of(network)
            for epoch in range(1, self.epochs + 1):
                network.train()
                for places in np.array_split(draws.permutation(train), batches):
                    stop_if(cancelled)
                    if not event[places].any():
                        continue  # nobody's risk set is asked about
                    places, end = risk_order(time, places)
                    x = augmented(self._tensor(photos[places]), draws, self.shift, self.jitter, self.mirror)
                    optimiser.zero_grad(set_to_none=True)
                    log_hr = network(self._scaled(x))[:, 0]
                    observed = torch.as_tensor(event[places], dtype=torch.float32, device=self._device)
                    cox_loss(log_hr, observed, torch.as_tensor(end, device=self._device)).backward()
                    optimiser.step()
                value = self._loss(network, photos, time, event, left_out)
                if value < best - BETTER:
                    best, best_epoch, weights = value, epoch, copy_of(network)
                elif epoch - best_epoch >= self.patience or not np.isfinite(value):
                    break
        network.load_state_dict(weights)
        return network.eval(), best_epoch

    def _loss(
        self, network: nn.Sequential, photos: np.ndarray, time: np.ndarray, event: np.ndarray, rows: np.ndarray
    ) -> float:
        """Mean negative partial log-likelihood of some patients among themselves; 0 without an event."""
        if not event[rows].any():
            return 0.0
        places, end = risk_order(time, rows)
        log_hr = torch.as_tensor(self._apply(network, photos[places]))
        observed = torch.as_tensor(event[places], dtype=torch.float64)
        return float(cox_loss(log_hr, observed, torch.as_tensor(end)))

    def _apply(self, network: nn.Sequential, photos: np.ndarray) -> np.ndarray:
        """Scores (n,), mean over the photo and its mirror image, so that both get the same."""
        network.eval()
        scores = []
        with torch.no_grad():
            for start in range(0, len(photos), SCORED):
                x = self._scaled(self._tensor(photos[start : start + SCORED]))
                scores.append(((network(x) + network(x.flip(3))) / 2)[:, 0].double().cpu().numpy())
        return np.concatenate(scores)

    def _tensor(self, photos: np.ndarray) -> Tensor:
        """uint8 (n, S, S, 3) -> float (n, 3, S, S) in [0, 1]."""
        x = torch.from_numpy(np.ascontiguousarray(photos)).to(self._device)
        return x.permute(0, 3, 1, 2).float() / 255

    def _scaled(self, x: Tensor) -> Tensor:
        mean, spread = self._colours
        return (x - mean) / spread


def augmented(x: Tensor, draws: np.random.Generator, shift: float, jitter: float, mirror: bool) -> Tensor:
    """Photos (n, 3, S, S) in [0, 1], each mirrored, shifted (reflected at the edge) and recoloured at random.

    Drawn on the CPU, so that a fit draws alike on CPU and CUDA.
    """
    n, _, size, _ = x.shape
    if mirror:
        turned = torch.as_tensor(draws.random(n) < 0.5, device=x.device)
        x = torch.where(turned[:, None, None, None], x.flip(3), x)
    reach = round(shift * size)
    if reach:
        padded = functional.pad(x, (reach,) * 4, mode="reflect")
        corners = draws.integers(0, 2 * reach + 1, (n, 2))
        x = torch.stack([padded[i, :, a : a + size, b : b + size] for i, (a, b) in enumerate(corners)])
    if jitter:
        factors = np.exp(draws.normal(0, [jitter, jitter, *[jitter / 2] * 3], (n, 5))).astype(np.float32)
        brightness, contrast, colour = (
            torch.as_tensor(part, device=x.device)[:, :, None, None]
            for part in (factors[:, :1], factors[:, 1:2], factors[:, 2:])
        )
        middle = x.mean(dim=(1, 2, 3), keepdim=True)
        x = ((x - middle) * contrast + middle * brightness) * colour
    return x


def _colours(photos: np.ndarray, device: str) -> Colours:
    """Of the training patients' photos, by counting each channel's values: no copy in floating point."""
    counts = np.zeros((3, 256))
    for start in range(0, len(photos), SCORED):
        part = photos[start : start + SCORED]
        counts += [np.bincount(part[..., c].ravel(), minlength=256) for c in range(3)]
    share, level = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = share @ level
    spread = np.maximum(np.sqrt(np.maximum(share @ level**2 - mean**2, 0)), 1e-3)
    one, other = (torch.as_tensor(v, dtype=torch.float32, device=device)[None, :, None, None] for v in (mean, spread))
    return one, other
