"""Adaptive discriminator augmentation: the pipe that both real and generated images pass before the discriminator.

Karras et al. 2020 (arXiv:2006.06676), section 2 and appendix B: geometry, colour, filtering in image space, noise and
cutout, in this order, each transform of each image tried with probability p times its weight. Linear in the image but
for the noise, and differentiable twice: the generator learns through it, and the gradient penalty is taken behind it.
"""

from functools import lru_cache

import torch
from torch import nn

from latent.stylegan2.augment.colour import apply_colour, draw_colour
from latent.stylegan2.augment.draws import Draws
from latent.stylegan2.augment.geometry import apply_affine, draw_affine
from latent.stylegan2.augment.settings import Transforms, preset
from latent.stylegan2.augment.wavelets import filter_bank
from latent.stylegan2.banded import reflect

SMALLEST = 16  # pixels on a side
BAND_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # share of a natural image's power in each band, spectrum 1 / f


@lru_cache(maxsize=4)
def _band_matrices(size: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(4, size, size): each band's filter along one side, the image reflected at its ends."""
    bank = filter_bank()
    row, tap = torch.meshgrid(torch.arange(size), torch.arange(bank.shape[1]), indexing="ij")
    source = reflect(row + tap - bank.shape[1] // 2, size)
    matrices = torch.zeros(len(bank), size, size, dtype=torch.float64)
    for matrix, taps in zip(matrices, bank, strict=True):
        matrix.index_put_((row, source), taps.expand(size, -1), accumulate=True)
    return matrices.to(device, dtype)


def draw_gains(t: Transforms, draws: Draws) -> torch.Tensor:
    """(N, 4) float64: gain of each band. A band's draw leaves the expected power of the image as it is."""
    power = torch.tensor(BAND_POWER, dtype=torch.float64)
    gains = torch.ones(draws.count, len(BAND_POWER), dtype=torch.float64)
    for band, weight in enumerate(t.imgfilter_bands):
        drawn = torch.ones_like(gains)
        drawn[:, band] = draws.gated(torch.exp2(draws.normal() * t.imgfilter_std), 1, t.imgfilter * weight * draws.p)
        changed = (drawn != 1).any(dim=1, keepdim=True)
        gains = torch.where(changed, gains * drawn / (power * drawn.square()).sum(dim=1, keepdim=True).sqrt(), gains)
    return gains


def apply_gains(images: torch.Tensor, gains: torch.Tensor) -> torch.Tensor:
    """Filter (N, C, R, R) along both sides by the bands' gains (N, 4); the same images where all are 1.

    As a product from both sides: one small matrix an image holds filter and reflection, for any gains and sizes.
    """
    if bool((gains == 1).all()):
        return images
    bands = _band_matrices(images.shape[-1], images.dtype, images.device)
    matrix = torch.einsum("nb,bij->nij", gains.to(images), bands)[:, None]  # [N, 1, R, R]
    return matrix @ images @ matrix.transpose(-1, -2)


def _cut(images: torch.Tensor, t: Transforms, draws: Draws) -> torch.Tensor:
    """A square of the image's mean grey, 0, about a random place."""
    size = images.shape[-1]
    half = draws.gated(torch.full((draws.count, 1), t.cutout_size / 2, dtype=torch.float64), 0, t.cutout * draws.p)
    centre = draws.uniform(2)[..., None]  # [N, 2, 1]
    distance = ((torch.arange(size, dtype=torch.float64) + 0.5) / size - centre).abs()
    outside = distance >= half[..., None]  # [N, 2, R]
    keep = outside[:, 0, None, :] | outside[:, 1, :, None]  # [N, R, R]
    return images * keep[:, None].to(images)


class AugmentPipe(nn.Module):
    """images (N, 3, R, R) in [-1, 1] -> the same shape, augmented with strength `p` (a buffer, 0 at first).

    `transforms` is a preset's name or weights. `generator` (on the CPU) gives every random number; its
    state is part of the module's state_dict, as p is, so that a run can be resumed draw for draw. Each worker of a run
    needs its own generator. Raises LatentError for an unknown preset.
    """

    p: torch.Tensor

    def __init__(self, transforms: Transforms | str = "bgc", generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.transforms = preset(transforms) if isinstance(transforms, str) else transforms
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.register_buffer("p", torch.zeros([]))

    def get_extra_state(self) -> torch.Tensor:
        return self.generator.get_state()

    def set_extra_state(self, state: torch.Tensor) -> None:
        self.generator.set_state(state.cpu())

    def forward(self, images: torch.Tensor, percentile: float | None = None) -> torch.Tensor:
        """Augment. A `percentile` in (0, 1) takes every drawn value there instead, see Draws; noise stays random.

        Raises ValueError for images of another shape.
        """
        n, channels, height, width = images.shape
        if channels != 3 or height != width or height < SMALLEST or height & (height - 1):
            raise ValueError(f"images are (N, 3, R, R) with R a power of two from {SMALLEST}, not {(*images.shape,)}")
        p = float(self.p)
        if p <= 0 or n == 0:
            return images
        t, draws = self.transforms, Draws(n, p, self.generator, percentile)
        images = apply_affine(images, draw_affine(t, draws, height))
        images = apply_colour(images, draw_colour(t, draws))
        if t.imgfilter:
            images = apply_gains(images, draw_gains(t, draws))
        if t.noise:
            spread = draws.gated(draws.half_normal() * t.noise_std, 0, t.noise * p).to(images)
            noise = torch.randn(images.shape, generator=self.generator).to(images)
            images = images + noise * spread[:, None, None, None]
        return _cut(images, t, draws) if t.cutout else images
