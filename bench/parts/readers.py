"""Readers of factors for `bench readout`: ridge regression with its penalty by leave-one-out, and a small network.

The network is the baseline, so it was chosen to do well. Mean R^2 of 38 factors in the first of five folds of the demo
study's 600 portraits at 64 px, three networks averaged: width 32 and rate 3e-3 0.285 (kept), 32 and 1e-3 0.281, 16 and
3e-3 0.273, 16 and 1e-3 0.268.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

PENALTIES = np.logspace(-4, 3, 29)  # in units of the mean eigenvalue of the training features' products
GROUPS = 8  # of the normalisation
AVERAGE = 0.95  # of the moving mean of the weights, a step
SCORED = 256  # photos scored at a time
Numbers = NDArray[np.float64]
Epoch = Callable[[int], None]


def folds_by_group(groups: NDArray[np.str_], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold (n,) for each row, all rows of a group in one; ValueError for fewer groups than folds."""
    names, places = np.unique(groups, return_inverse=True)
    if not 2 <= folds <= len(names):
        raise ValueError(f"{len(names)} patients cannot be dealt into {folds} folds of at least one.")
    dealt = np.empty(len(names), dtype=np.int64)
    dealt[np.random.default_rng(seed).permutation(len(names))] = np.arange(len(names)) % folds
    return dealt[places]


def ridge(x: Numbers, y: Numbers, new: Numbers) -> tuple[Numbers, Numbers]:
    """Predictions (m, k) for rows `new` (m, p) from x (n, p) and y (n, k), and the penalty (k,) of each column.

    Minimises |y - b - X w|^2 + penalty |w|^2, the intercept free. Of PENALTIES each column takes the one with the least
    leave-one-out error, in closed form from the eigenvectors U and eigenvalues s of X X' (X centred): with
    h = diag(U (s / (s + penalty)) U') + 1/n, a row left out errs by its residual / (1 - h) (Allen 1974; Golub, Heath
    and Wahba 1979, section 1).
    """
    middle, level = x.mean(axis=0), y.mean(axis=0)
    centred, centred_y = x - middle, y - level
    eigenvalues, vectors = np.linalg.eigh(centred @ centred.T)
    eigenvalues = eigenvalues.clip(0)
    turned = vectors.T @ centred_y
    penalties = PENALTIES * max(float(eigenvalues.mean()), np.finfo(float).tiny)
    errors = np.empty((len(penalties), y.shape[1]))
    for i, penalty in enumerate(penalties):
        shrinkage = eigenvalues / (eigenvalues + penalty)
        leverage = np.square(vectors) @ shrinkage + 1 / len(x)
        residual = centred_y - vectors @ (shrinkage[:, None] * turned)
        errors[i] = np.square(residual / (1 - leverage)[:, None]).mean(axis=0)
    chosen = penalties[errors.argmin(axis=0)]  # [k]
    weights = vectors @ (turned / (eigenvalues[:, None] + chosen))
    return level + ((new - middle) @ centred.T) @ weights, chosen


def standardised(x: Numbers, train: NDArray[np.bool_]) -> Numbers:
    """Columns with mean 0 and deviation 1 over the training rows; constant columns are 0."""
    spread = x[train].std(axis=0)
    moves = spread > 1e-9 * max(float(spread.max(initial=0)), np.finfo(float).tiny)
    return np.where(moves, (x - x[train].mean(axis=0)) / np.where(moves, spread, 1), 0.0)


@dataclass(frozen=True)
class NetworkSettings:
    """width: channels of the first of four stages (then 2, 4 and 4 times as many). learning_rate: the highest, after
    a tenth of the steps. inner: share of the training patients that early stopping looks at, never learned from.
    shift: largest shift of a training photo, as a share of its side. patience: epochs without any factor's best."""

    width: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    dropout: float = 0.2
    batch: int = 32
    epochs: int = 30
    patience: int = 10
    inner: float = 0.15
    shift: float = 1 / 64


class Network(nn.Module):
    """Photos (n, 3, S, S) to k numbers. Four halving stages; the last grid is kept, brought to 4 x 4, because pose
    and gaze are matters of place."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for channels in (width, 2 * width, 4 * width, 4 * width):
            layers += [nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False)]
            layers += [nn.GroupNorm(GROUPS, channels), nn.SiLU()]
            before = channels
        last = nn.Linear(16 * before, outputs)
        nn.init.zeros_(last.weight)  # starts at the mean of every factor
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(dropout), last)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _Training:
    """One network for all factors, each standardised; the weights that predict are a moving mean of those trained."""

    def __init__(
        self,
        photos: NDArray[np.uint8],
        y: Numbers,
        signs: Numbers,
        learn: NDArray[np.int64],
        settings: NetworkSettings,
        seed: int,
        device: str,
    ) -> None:
        self.settings, self.learn, self.draws, self.device = settings, learn, np.random.default_rng(seed), device
        self.photos = torch.from_numpy(np.ascontiguousarray(photos)).to(device)
        part = photos[learn].reshape(-1, 3) / np.float32(255)
        self.mean, self.spread = (
            torch.tensor(values, dtype=torch.float32, device=device)[None, :, None, None]
            for values in (part.mean(axis=0), part.std(axis=0).clip(1e-3))
        )
        self.level, self.scale = y[learn].mean(axis=0), y[learn].std(axis=0).clip(1e-6)
        self.signs = signs
        self.y, self.turned = (
            torch.tensor((values - self.level) / self.scale, dtype=torch.float32, device=device)
            for values in (y, y * signs)
        )
        self.network = Network(settings.width, y.shape[1], settings.dropout).to(device)
        rate, self.steps = settings.learning_rate, max(1, round(len(learn) / settings.batch))
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=rate, weight_decay=settings.weight_decay, betas=(0.9, 0.99)
        )
        total = settings.epochs * self.steps + 1
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, rate, total_steps=total, pct_start=0.1)
        self.averaged = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(AVERAGE))

    def _scaled(self, rows: NDArray[np.int64]) -> Tensor:
        """[n, 3, S, S], each channel by the mean and deviation of the photos learned from."""
        x = self.photos[torch.from_numpy(rows).to(self.device)].permute(0, 3, 1, 2).float() / 255
        return (x - self.mean) / self.spread

    def epoch(self) -> None:
        """Every photo once, each mirrored and shifted by its own draws; drawn on the CPU, alike on all devices."""
        self.network.train()
        for rows in np.array_split(self.draws.permutation(self.learn), self.steps):
            x, places = self._scaled(rows), torch.from_numpy(rows).to(self.device)
            mirrored = torch.from_numpy(self.draws.random(len(rows)) < 0.5).to(self.device)
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
            wanted = torch.where(mirrored[:, None], self.turned[places], self.y[places])
            x = self._shifted(x)
            self.optimiser.zero_grad(set_to_none=True)
            functional.mse_loss(self.network(x), wanted).backward()
            self.optimiser.step()
            self.schedule.step()
            self.averaged.update_parameters(self.network)

    def _shifted(self, x: Tensor) -> Tensor:
        size = x.shape[3]
        reach = round(self.settings.shift * size)
        if not reach:
            return x
        corners = self.draws.integers(0, 2 * reach + 1, (len(x), 2))
        padded = functional.pad(x, (reach,) * 4, mode="reflect")
        return torch.stack([padded[i, :, a : a + size, b : b + size] for i, (a, b) in enumerate(corners)])

    @torch.no_grad()
    def predict(self, rows: NDArray[np.int64]) -> Numbers:
        """(n, k), mean over the photo and its mirror image, turned back."""
        self.averaged.eval()
        predicted = []
        for start in range(0, len(rows), SCORED):
            x = self._scaled(rows[start : start + SCORED])
            seen, mirrored = (self.averaged(view).double().cpu().numpy() for view in (x, x.flip(3)))
            predicted.append((self._unscaled(seen) + self.signs * self._unscaled(mirrored)) / 2)
        return np.concatenate(predicted)

    def _unscaled(self, values: Numbers) -> Numbers:
        return values * self.scale + self.level


def network(
    photos: NDArray[np.uint8],
    y: Numbers,
    signs: Numbers,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    groups: NDArray[np.str_],
    settings: NetworkSettings,
    seed: int = 0,
    device: str = "cpu",
    on_epoch: Epoch = lambda epochs: None,
) -> Numbers:
    """Predictions (m, k) for the rows `test` of photos uint8 (n, S, S, 3) by a network trained on the rows `train`.

    y (n, k): factors, signs (k,) -1 for those that change sign in the mirror. Each factor is predicted by the epoch at
    which it was read best from the inner patients, whom the training leaves out: some factors are learned, and
    overfitted, sooner than others. on_epoch gets the number of epochs done, those that are skipped at the end too.
    """
    who = np.unique(groups[train])
    looked_at = np.random.default_rng(seed).permutation(who)[: max(1, round(settings.inner * len(who)))]
    inner = train[np.isin(groups[train], looked_at)]
    learn = train[~np.isin(groups[train], looked_at)]
    if len(learn) == 0:
        raise ValueError("There are too few patients to train a network on.")
    with torch.random.fork_rng(devices=[] if device == "cpu" else None):
        torch.manual_seed(seed)
        training = _Training(photos, y, signs, learn, settings, seed, device)
        best, last = np.full(y.shape[1], np.inf), 0
        predictions = np.repeat(training.level[None], len(test), axis=0)
        for epoch in range(1, settings.epochs + 1):
            training.epoch()
            errors = np.square(training.predict(inner) - y[inner]).mean(axis=0)
            better = errors < best
            if better.any():
                best[better], last = errors[better], epoch
                predictions[:, better] = training.predict(test)[:, better]
            stops = epoch - last >= settings.patience
            on_epoch(settings.epochs if stops else epoch)
            if stops:
                break
    return predictions
