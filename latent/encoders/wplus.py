"""A small convolutional encoder: one forward pass from an aligned face to a W+ code, the start of every inversion.

A residual pyramid looks at the face on grids of 16, 8 and 4 cells. The coarse grid gives one common code (a point of
W) and the first layers' offsets from it, the finer grids the offsets of the later layers; a finer head also reads
the output of the coarser one. Common code plus offsets is the arrangement of Tov et al. 2021 (arXiv:2102.02766, section
4.2); the network itself is our own and made for a CPU: about 140 million floating-point operations for a 64 px face.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_RESOLUTION = 16
MAX_TRUNK_INPUT = 256  # larger photos are area-averaged first: a start needs no pores
TRUNK_GRID = 32  # cells on a side after the stem
HEAD_GRID = 4  # cells on a side that a head flattens
STAGE_MULTIPLES = (2, 4, 8)  # channels of the 16, 8 and 4 grid in units of `width`
GROUP_CHANNELS = 8


def _norm(channels: int) -> nn.GroupNorm:
    """Group normalisation: no batch statistics, so one photo and a batch of them give the same codes."""
    return nn.GroupNorm(max(1, channels // GROUP_CHANNELS), channels)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; `stride` 2 halves the grid."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm1 = _norm(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.norm2 = _norm(channels_out)
        nn.init.zeros_(self.norm2.weight)  # a new block starts as its shortcut
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else nn.Conv2d(channels_in, channels_out, 1, bias=False)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.norm1(self.conv1(x)), 0.2, inplace=True)
        y = self.norm2(self.conv2(y))
        shortcut = x if self.stride == 1 else F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.leaky_relu(y + self.shortcut(shortcut), 0.2, inplace=True)


class WPlusEncoder(nn.Module):
    """Images (N, 3, R, R) in [-1, 1] -> codes (N, num_ws, w_dim), offsets from the mean code already added.

    resolution: R of the checkpoint, a power of two from 16.
    width: channels of the stem, a multiple of 8; cost grows with its square (24: 3.5 M parameters at 64 px).
    w_avg (w_dim,), w_std (w_dim,) or a number: centre and scale of W. The heads work in units of `w_std`, so that a
        newly built encoder answers `w_avg` and learns at the same pace whatever the generator's scale. Both are
        buffers, saved with the weights.

    Raises ValueError for a resolution or width that cannot be built.
    """

    w_avg: Tensor
    w_std: Tensor

    def __init__(
        self,
        resolution: int,
        num_ws: int,
        w_dim: int = 512,
        width: int = 24,
        w_avg: Tensor | None = None,
        w_std: Tensor | float | None = None,
    ) -> None:
        super().__init__()
        if resolution < MIN_RESOLUTION or resolution & (resolution - 1):
            raise ValueError(f"An encoder needs a power of two from {MIN_RESOLUTION} as resolution, not {resolution}.")
        if width < GROUP_CHANNELS or width % GROUP_CHANNELS:
            raise ValueError(f"The width of an encoder must be a multiple of {GROUP_CHANNELS}, not {width}.")
        self.resolution, self.num_ws, self.w_dim, self.width = resolution, num_ws, w_dim, width
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.register_buffer("w_std", torch.ones(w_dim))
        self.set_w_avg(w_avg, w_std)

        self.unshuffle = max(1, min(resolution, MAX_TRUNK_INPUT) // TRUNK_GRID)
        self.stem = nn.Conv2d(3 * self.unshuffle**2, width, 3, 1, 1, bias=False)
        self.stem_norm = _norm(width)
        self.block = ResidualBlock(width, width)
        channels = [width, *(width * multiple for multiple in STAGE_MULTIPLES)]
        self.stages = nn.ModuleList(
            nn.Sequential(ResidualBlock(before, after, 2), ResidualBlock(after, after))
            for before, after in itertools.pairwise(channels)
        )

        hidden = 8 * width
        flat = [after * HEAD_GRID**2 for after in reversed(channels[1:])]  # coarse first
        self.heads = nn.ModuleList(nn.Linear(size, hidden) for size in flat)
        self.passes = nn.ModuleList(nn.Linear(hidden, hidden, bias=False) for _ in flat[1:])
        self.common = nn.Linear(hidden, w_dim)
        self.offsets = nn.ModuleList(nn.Linear(hidden, w_dim) for _ in range(num_ws))
        for layer in (self.common, *self.offsets):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def set_w_avg(self, w_avg: Tensor | None, w_std: Tensor | float | None = None) -> None:
        """Centre (w_dim,) and scale (w_dim,) or a number; None leaves a value as it is."""
        with torch.no_grad():
            if w_avg is not None:
                self.w_avg.copy_(torch.as_tensor(w_avg))
            if w_std is not None:
                self.w_std.copy_(torch.as_tensor(w_std).expand_as(self.w_std))

    def settings(self) -> dict[str, int]:
        """What a checkpoint's config.json keeps: `WPlusEncoder(**settings)` builds the same network."""
        return {"resolution": self.resolution, "num_ws": self.num_ws, "w_dim": self.w_dim, "width": self.width}

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.resolution or images.shape[-2] != self.resolution:
            raise ValueError(
                f"The encoder was built for {self.resolution} px, the image has {images.shape[-2]}x{images.shape[-1]}."
            )
        x = images
        if self.resolution > MAX_TRUNK_INPUT:
            x = F.avg_pool2d(x, self.resolution // MAX_TRUNK_INPUT)
        x = F.pixel_unshuffle(x, self.unshuffle)
        x = self.block(F.leaky_relu(self.stem_norm(self.stem(x)), 0.2, inplace=True))
        grids: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            grids.insert(0, F.adaptive_avg_pool2d(x, HEAD_GRID).flatten(1))
        hidden: list[Tensor] = []
        for number, (head, grid) in enumerate(zip(self.heads, grids, strict=True)):
            value = head(grid)
            if number:
                value = value + self.passes[number - 1](hidden[-1])
            hidden.append(F.leaky_relu(value, 0.2))
        common = self.common(hidden[0])
        # Two layers belong to each resolution of the generator; coarse are those up to 8 px (layers 0-3), middle up to
        # 32 px (4-7), fine the rest, as in Karras et al. 2019, section 3.1, shifted by one octave for small faces.
        codes = [common + layer(hidden[min(number // 4, len(hidden) - 1)]) for number, layer in enumerate(self.offsets)]
        return self.w_avg + self.w_std * torch.stack(codes, dim=1)
