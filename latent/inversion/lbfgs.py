"""Limited-memory BFGS for many independent searches at once, each with pairs of its own.

Nocedal 1980 (Math Comp 35:773), the two-loop recursion, with a diagonal first guess of the inverse Hessian that is
scaled by the newest pair. There is no line search: the caller bounds the step and takes it back where it failed.
"""

import torch
from torch import Tensor

MIN_CURVATURE = 1e-10  # least <s, y> of a pair that is kept, relative to <s, s>: below it the function is not convex


class LBFGS:
    """Pairs s (steps) and y (changes of the gradient) of n searches over p numbers, the newest `memory` of each.

    `rows` (k,), ascending, selects searches.
    """

    def __init__(self, n: int, p: int, memory: int, device: torch.device | str) -> None:
        self.memory = memory
        self._steps = torch.zeros(n, memory, p, device=device)
        self._changes = torch.zeros(n, memory, p, device=device)
        self._inverse = torch.zeros(n, memory, device=device)  # 1 / <s, y>; 0 where there is no pair
        self._x, self._gradient = torch.zeros(n, p, device=device), torch.zeros(n, p, device=device)
        self._filled = 0  # places of the newest pairs that any search has used so far, at most `memory`
        self._started = torch.zeros(n, dtype=torch.bool, device=device)

    def add(self, rows: Tensor, x: Tensor, gradient: Tensor) -> None:
        """Note that searches `rows` (k,) are at x (k, p) with these gradients (k, p)."""
        if self.memory == 0:
            return
        step, change = x - self._x[rows], gradient - self._gradient[rows]
        product = (step * change).sum(1)
        valid = self._started[rows] & (product > MIN_CURVATURE * step.square().sum(1))
        new = rows[valid]
        self._filled = min(self.memory, self._filled + 1)
        for stored, value in (
            (self._steps, step[valid]),
            (self._changes, change[valid]),
            (self._inverse, 1 / product[valid]),
        ):
            stored[new] = torch.cat([stored[new][:, 1:], value[:, None]], dim=1)
        self._x[rows], self._gradient[rows], self._started[rows] = x, gradient, True

    def has_pairs(self, rows: Tensor) -> Tensor:
        """Which of these searches have a pair, (k,)."""
        if self.memory == 0:
            return torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        return self._inverse[rows, -1] > 0

    def direction(self, rows: Tensor, gradient: Tensor, scales: Tensor) -> Tensor:
        """H g, (k, p): to be taken off x. scales (k, p): the diagonal of the first guess of H, up to a factor."""
        used = slice(self.memory - max(self._filled, 1), None)
        stored = (self._steps, self._changes, self._inverse)
        all_rows = len(rows) == len(self._started)
        steps, changes, inverse = (part[:, used] if all_rows else part[rows, used] for part in stored)
        q, shares = gradient.clone(), torch.zeros_like(inverse)
        for j in range(inverse.shape[1] - 1, -1, -1):
            shares[:, j] = inverse[:, j] * (steps[:, j] * q).sum(1)
            q -= shares[:, j, None] * changes[:, j]
        newest = changes[:, -1]
        curved = (newest * scales * newest).sum(1) * inverse[:, -1]
        r = scales * q / torch.where(curved > 0, curved, torch.ones_like(curved))[:, None]
        for j in range(inverse.shape[1]):
            r += (shares[:, j] - inverse[:, j] * (changes[:, j] * r).sum(1))[:, None] * steps[:, j]
        return r

    def leave(self, rows: Tensor) -> None:
        """The function changes: keep these searches' pairs, but make none of its gradient and the next one."""
        self._started[rows] = False

    def reset(self, rows: Tensor) -> None:
        """Let these searches start again without pairs."""
        self._steps[rows], self._changes[rows], self._inverse[rows], self._started[rows] = 0.0, 0.0, 0.0, False
