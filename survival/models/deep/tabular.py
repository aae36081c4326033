"""DeepSurv: a small network for the log hazard ratio, trained on Cox's partial likelihood.

Katzman et al., BMC Med Res Methodol 2018;18:24. Loss: - (1 / events) sum over events of [f(x_i) - log sum_{t_j >= t_i}
exp f(x_j)] (Breslow ties), all training patients in one batch, AdamW. One member per fold of training patients: each
starts from another seed, stops early by the fold that it does not learn from, and scores that fold; predictions are the
members' mean. So every training patient has a score from a network that has not learned from it, on which the baseline
hazard rests.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from survival.errors import Cancelled, SurvivalError, stop_if
from survival.features.encoding import Compression, encoding_from
from survival.features.reduction import Reduction
from survival.models.base import CompressedModel, HazardModel, inner_folds
from survival.models.deep.members import copy_of, cox_loss, device_name, fit_members, mean_score, risk_order
from survival.models.hazard import Hazard, Parts, baseline_from, baseline_parts


class DeepSurv(CompressedModel, HazardModel):
    """Parameters
    ----------
    hidden : widths of the hidden layers. dropout, weight_decay, learning_rate : of the training.
    epochs : at most; patience : epochs without a better left-out likelihood before stopping.
    members : networks, and folds of early stopping. device : "cpu", "cuda", or None: CUDA where there is one.
    n_components, missing, seed : as of CompressedModel.

    Attributes after fit: epochs_ (members,) at which each stopped, slope_ factor that the left-out scores asked for.
    """

    label = "DeepSurv"

    def __init__(
        self,
        *,
        hidden: tuple[int, ...] = (32,),
        dropout: float = 0.2,
        weight_decay: float = 1e-2,
        learning_rate: float = 3e-3,
        epochs: int = 300,
        patience: int = 30,
        members: int = 5,
        device: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        if members < 2 or epochs < 1 or not 0 <= dropout < 1 or any(width < 1 for width in hidden):
            raise SurvivalError(
                "DeepSurv needs at least 2 members, 1 epoch, a dropout in [0, 1) and layers of width 1."
            )
        self.hidden, self.dropout, self.weight_decay = tuple(hidden), dropout, weight_decay
        self.learning_rate, self.epochs, self.patience, self.members = learning_rate, epochs, patience, members
        self.device = device

    def _fit(self, flat: np.ndarray, time: np.ndarray, event: np.ndarray, copies: Any, cancelled: Cancelled) -> None:
        self._device = device_name(self.device)
        fold = inner_folds(event, copies, self.members, self.seed)
        self._compression = self._compress(flat)  # scaling sees the stopping folds' features, never their outcomes
        scores = self._compression.scores

        def train(inside: np.ndarray, seed: int) -> tuple[nn.Sequential, int]:
            return self._train(scores, time, event, inside, seed, cancelled)

        fitted = fit_members(fold, time, event, train, lambda network: self._apply(network, scores), self.seed)
        self._networks, self._centre, self.slope_ = fitted.networks, fitted.centre, fitted.slope
        self.epochs_, self.out_of_fold_ = fitted.epochs, fitted.out_of_fold
        self.notes_ += fitted.notes
        self._set_baseline(time, event, self.out_of_fold_)
        self._middle = flat.mean(axis=0, dtype=np.float64)[None]

    def _network(self, width: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for size in self.hidden:
            layers += [nn.Linear(width, size), nn.SELU(), nn.Dropout(self.dropout)]
            width = size
        last = nn.Linear(width, 1, bias=False)
        nn.init.zeros_(last.weight)  # starts at the null model
        return nn.Sequential(*layers, last)

    def _train(
        self,
        scores: np.ndarray,
        time: np.ndarray,
        event: np.ndarray,
        train: np.ndarray,
        seed: int,
        cancelled: Cancelled,
    ) -> tuple[nn.Sequential, int]:
        """(network at its best epoch, that epoch). Left-out likelihood: everyone's less the training patients'."""
        with torch.random.fork_rng(devices=[] if self._device == "cpu" else None):
            torch.manual_seed(seed)
            network = self._network(scores.shape[1]).to(self._device)
            optimiser = torch.optim.AdamW(
                network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, betas=(0.9, 0.99)
            )
            inside, whole = (self._batch(scores, time, event, rows) for rows in (train, np.ones_like(train)))
            added = float(event[~train].sum())
            best, best_epoch, weights = np.inf, 0, copy_of(network)
            for epoch in range(1, self.epochs + 1):
                stop_if(cancelled)
                network.train()
                optimiser.zero_grad(set_to_none=True)
                cox_loss(network(inside[0])[:, 0], inside[1], inside[2]).backward()
                optimiser.step()
                network.eval()
                with torch.no_grad():
                    values = [float(cox_loss(network(b[0])[:, 0], b[1], b[2]) * b[1].sum()) for b in (whole, inside)]
                left_out = (values[0] - values[1]) / max(added, 1.0)
                if left_out < best - 1e-5:
                    best, best_epoch, weights = left_out, epoch, copy_of(network)
                elif epoch - best_epoch >= self.patience or not np.isfinite(left_out):
                    break
        network.load_state_dict(weights)
        return network.eval(), best_epoch

    def _batch(
        self, scores: np.ndarray, time: np.ndarray, event: np.ndarray, rows: np.ndarray
    ) -> tuple[Tensor, Tensor, Tensor]:
        places, end = risk_order(time, np.flatnonzero(rows))
        return (
            torch.as_tensor(scores[places], dtype=torch.float32, device=self._device),
            torch.as_tensor(event[places], dtype=torch.float32, device=self._device),
            torch.as_tensor(end, device=self._device),
        )

    def _apply(self, network: nn.Sequential, scores: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            x = torch.as_tensor(scores, dtype=torch.float32, device=self._device)
            return network(x)[:, 0].double().cpu().numpy()

    def _risk(self, flat: np.ndarray) -> np.ndarray:
        scores = self._compression.transform(flat)
        mean = mean_score(self._networks, lambda network: self._apply(network, scores))
        return self.slope_ * (mean - self._centre)

    def log_hr_gradient(self) -> dict[str, np.ndarray]:
        """At the training patients' mean: the network is not linear, so this holds near there."""
        return self.gradient_at(None)

    def gradient_at(self, X: Any) -> dict[str, np.ndarray]:
        """Mean gradient over rows of X; None: at the training patients' mean."""
        encoding = self.encoding
        flat = self._middle if X is None else encoding.transform(X)
        x = torch.as_tensor(self._compression.transform(flat), dtype=torch.float32, device=self._device)
        x.requires_grad_(True)
        total = torch.stack([network(x)[:, 0] for network in self._networks]).mean(dim=0)
        (gradient,) = torch.autograd.grad(total.sum(), x)
        mean = gradient.mean(dim=0).double().cpu().numpy()
        return encoding.by_block(self.slope_ * self._compression.to_features(mean))

    def hazard(self) -> Hazard:
        return self

    def to_parts(self) -> Parts:
        """Of the fitted model; the training patients are not in it."""
        values, arrays = baseline_parts(self.baseline)
        values |= {
            "encoding": self.encoding.as_dict(),
            "hidden": list(self.hidden),
            "members": self.members,
            "slope": self.slope_,
            "centre": self._centre,
        }
        arrays["middle"] = self._middle[0]
        for i, (_, reduction) in enumerate(self._compression.parts):
            varies = np.isfinite(reduction.scale)
            arrays[f"mean_{i}"], arrays[f"scale_{i}"] = reduction.mean, np.where(varies, reduction.scale, 0.0)
            basis = reduction.to_features(np.eye(reduction.scores.shape[1]))
            arrays[f"basis_{i}"] = np.where(varies[:, None], basis * arrays[f"scale_{i}"][:, None], 0.0)
        for m, network in enumerate(self._networks):
            for name, value in network.state_dict().items():
                arrays[f"network_{m}.{name}"] = value.cpu().numpy().astype(np.float32)
        return values, arrays

    @classmethod
    def from_parts(cls, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> DeepSurv:
        """From to_parts. Raises KeyError, TypeError, ValueError or RuntimeError where the parts do not fit."""
        model = cls(
            hidden=tuple(int(width) for width in values["hidden"]), members=int(values["members"]), device="cpu"
        )
        model._device, encoding = "cpu", encoding_from(values["encoding"])
        model._encoding, parts, width = encoding, [], 0
        for i, part in enumerate(encoding.slices.values()):
            mean, scale, basis = (arrays[f"{name}_{i}"] for name in ("mean", "scale", "basis"))
            p, k = part.stop - part.start, basis.shape[1]
            if mean.shape != (p,) or scale.shape != (p,) or basis.shape != (p, k):
                raise ValueError("compression")
            none = np.empty((0, p))
            spread = np.where(scale == 0, np.inf, scale)
            parts.append((part, Reduction(mean, spread, np.empty((0, k)), np.empty(k), none, basis)))
            width += k
        model._compression = Compression(tuple(parts))
        model._networks = []
        for m in range(model.members):
            network, prefix = model._network(width), f"network_{m}."
            state = {k[len(prefix) :]: torch.from_numpy(v.copy()) for k, v in arrays.items() if k.startswith(prefix)}
            network.load_state_dict(state)
            model._networks.append(network.eval())
        model.slope_, model._centre = float(values["slope"]), float(values["centre"])
        model._middle = arrays["middle"].reshape(1, len(encoding.names))
        model._baseline = baseline_from(values, arrays)
        return model
