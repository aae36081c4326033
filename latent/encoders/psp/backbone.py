"""IR-SE-50, the trunk of a face recogniser that pSp and e4e build on.

50 layers of residual blocks in the order norm - conv - PReLU - conv - norm (Deng et al. 2019, arXiv:1801.07698,
section 3.1.3, "improved residual"), each output weighted by channel (squeeze and excitation, Hu et al. 2018,
arXiv:1709.01507, section 3). It is only run, never trained here, so normalisation uses its stored statistics.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Channels in units of `width`, and blocks, of each stage; the first block of a stage halves the grid.
STAGES = ((1, 3), (2, 4), (4, 14), (8, 3))
SQUEEZE = 16  # channels of a block for one of its squeezed description
NORM_EPSILON = 1e-5


class FixedNorm(nn.Module):
    """Batch normalisation by stored statistics: (x - mean) / sqrt(var + eps) * weight + bias, per channel."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=NORM_EPSILON)


class Excitation(nn.Module):
    """Weights each channel by what all of them are on average: x * sigmoid(fc2(relu(fc1(mean x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // SQUEEZE, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; the second has the stride. The shortcut takes every `stride`-th pixel,
    through a 1x1 convolution and a norm where the channels change."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.shortcut_layer: nn.Module | None = None
        if channels_in != channels_out:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), FixedNorm(channels_out)
            )
        self.res_layer = nn.Sequential(
            FixedNorm(channels_in),
            nn.Conv2d(channels_in, channels_out, 3, 1, 1, bias=False),
            nn.PReLU(channels_out),
            nn.Conv2d(channels_out, channels_out, 3, stride, 1, bias=False),
            FixedNorm(channels_out),
            Excitation(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.shortcut_layer is None:
            shortcut = x[:, :, :: self.stride, :: self.stride]
        else:
            shortcut = self.shortcut_layer(x)
        return self.res_layer(x) + shortcut


def stem(width: int) -> nn.Sequential:
    """The input layer: RGB to `width` channels at full size."""
    return nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), FixedNorm(width), nn.PReLU(width))


def trunk(width: int) -> nn.ModuleList:
    blocks = nn.ModuleList()
    channels = width
    for multiple, count in STAGES:
        for number in range(count):
            blocks.append(Block(channels, multiple * width, 1 if number else 2))
            channels = multiple * width
    return blocks
