"""What a camera and its processing do to a portrait, drawn for each portrait and step.

A generator that has seen evenly lit, neutral portraits alone cannot reproduce a photo with a warm cast or a soft focus,
and distorts the face. Here the *data* are altered, not what a discriminator sees of them: the space of codes holds
altered portraits, and because the parameters are targets of the linear readout, a code has a straight axis for each.
Samples stay as the portraits are, for the mapping network is fitted to the codes of portraits as they were given.

All act on sRGB values in [0, 1], where a gain g stands for one of about g^2.2 on light.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

NAMES = ("temperature", "tint", "exposure", "contrast", "sharpness", "grain")
LIMIT = 2.5  # deviations at which a parameter is cut
TEMPERATURE, TINT, EXPOSURE, CONTRAST = 0.10, 0.04, 0.15, 0.15  # logarithm of a gain, for one deviation
SHARPNESS = 0.5  # share of the difference to the blurred picture that is added; -1 is the blurred picture
GRAIN, GRAIN_SPREAD = 0.006, 0.6  # median deviation of the noise, and that of its logarithm
BLUR_AT = 128  # pixels a side at which the blur is two means of 3x3; wider in proportion


def draw(n: int, rng: torch.Generator) -> Tensor:
    """Parameters (n, len(NAMES)), each about N(0, 1), on the device of rng."""
    return torch.randn(n, len(NAMES), generator=rng, device=rng.device).clamp(-LIMIT, LIMIT)


def blur(images: Tensor) -> Tensor:
    """Images (n, 3, R, R), averaged twice over squares of 3 pixels of BLUR_AT a side."""
    half = max(1, round(images.shape[-1] / BLUR_AT))
    side = 2 * half + 1
    kernel = images.new_full((3, 1, side, side), 1 / side**2)
    for _ in range(2):  # a convolution by channel: on a processor several times faster than average pooling
        images = F.conv2d(F.pad(images, (half,) * 4, mode="replicate"), kernel, groups=3)
    return images


def alter(images: Tensor, parameters: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Images (n, 3, R, R) in [-1, 1] with parameters (n, len(NAMES)) of `draw`; strength 0 changes nothing, 1 as the
    constants above say. rng: on the images' device, for the grain."""
    temperature, tint, exposure, contrast, sharpness, grain = (strength * parameters).T[..., None, None]
    x = images / 2 + 0.5
    x = x + (SHARPNESS * sharpness[:, None]).clamp(-1) * (x - blur(x))
    gains = torch.stack([TEMPERATURE * temperature, TINT * tint, -TEMPERATURE * temperature], 1)
    x = x * (gains + EXPOSURE * exposure[:, None]).exp()
    middle = x.mean((1, 2, 3), keepdim=True)
    x = (x - middle) * (CONTRAST * contrast[:, None]).exp() + middle
    noise = torch.randn(x.shape, generator=rng, device=rng.device)
    x = x + noise * (GRAIN * strength) * (GRAIN_SPREAD * grain[:, None]).exp()
    return (x.clamp(0, 1) * 2 - 1).to(images)
