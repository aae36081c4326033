"""The search for codes: Adam, then L-BFGS, on whitened codes of many photos at once, each by itself."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from latent.checkpoints import Checkpoint
from latent.errors import InversionError
from latent.features.perceptual import load_perceptual
from latent.inversion.lbfgs import LBFGS
from latent.inversion.loss import InversionLoss, strangeness
from latent.inversion.settings import InversionSettings
from latent.inversion.whitening import Whitening

COARSE = 128  # px of the picture that the coarse steps look at: the face encoder's chip is 150 px
ADAM_BETAS = (0.7, 0.99)  # little momentum: a search has tens of steps, not thousands
ADAM_EPSILON = 1e-8
RAMP_UP, RAMP_DOWN = 0.05, 0.5  # shares of the steps over which Adam's step length rises and falls
ADAM_STEPS = 2  # of them before L-BFGS takes over
LENGTHENING = 1.3  # of the quasi-Newton step: it falls short, because the loss is less curved further on
LOOK = 8  # steps after which the pixels say whether the generator can draw the photo, wherever its search began
WORSE = 1.5  # times the loss before: a photo whose quasi-Newton step led there goes back to its best code
MAX_SETBACKS = 4  # times a photo may be set back after a loss that is not finite


def step_length(progress: float) -> float:
    """Share of the learning rate at `progress` in [0, 1]: linear rise, plateau, cosine fall to 0."""
    rise = min(1.0, progress / RAMP_UP)
    fall = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1.0 - progress) / RAMP_DOWN))
    return max(rise, 0.05) * fall


class Search:
    """State of the search for N photos; one that is done leaves the batch.

    start: codes (N, num_ws, w_dim) to begin with, for targets (N, 3, R, R) in [-1, 1].

    Where R is larger than `COARSE` and the generator's picture is a sum over resolutions, the first steps look at the
    sum up to that size plus what the start's picture, reduced, has beyond it, and leave out the layers above.
    """

    def __init__(self, checkpoint: Checkpoint, targets: Tensor, start: Tensor, settings: InversionSettings) -> None:
        self.generator, self.settings = checkpoint.generator, settings
        self.whitening = Whitening(checkpoint.statistics, targets.device)
        self.x, self.rest = self.whitening.split(start)
        n = len(targets)
        self.targets, self.coarse_steps = targets, 0
        self.resolution, self.beyond = checkpoint.resolution, torch.zeros(n, 1, 1, 1, device=targets.device)
        if self.resolution > COARSE and self.generator.synthesis.architecture == "skip":
            self.coarse_steps = min(settings.coarse_steps, settings.steps)
        if self.coarse_steps:
            targets = F.adaptive_avg_pool2d(targets, COARSE)
            with torch.no_grad():
                whole = self.generator.synthesis(start, noise_mode="const")
                self.resolution = COARSE
                self.beyond = F.adaptive_avg_pool2d(whole, COARSE) - self.generator.synthesis(start, "const", COARSE)
        self.loss = InversionLoss(targets, settings, load_perceptual(targets.device), self.whitening)
        self.best = torch.full((n,), math.inf, device=targets.device)
        self.last = self.best.clone()  # loss before the newest step
        self.newton = torch.zeros(n, dtype=torch.bool, device=targets.device)  # whose newest step was quasi-Newton
        self.best_x, self.start = self.x.clone(), self.x.clone()
        self.first_moment, self.second_moment = torch.zeros_like(self.x), torch.zeros_like(self.x)
        self.updates = torch.zeros(n, device=targets.device)
        self.lbfgs = LBFGS(n, self.x[0].numel(), settings.memory, targets.device)
        self.rate = torch.ones(n, device=targets.device)
        self.setbacks = [0] * n
        self.best_history: list[Tensor] = []
        self.history: list[dict[str, list[float]]] = [{} for _ in range(n)]
        self.active = torch.arange(n, device=targets.device)

    def codes(self, x: Tensor, rows: Tensor) -> Tensor:
        return self.whitening.join(x, self.rest[rows])

    def step(self, number: int) -> Tensor:
        """Evaluate, keep what is best, move (not after the last step). Returns the pictures of the active photos."""
        if self.coarse_steps and number == self.coarse_steps:
            self._refine()
        if self.settings.colour and number == LOOK + 1:
            self._look()
        rows, last = self.active, number == self.settings.steps
        x = self.x[rows].requires_grad_(not last)
        with torch.set_grad_enabled(not last):
            pictures = self.generator.synthesis(self.codes(x, rows), "const", self.resolution) + self.beyond[rows]
            terms = self.loss(pictures, x, rows)
            total = terms["total"]
        gradient = torch.zeros_like(x) if last else torch.autograd.grad(total.sum(), x)[0]
        x, total = x.detach(), total.detach()
        sound = total.isfinite() & gradient.flatten(1).isfinite().all(1)
        self._record(rows, terms, sound)
        better = sound & (total < self.best[rows])
        self.best[rows[better]], self.best_x[rows[better]] = total[better], x[better]
        self.best_history.append(self.best.clone())
        if not last:
            self._set_back(rows[~sound], first=number == 0)
            lost = sound & self.newton[rows] & (total > WORSE * self.last[rows])
            self.last[rows[sound]] = total[sound]
            self._restart(rows[lost])
            moving = sound & ~lost
            self._move(rows[moving], gradient[moving], number)
        return pictures.detach()

    def _refine(self) -> None:
        """From here on the whole picture counts."""
        self.resolution, self.coarse_steps = self.targets.shape[-1], 0
        self.beyond = torch.zeros_like(self.beyond[:, :1, :1, :1])
        strange = self.loss.strange
        self.loss = InversionLoss(self.targets, self.settings, self.loss.perceptual, self.whitening)
        self.loss.strange = strange
        self.x = self.best_x.clone()
        self._change_loss(self.active)

    def _look(self) -> None:
        """From here on the colours count for more in photos that the generator cannot draw."""
        pixel = torch.tensor([history["pixel"][-1] for history in self.history], device=self.x.device)
        self.loss.strange = strangeness(pixel)
        self._change_loss(self.active[self.loss.strange[self.active] > 0])

    def _change_loss(self, rows: Tensor) -> None:
        """Losses so far are of another function: the best code, and whether it still falls, are found from here on."""
        self.best[rows] = math.inf
        self.newton[rows] = False
        for best in self.best_history:
            best[rows] = math.inf
        self.lbfgs.leave(rows)

    def _record(self, rows: Tensor, terms: dict[str, Tensor], sound: Tensor) -> None:
        for name, values in terms.items():
            for row, value, finite in zip(rows.tolist(), values.tolist(), sound.tolist(), strict=True):
                if finite:
                    self.history[row].setdefault(name, []).append(value)

    def _set_back(self, rows: Tensor, first: bool) -> None:
        """Photos whose loss is not finite continue from their best code with half the step, a few times."""
        for row in rows.tolist():
            self.setbacks[row] += 1
            if first or self.setbacks[row] > MAX_SETBACKS:
                raise InversionError(
                    "The inversion of a photo failed: the model's picture or its error is not finite. "
                    "Check the checkpoint, or choose another inversion preset."
                )
        self._restart(rows)
        self.rate[rows] *= 0.5

    def _restart(self, rows: Tensor) -> None:
        """Photos that went astray continue from their best code as if they began there."""
        self.x[rows] = self.best_x[rows]
        self.first_moment[rows], self.second_moment[rows], self.updates[rows] = 0.0, 0.0, 0.0
        self.lbfgs.reset(rows)
        self.newton[rows] = False

    def _move(self, rows: Tensor, gradient: Tensor, number: int) -> None:
        """One step of each photo: Adam's (Kingma & Ba 2015, algorithm 1), or what `_quasi_newton` puts in its place."""
        beta1, beta2 = ADAM_BETAS
        self.updates[rows] += 1
        self.first_moment[rows] = beta1 * self.first_moment[rows] + (1 - beta1) * gradient
        self.second_moment[rows] = beta2 * self.second_moment[rows] + (1 - beta2) * gradient.square()
        count = self.updates[rows][:, None, None]
        mean = self.first_moment[rows] / (1 - beta1**count)
        spread = (self.second_moment[rows] / (1 - beta2**count)).sqrt()
        typical = spread.square().mean((1, 2), keepdim=True).sqrt()
        spread = spread + (self.settings.floor * typical + ADAM_EPSILON)
        rate = self.rate[rows][:, None, None]
        step = rate * (self.settings.learning_rate * step_length(number / self.settings.steps)) * mean / spread
        if self.settings.memory:
            step = self._quasi_newton(rows, gradient, step, spread, number)
        self.x[rows] -= step

    def _quasi_newton(self, rows: Tensor, gradient: Tensor, step: Tensor, spread: Tensor, number: int) -> Tensor:
        """Adam's step (n, num_ws, k), or after the first steps, where there are pairs, that of
        L-BFGS with Adam's scales as its first guess, no longer than the learning rate (root mean square over axes)."""
        self.lbfgs.add(rows, self.x[rows].flatten(1), gradient.flatten(1))
        self.newton[rows] = self.lbfgs.has_pairs(rows) & (number >= ADAM_STEPS)
        newton = LENGTHENING * self.lbfgs.direction(rows, gradient.flatten(1), 1 / spread.flatten(1)).view_as(step)
        longest = self.rate[rows][:, None, None] * self.settings.learning_rate
        size = newton.square().mean((1, 2), keepdim=True).sqrt()
        newton = newton * (longest / size.clamp_min(1e-12)).clamp_max(1.0)
        return torch.where(self.newton[rows][:, None, None], newton, step)

    def drop_converged(self) -> None:
        """Take photos off the batch whose best loss has not fallen enough lately."""
        patience = self.settings.patience
        if self.coarse_steps or len(self.best_history) <= patience:
            return
        before, now = self.best_history[-1 - patience][self.active], self.best[self.active]
        self.active = self.active[now < before * (1 - self.settings.tolerance)]
