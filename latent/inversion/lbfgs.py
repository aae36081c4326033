"""Limited-memory BFGS for many independent searches at once, each with pairs of its own.

Nocedal 1980 (Math Comp 35:773), the two-loop recursion, with a diagonal first guess of the inverse Hessian that is
scaled by the newest pair. There is no line search: whoever moves bounds the step and goes back where it failed.
"""

from __future__ import annotations

import torch
from torch import Tensor

CURVED = 1e-10  # least <s, y> of a pair that is kept, relative to <s, s>: below it the function bends the wrong way


class Curvature:
    """Pairs s (steps) and y (changes of the gradient) of n searches over p numbers, the newest `memory` of each.

    Which searches are meant is said by `rows` (k,), ascending.
    """

    def __init__(self, n: int, p: int, memory: int, device: torch.device | str) -> None:
        self.memory = memory
        self._steps = torch.zeros(n, memory, p, device=device)
        self._changes = torch.zeros(n, memory, p, device=device)
        self._inverse = torch.zeros(n, memory, device=device)  # 1 / <s, y>; 0 where there is no pair
        self._x, self._gradient = torch.zeros(n, p, device=device), torch.zeros(n, p, device=device)
        self._filled = 0  # places of the newest pairs that any search has used so far, at most `memory`
        self._begun = torch.zeros(n, dtype=torch.bool, device=device)

    def learn(self, rows: Tensor, x: Tensor, gradient: Tensor) -> None:
        """Searches `rows` (k,) are at x (k, p) with these gradients (k, p)."""
        if self.memory == 0:
            return
        step, change = x - self._x[rows], gradient - self._gradient[rows]
        product = (step * change).sum(1)
        kept = self._begun[rows] & (product > CURVED * step.square().sum(1))
        new = rows[kept]
        self._filled = min(self.memory, self._filled + 1)
        for stored, value in (
            (self._steps, step[kept]),
            (self._changes, change[kept]),
            (self._inverse, 1 / product[kept]),
        ):
            stored[new] = torch.cat([stored[new][:, 1:], value[:, None]], dim=1)
        self._x[rows], self._gradient[rows], self._begun[rows] = x, gradient, True

    def known(self, rows: Tensor) -> Tensor:
        """Which of these searches have a pair, (k,)."""
        if self.memory == 0:
            return torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        return self._inverse[rows, -1] > 0

    def direction(self, rows: Tensor, gradient: Tensor, scales: Tensor) -> Tensor:
        """H g, (k, p): to be taken off x. scales (k, p): the diagonal of the first guess of H, up to a factor."""
        used = slice(self.memory - max(self._filled, 1), None)
        stored = (self._steps, self._changes, self._inverse)
        everyone = len(rows) == len(self._begun)
        steps, changes, inverse = (part[:, used] if everyone else part[rows, used] for part in stored)
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

    def forget(self, rows: Tensor) -> None:
        """These searches begin anew."""
        self._steps[rows], self._changes[rows], self._inverse[rows], self._begun[rows] = 0.0, 0.0, 0.0, False
