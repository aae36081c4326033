"""Loss scaling for fp16, whose smallest numbers swallow gradients (Micikevicius et al. 2018, arXiv:1710.03740)."""

import math
from typing import Any

from torch import Tensor

START, SMALLEST = 2.0**14, 1.0
GROW_AFTER = 1000  # updates without an overflow


class LossScale:
    """Factor on a loss: halved where gradients overflow (that update is left out), doubled after a long good while.

    Inactive (bf16 and fp32 have the range) it is 1 and accepts everything, so that a NaN comes to the surface.
    """

    def __init__(self, active: bool) -> None:
        self.active, self.factor, self.good = active, START if active else 1.0, 0

    def accept(self, norm: Tensor) -> bool:
        """Whether gradients of this norm may be used. At the smallest factor all are: the trouble is not the range."""
        if not self.active:
            return True
        if math.isfinite(float(norm)):
            self.good += 1
            if self.good % GROW_AFTER == 0:
                self.factor *= 2
            return True
        if self.factor <= SMALLEST:
            return True
        self.factor, self.good = self.factor / 2, 0
        return False

    def state(self) -> dict[str, Any]:
        return {"factor": self.factor, "good": self.good}

    def restore(self, state: dict[str, Any]) -> None:
        if self.active:
            self.factor, self.good = float(state["factor"]), int(state["good"])
