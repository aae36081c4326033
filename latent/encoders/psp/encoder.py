"""From a face to W+ through a pyramid of features: pSp (Richardson et al. 2021) and e4e (Tov et al. 2021).

Both are one network. The trunk's grids of 64, 32 and 16 cells are joined from coarse to fine (a pyramid, Lin et al.
2017), and each layer of W+ has its own small head on one of them: the first three on the coarsest, the next four on
the middle one, the rest on the finest (pSp, section 3, figure 2). They differ in what the heads give: pSp the code of
each layer; e4e the first layer's code and each other layer's offset from it (e4e, section 4.2; training lets offsets
in one after the other, afterwards all are on).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from latent.encoders.psp.backbone import SQUEEZE, STAGES, stem, trunk

KINDS = ("psp", "e4e")
INPUT = 256  # pixels on a side that the trunk is given
GRIDS = (16, 32, 64)  # cells on a side of the coarse, middle and fine features
COARSE_LAYERS, MIDDLE_LAYERS = 3, 7  # layers of W+ below these numbers read the coarse, the middle grid
SLOPE = 0.01  # of the heads' leaky ReLU below 0


class ScaledLinear(nn.Module):
    """A linear layer whose stored weights are 1 / sqrt(inputs) smaller when used (Karras et al. 2018, section 4.1)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.weight.shape[1] ** -0.5, self.bias)


class Head(nn.Module):
    """Features (N, channels, grid, grid) -> one layer of W+ (N, w_dim), by convolutions that halve the grid to 1."""

    def __init__(self, channels: int, w_dim: int, grid: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number in range(grid.bit_length() - 1):
            layers += [nn.Conv2d(w_dim if number else channels, w_dim, 3, 2, 1), nn.LeakyReLU(SLOPE)]
        self.convs = nn.Sequential(*layers)
        self.linear = ScaledLinear(w_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


def layer_group(layer: int) -> int:
    """Which grid (0 coarse, 1 middle, 2 fine) gives layer `layer` of W+."""
    return 0 if layer < COARSE_LAYERS else 1 if layer < MIDDLE_LAYERS else 2


def _joined(coarse: Tensor, fine: Tensor) -> Tensor:
    """A finer step of the pyramid: `coarse` brought to the size of `fine`, and added."""
    return fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=True)


class StyleEncoder(nn.Module):
    """Images (N, 3, R, R) in [-1, 1] -> codes (N, num_ws, w_dim), mean code already added.

    kind: 'psp' or 'e4e'. resolution: R of the checkpoint, a power of two; other sizes than 256 px are brought there,
        larger ones by the mean over each pixel's area.
    width: channels of the first layer, a multiple of 16; 64 in the published weights.

    `latent_avg` (num_ws, w_dim) is the mean code that the heads' answers are offsets from, 0 where they are none.

    Raises ValueError for settings that cannot be built.
    """

    latent_avg: Tensor

    def __init__(self, kind: str, resolution: int, num_ws: int, w_dim: int = 512, width: int = 64) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"An encoder of this family is {' or '.join(KINDS)}, not {kind[:40]!r}.")
        if width < SQUEEZE or width % SQUEEZE:
            raise ValueError(f"The width of an encoder of this family must be a multiple of {SQUEEZE}, not {width}.")
        self.kind, self.resolution, self.num_ws, self.w_dim, self.width = kind, resolution, num_ws, w_dim, width
        self.register_buffer("latent_avg", torch.zeros(num_ws, w_dim))
        self.input_layer = stem(width)
        self.body = trunk(width)
        fine, middle, coarse = (multiple * width for multiple, _ in STAGES[1:])
        self.latlayer1 = nn.Conv2d(middle, coarse, 1)
        self.latlayer2 = nn.Conv2d(fine, coarse, 1)
        self.styles = nn.ModuleList(Head(coarse, w_dim, GRIDS[layer_group(layer)]) for layer in range(num_ws))

    def settings(self) -> dict[str, int | str]:
        """What a checkpoint's config.json keeps: `StyleEncoder(**settings)` builds the same network."""
        sizes = {"resolution": self.resolution, "num_ws": self.num_ws, "w_dim": self.w_dim, "width": self.width}
        return {"kind": self.kind, **sizes}

    def _pyramid(self, images: Tensor) -> list[Tensor]:
        """Features on the grids of 16, 32 and 64 cells, all with the channels of the coarsest."""
        ends: list[Tensor] = []  # of the stages
        last = [sum(count for _, count in STAGES[: number + 1]) for number in range(len(STAGES))]
        x = self.input_layer(images)
        for number, block in enumerate(self.body, start=1):
            x = block(x)
            if number in last:
                ends.append(x)
        _, fine, middle, coarse = ends
        middle = _joined(coarse, self.latlayer1(middle))
        return [coarse, middle, _joined(middle, self.latlayer2(fine))]

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-1] != self.resolution or images.shape[-2] != self.resolution:
            raise ValueError(
                f"The encoder was built for {self.resolution} px, the image has {images.shape[-2]}x{images.shape[-1]}."
            )
        if self.resolution > INPUT:
            images = F.adaptive_avg_pool2d(images, INPUT)
        elif self.resolution < INPUT:
            images = F.interpolate(images, size=(INPUT, INPUT), mode="bilinear", align_corners=False)
        grids = self._pyramid(images)
        codes = torch.stack([head(grids[layer_group(layer)]) for layer, head in enumerate(self.styles)], dim=1)
        if self.kind == "e4e":  # the first layer's code is the common one
            codes = torch.cat([codes[:, :1], codes[:, :1] + codes[:, 1:]], dim=1)
        return codes + self.latent_avg
