"""The controller of adaptive augmentation: how strong it has to be for the discriminator not to overfit.

Karras et al. 2020 (arXiv:2006.06676), section 3: r_t = E[sign(D(real))], 0 for a discriminator that has learned nothing
and 1 for one that has memorised the training set, is held at a target by raising or lowering p.
"""

import math
from typing import Any

import torch

TARGET = 0.6
EVERY = 4  # minibatches
KIMG = 500.0  # thousands of images from p = 0 to p = 1


class AdaptiveStrength:
    """p in [0, 1] from the discriminator's outputs on (augmented) real images.

    p moves by +- (images since the last adjustment) / (1000 kimg) every `every` minibatches, by 0 where the measured
    r_t is the target exactly. The paper keeps p from falling below 0 only; beyond 1 nothing more would be augmented
    with weights of 1, but p would have to come back all the way first.
    """

    def __init__(self, target: float = TARGET, kimg: float = KIMG, every: int = EVERY, p: float = 0.0) -> None:
        self.target, self.kimg, self.every, self.p = target, kimg, every, p
        self.r = math.nan  # r_t at the last adjustment
        self._minibatches = self._images = 0
        self._signs: torch.Tensor | float = 0.0  # stays on its device until it is needed

    def update(self, real_logits: torch.Tensor) -> bool:
        """Add one minibatch's logits, one per image; True if p was adjusted."""
        self._signs = self._signs + real_logits.detach().sign().sum()
        self._images += real_logits.numel()
        self._minibatches += 1
        if self._minibatches < self.every:
            return False
        self.r = float(self._signs) / self._images
        step = self._images / (self.kimg * 1000)
        direction = (self.r > self.target) - (self.r < self.target)  # logits that are not numbers move nothing
        self.p = min(max(self.p + direction * step, 0.0), 1.0)
        self._signs, self._images, self._minibatches = 0.0, 0, 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers: p and what was counted since the last adjustment."""
        return {
            "p": self.p,
            "r": self.r,
            "signs": float(self._signs),
            "images": self._images,
            "minibatches": self._minibatches,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from `state_dict()`; target and speed stay those of this object."""
        self.p, self.r, self._signs = float(state["p"]), float(state["r"]), float(state["signs"])
        self._images, self._minibatches = int(state["images"]), int(state["minibatches"])
