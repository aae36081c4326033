"""A discriminator on frozen features, after Projected GANs (Sauer et al. 2021, arXiv:2111.01007, section 3).

It compares real and generated images at four scales of a network that was trained on other images, so a generator
learns from far fewer of them. The features are mixed across channels and scales by random kernels that are never
trained (sections 3.2, 3.3); one small head per scale distinguishes real from generated, with the hinge loss and
spectral normalisation. Its input is first moved, recoloured and cut into at random (Zhao et al. 2020,
arXiv:2006.10738), differentiably, so that few portraits are not memorised.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from latent.features.efficientnet import CHANNELS, frozen_features

WIDTH = 64  # channels after mixing
CALIBRATION = 64  # real images that set the scale of the features
SMALLEST = 3  # cells a side of a map that gets a head
GAIN = 4.0  # spectrally normalised slopes are at most one: without it the hinge would be out of reach


def augment(images: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """Colour, translation by up to an eighth and a cut-out square of half the side, drawn for each image (N, 3, R, R);
    differentiable in the images."""
    n, _, size, _ = images.shape
    device = images.device

    def draw(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng, device=device if rng is None else rng.device).to(device)

    x = images + (draw(n, 1, 1, 1) - 0.5) * 0.6
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (draw(n, 1, 1, 1) * 1.0 + 0.5) + grey
    middle = x.mean((1, 2, 3), keepdim=True)
    x = (x - middle) * (draw(n, 1, 1, 1) * 0.6 + 0.7) + middle
    shift = ((draw(n, 2) * 2 - 1) * (size // 8)).round().long()
    cells = torch.arange(size, device=device)
    rows, columns = (cells + shift[:, :1]).clamp(0, size - 1), (cells + shift[:, 1:]).clamp(0, size - 1)
    x = x.gather(2, rows[:, None, :, None].expand(n, 3, size, size))
    x = x.gather(3, columns[:, None, None, :].expand(n, 3, size, size))
    corner = (draw(n, 2) * size - size / 4).long()
    hit = [(cells >= corner[:, axis, None]) & (cells < corner[:, axis, None] + size // 2) for axis in (0, 1)]
    cut = hit[0][:, :, None] & hit[1][:, None, :] & (draw(n) < 0.3)[:, None, None]
    return x * ~cut[:, None]


def _kaiming(inputs: int, outputs: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    nn.init.kaiming_normal_(conv.weight)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv.requires_grad_(False)


class Projection(nn.Module):
    """Frozen features -> maps of WIDTH channels, the coarser scales mixed into each. Nothing in it is trained."""

    def __init__(self, scales: int) -> None:
        super().__init__()
        channels = CHANNELS[:scales]
        self.channels = nn.ModuleList(_kaiming(c, WIDTH, 1) for c in channels)
        self.scales = nn.ModuleList(_kaiming(WIDTH, WIDTH, 3) for _ in channels)
        for index, count in enumerate(channels):
            self.register_buffer(f"spread{index}", torch.ones(1, count, 1, 1))

    def spread(self, index: int) -> Tensor:
        """(1, c, 1, 1): standard deviation of each feature of scale `index` on real images."""
        return self.get_buffer(f"spread{index}")

    @torch.no_grad()
    def calibrate(self, features: list[Tensor]) -> None:
        """Bring the features of real images to a standard deviation of one, so that no scale drowns the others."""
        for index, feature in enumerate(features):
            self.spread(index).copy_(feature.std((0, 2, 3), keepdim=True).clamp_min(1e-3))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        out: list[Tensor] = []
        above: Tensor | None = None
        for index in reversed(range(len(self.channels))):
            x = self.channels[index](features[index] / self.spread(index))
            if above is not None:
                x = (x + F.interpolate(above, size=x.shape[-2:], mode="bilinear", align_corners=False)) / 2**0.5
            above = self.scales[index](x) / 2**0.5  # a Kaiming kernel without its rectifier doubles the variance
            out.insert(0, above)
        return out


class _Head(nn.Module):
    """Maps (N, WIDTH, r, r) -> logits; halved until 4 cells are left."""

    def __init__(self, size: int, width: int = 128) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = WIDTH
        while size > 6:
            layers += [spectral_norm(nn.Conv2d(inputs, width, 4, 2, 1)), nn.LeakyReLU(0.2)]
            size, inputs = size // 2, width
        layers += [spectral_norm(nn.Conv2d(inputs, width, 3, 1, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(width, 1, 3, 1, 1)))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) * GAIN


class ProjectedDiscriminator(nn.Module):
    """Images (N, 3, R, R) in [-1, 1], R at least 16 -> logits (N, 1, r, r) of each scale."""

    def __init__(self, resolution: int, device: torch.device | str) -> None:
        super().__init__()
        self.frozen = [frozen_features(device)]  # in a list: no part of the state that is saved
        sizes = [size for size in (resolution // 4 // 2**k for k in range(len(CHANNELS))) if size >= SMALLEST]
        self.projection = Projection(len(sizes))
        self.heads = nn.ModuleList(_Head(size) for size in sizes)

    def features(self, images: Tensor) -> list[Tensor]:
        return self.frozen[0](images)[: len(self.heads)]

    def logits(self, features: list[Tensor]) -> list[Tensor]:
        return [head(x) for head, x in zip(self.heads, self.projection(features), strict=True)]

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.logits(self.features(images))


def fresh_discriminator(images: Tensor, seed: int) -> ProjectedDiscriminator:
    """A new discriminator on the device of some real images (n, 3, R, R), its features brought to a standard deviation
    of one on them. Raises LatentError where the frozen features are not installed."""
    torch.manual_seed(seed)
    discriminator = ProjectedDiscriminator(images.shape[-1], images.device).to(images.device)
    discriminator.projection.calibrate(discriminator.features(images))
    return discriminator


def discriminator_loss(on_real: list[Tensor], on_fake: list[Tensor]) -> Tensor:
    """Hinge loss (Lim and Ye 2017), every scale alike."""
    parts = [F.relu(1 - r).mean() + F.relu(1 + f).mean() for r, f in zip(on_real, on_fake, strict=True)]
    return torch.stack(parts).mean()


def generator_loss(on_fake: list[Tensor]) -> Tensor:
    """(N,): the generator's loss for each image."""
    return -torch.stack([f.mean((1, 2, 3)) for f in on_fake]).mean(0)
