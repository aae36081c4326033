"""How hard an inversion tries, and what for."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from common.text import listed
from latent.errors import InversionError

LATER = ("floor", "coarse_steps", "colour")  # settings that the records of earlier codes do not hold


@dataclass(frozen=True)
class InversionSettings:
    """How hard to try, and what for. `learning_rate`: standard deviations of W per step, with a memory its longest;
    steps 0 is the start alone.

    perceptual, identity, pixel, plausibility: the weights a_p, a_i, a_x, a_m above. memory: steps that the quasi-Newton
    method remembers; 0 leaves all steps to Adam.
    A photo stops early when its loss fell by less than `tolerance` (relative) over `patience` steps.
    floor: what is added to Adam's scale of each axis, in root mean squares of a photo's scales. coarse_steps: so many
    of the steps, the first ones, look at the picture of `search.COARSE` px where the checkpoint's is larger. colour:
    weight of the pixels and their colours once more, for photos that the generator cannot draw (`loss.strangeness`).
    """

    name: str
    steps: int
    learning_rate: float = 0.2
    perceptual: float = 4.0
    identity: float = 0.1
    pixel: float = 1.0
    plausibility: float = 0.003
    patience: int = 25
    tolerance: float = 0.005
    seed: int = 0
    memory: int = 30
    floor: float = 0.0
    coarse_steps: int = 0
    colour: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.perceptual, self.identity, self.pixel, self.plausibility, self.colour)
        if self.steps < 0 or self.patience < 1 or not 0 < self.learning_rate < 10 or not 0 <= self.tolerance < 1:
            raise InversionError("Inversion settings need steps >= 0, patience >= 1, a learning rate in (0, 10).")
        if not 0 <= self.memory <= 100:
            raise InversionError("Inversion settings need a memory of 0 to 100 steps.")
        if not 0 <= self.floor <= 100 or self.coarse_steps < 0:
            raise InversionError("Inversion settings need a floor of 0 to 100 and coarse steps >= 0.")
        if min(weights) < 0 or not all(math.isfinite(weight) for weight in weights) or not self.perceptual + self.pixel:
            raise InversionError("Inversion weights must be finite and not negative, with perceptual or pixel above 0.")

    def minimised(self, perceptual_name: str) -> str:
        """Which of the reported measures the search itself minimised, in a sentence for whoever reads them."""
        weights = {
            perceptual_name: self.perceptual,
            "identity distance": self.identity,
            "pixel differences": self.pixel + self.colour,
        }
        terms = [name for name, weight in weights.items() if weight > 0]
        if not self.steps:
            return "The code is the encoder's estimate: there was no search."
        return f"The search itself minimised {listed(terms)}; ST-LPIPS took no part in it."

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `InversionSettings(**settings.as_dict())` gives the same settings. Without the settings that came
        later where they change nothing, so that the record of earlier codes stays the same."""
        return {name: value for name, value in asdict(self).items() if name not in LATER or value}


ENCODER_ONLY = InversionSettings("encoder only", steps=0)

# Chosen on held-out portraits (docs/methods.md has the numbers).
PRESETS: Mapping[str, InversionSettings] = {
    "fast": InversionSettings("fast", steps=12, floor=1.0, coarse_steps=8, colour=1.0),
    "balanced": InversionSettings("balanced", steps=31, floor=1.0, coarse_steps=22, colour=1.0),
    "faithful": InversionSettings("faithful", steps=90, floor=1.0, coarse_steps=65, colour=1.0),
}
