"""ST-LPIPS: a perceptual distance that small shifts hardly change, and that no search here minimises.

Ghildyal and Liu 2022 (arXiv:2207.13686), AlexNet variant: LPIPS's formula (`perceptual`) on an AlexNet that was trained
for it from scratch. Three things differ from LPIPS's: the first convolution has stride 1; wherever AlexNet skips
pixels, a 3 x 3 binomial filter comes before (Zhang 2019, arXiv:1904.11486); and the picture is mirrored 2 px beyond
its border there. The first filter comes before the activation, the others after the pooling.

The weights (BSD-2-Clause) come with the package `stlpips-pytorch`; nothing in it is imported or executed, its code
needs packages that it does not ask for. Values are ST-LPIPS's own and must not be compared with LPIPS's.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faces.models import package_file
from latent.errors import LatentError
from latent.features.perceptual import LPIPS_SCALE, LPIPS_SHIFT, PerceptualDistance, unit_channels
from latent.images import to_tensor
from latent.importing.reader import contents

NAME = "ST-LPIPS (AlexNet)"
PACKAGE = "stlpips_pytorch"
FILE = "weights/vST0.0/alex_shift_tolerant.pth"
MIN_SIDE = 64  # px: smaller images are enlarged, since the third filter mirrors more than is left of them
BORDER = 2  # px that a filter mirrors
MAX_SIDE = 256  # px: larger pictures are averaged down before they are reported on; at 1024 px a pair takes seconds
BATCH = 4  # pairs compared at once by `st_lpips`

# index in the published network, (out, in, kernel), padding
CONVOLUTIONS = (
    (0, (64, 3, 11), 2),
    (5, (192, 64, 5), 2),
    (9, (384, 192, 3), 1),
    (11, (256, 384, 3), 1),
    (13, (256, 256, 3), 1),
)
POOLED = (1, 2)  # stages that begin with a pooling and a filter


def blurred(x: Tensor) -> Tensor:
    """Every second pixel of (N, C, H, W) after the filter (1, 2, 1) / 4 along both axes, mirrored beyond the border."""
    taps = torch.tensor([1.0, 2.0, 1.0], dtype=x.dtype, device=x.device) / 4
    kernel = (taps[:, None] * taps).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(x, [BORDER] * 4, mode="reflect"), kernel, stride=2, groups=x.shape[1])


class ShiftTolerantDistance(PerceptualDistance):
    """ST-LPIPS of images (N, 3, R, R) in [-1, 1]; tensors: the published state dict of the AlexNet variant.

    Raises LatentError where a tensor is missing or has another shape.
    """

    name = NAME

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(LPIPS_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(LPIPS_SCALE)[:, None, None])
        self.convolutions = nn.ModuleList()
        for stage, (index, (out, channels, kernel), padding) in enumerate(CONVOLUTIONS):
            convolution = nn.Conv2d(channels, out, kernel, padding=padding)
            layer = f"net.slice{stage + 1}.{index}"
            weight, bias, head = (
                tensors.get(name) for name in (f"{layer}.weight", f"{layer}.bias", f"lin{stage}.model.1.weight")
            )
            if weight is None or bias is None or head is None:
                raise LatentError(f"Layer {stage + 1} is missing from the {NAME} weights.")
            if weight.shape != convolution.weight.shape or bias.shape != (out,) or head.shape != (1, out, 1, 1):
                raise LatentError(f"Layer {stage + 1} of the {NAME} weights has another shape: {tuple(weight.shape)}.")
            convolution.load_state_dict({"weight": weight, "bias": bias})
            self.convolutions.append(convolution)
            self.register_buffer(f"head{stage}", head.clone())
        self.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        if images.shape[-1] < MIN_SIDE:
            images = F.interpolate(images, size=MIN_SIDE, mode="bilinear", align_corners=False)
        x = (images - cast(Tensor, self.shift)) / cast(Tensor, self.scale)
        x = x.contiguous(memory_format=torch.channels_last)  # on a processor a fifth faster
        stages = []
        for stage, convolution in enumerate(self.convolutions):
            x = convolution(blurred(F.max_pool2d(x, 3, 1)) if stage in POOLED else x)
            x = F.relu(x if stage else blurred(x))
            stages.append(unit_channels(x))
        return stages

    def between(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        parts = [
            F.conv2d((x - y).square(), cast(Tensor, getattr(self, f"head{stage}"))).mean((1, 2, 3))
            for stage, (x, y) in enumerate(zip(a, b, strict=True))
        ]
        return torch.stack(parts).sum(0)


def weights_file() -> Path | None:
    """Where the weights lie, or None where the package is not installed."""
    return package_file(PACKAGE, FILE)


@functools.lru_cache(maxsize=4)
def load_st_lpips(device: torch.device | str = "cpu") -> ShiftTolerantDistance:
    """The distance on `device`, kept for the next caller.

    Raises LatentError where the package is not installed or its file is damaged.
    """
    path = weights_file()
    if path is None:
        raise LatentError(f"The weights of {NAME} are missing: pip install stlpips-pytorch==0.0.2.")
    try:
        with contents(path) as records:
            tensors = {name: record.read() for name, record in records.items()}
    except (LatentError, AttributeError) as error:
        raise LatentError(f"The weights of {NAME} cannot be read ({path.name}). Install the package again.") from error
    return ShiftTolerantDistance(tensors).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.no_grad()
def st_lpips(a: np.ndarray, b: np.ndarray, device: torch.device | str = "cpu") -> list[float]:
    """ST-LPIPS of each two of N pictures uint8 (N, R, R, 3), where larger than `MAX_SIDE` averaged down to it."""
    distance = load_st_lpips(device)
    values: list[float] = []
    for i in range(0, len(a), BATCH):
        x, y = (to_tensor(pictures[i : i + BATCH], device) for pictures in (a, b))
        if x.shape[-1] > MAX_SIDE:
            x, y = (F.interpolate(part, size=MAX_SIDE, mode="area") for part in (x, y))
        values += distance(x, y).tolist()
    return values
