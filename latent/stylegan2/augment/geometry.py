"""Geometric augmentations: one affine map per image, applied in one resampling without aliasing.

Karras et al. 2020 (arXiv:2006.06676), appendix B.2. Coordinates are in pixels from the image's centre, x right, y down.
Matrices lead from places in the result to places in the source, so a transform that is applied later is multiplied
from the right, inverted.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, cast

import torch

from latent.stylegan2.augment.draws import Draws
from latent.stylegan2.augment.settings import Transforms
from latent.stylegan2.augment.wavelets import SYM6
from latent.stylegan2.banded import BandedMatrix, multiply, reflect

HALF = len(SYM6) // 2  # pixels that one value at double resolution is made of
BORDER = 2 * HALF - 2  # values at double resolution that the reduction takes in addition to the two of each pixel
LAG = 0.25  # pixels that a doubled value lies behind its place in the row: sym6 is centred half a tap before its middle
BILINEAR, REFLECTION = 0, 2  # as torch numbers them


def _matrix(rows: list[list[torch.Tensor | float]], count: int) -> torch.Tensor:
    """(count, n, n) float64 from entries that are numbers or (count,)."""
    entries = [[torch.as_tensor(entry, dtype=torch.float64).expand(count) for entry in row] for row in rows]
    return torch.stack([torch.stack(row, dim=-1) for row in entries], dim=-2)


def _scaling(x: torch.Tensor | float, y: torch.Tensor | float, count: int) -> torch.Tensor:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]], count)


def _rotation(angle: torch.Tensor) -> torch.Tensor:
    sin, cos = angle.sin(), angle.cos()
    return _matrix([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], len(angle))


def _translation(offset: torch.Tensor) -> torch.Tensor:
    return _matrix([[1, 0, offset[:, 0]], [0, 1, offset[:, 1]], [0, 0, 1]], len(offset))


def _blits(t: Transforms, draws: Draws, size: int) -> Iterator[torch.Tensor]:
    """Inverses of the transforms that move whole pixels, in their order."""
    n, p = draws.count, draws.p
    if t.xflip:
        yield _scaling(1 - 2 * draws.gated(draws.choice(2), 0, t.xflip * p), 1, n)
    if t.rotate90:
        yield _rotation(draws.gated(draws.choice(4), 0, t.rotate90 * p) * (math.pi / 2))
    if t.xint:
        share = draws.gated(draws.either_way(2) * t.xint_max, 0, t.xint * p)
        yield _translation(-(share * size).round())


def _warps(t: Transforms, draws: Draws, size: int) -> Iterator[torch.Tensor]:
    """Inverses of the other transforms, in their order."""
    n, p = draws.count, draws.p
    turn = 1 - math.sqrt(1 - min(t.rotate * p, 1))  # two chances, before and after aniso: t.rotate * p together
    if t.scale:
        factor = draws.gated(torch.exp2(draws.normal() * t.scale_std), 1, t.scale * p)
        yield _scaling(1 / factor, 1 / factor, n)
    if t.rotate:
        yield _rotation(draws.gated(draws.either_way() * (math.pi * t.rotate_max), 0, turn))
    if t.aniso:
        factor = draws.gated(torch.exp2(draws.normal() * t.aniso_std), 1, t.aniso * p)
        yield _scaling(1 / factor, factor, n)
    if t.rotate and draws.percentile is None:  # the reference values have the first turn alone
        yield _rotation(draws.gated(draws.either_way() * (math.pi * t.rotate_max), 0, turn))
    if t.xfrac:
        share = draws.gated(draws.normal(2) * t.xfrac_std, 0, t.xfrac * p)
        yield _translation(-share * size)


def draw_affine(t: Transforms, draws: Draws, size: int) -> torch.Tensor:
    """(N, 3, 3) float64 on the CPU: where in the source each place of the result lies."""
    inverse = torch.eye(3, dtype=torch.float64).expand(draws.count, 3, 3)
    for transform in (*_blits(t, draws, size), *_warps(t, draws, size)):
        inverse = inverse @ transform
    return inverse


@lru_cache(maxsize=64)
def doubling(size: int, margin: int, dtype: torch.dtype, device: torch.device) -> BandedMatrix:
    """From `size` pixels to double resolution, reflected by `margin` pixels on both sides, less what the filter eats.

    Values 2j and 2j + 1 come from the window of HALF pixels that begins at pixel j - margin.
    """
    pairs = size + 2 * margin - HALF + 1
    pair, tap, odd = torch.meshgrid(torch.arange(pairs), torch.arange(HALF), torch.arange(2), indexing="ij")
    value = math.sqrt(2) * torch.tensor(SYM6, dtype=torch.float64)[(2 * (HALF - 1 - tap) + odd).flatten()]
    source = reflect((pair + tap - margin).flatten(), size)
    return BandedMatrix((2 * pair + odd).flatten(), source, value, (2 * pairs, size), dtype, device)


@lru_cache(maxsize=8)
def _halving(size: int, dtype: torch.dtype, device: torch.device) -> BandedMatrix:
    """From 2 * size + BORDER values at double resolution to `size` pixels."""
    pixel, tap = torch.meshgrid(torch.arange(size), torch.arange(len(SYM6)), indexing="ij")
    value = math.sqrt(0.5) * torch.tensor(SYM6, dtype=torch.float64)[tap.flatten()]
    shape = (size, 2 * size + BORDER)
    return BandedMatrix(pixel.flatten(), (2 * pixel + tap).flatten(), value, shape, dtype, device)


class _Sample(torch.autograd.Function):
    """Bilinear sampling, linear in the image; torch's own has no second derivative."""

    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return torch.ops.aten.grid_sampler_2d(image, grid, BILINEAR, REFLECTION, False)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (grid,) = ctx.saved_tensors
        return cast(torch.Tensor, _SampleAdjoint.apply(gradients[0], grid, ctx.shape)), None


class _SampleAdjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: torch.Tensor, grid: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        ctx.save_for_backward(grid)
        image = gradient.new_empty(1).expand(shape)  # only its shape is read where the grid needs no gradient
        derive = torch.ops.aten.grid_sampler_2d_backward
        return derive(gradient, image, grid, BILINEAR, REFLECTION, False, [True, False])[0]

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return cast(torch.Tensor, _Sample.apply(gradients[0], grid)), None, None


def margins_of(inverse: torch.Tensor, size: int) -> tuple[int, int]:
    """Pixels to reflect at the sides (x, y), so that everything the results show is there.

    No more than about a size: what lies farther out is reflected again at double resolution. In steps of a sixteenth
    of the size, so that few matrices have to be made.
    """
    reach = (size + HALF - 1.5) / 2 + LAG  # from the centre to the last value that the reduction reads
    corner = inverse[:, :2, :2].abs().sum(dim=2) * reach + inverse[:, :2, 2].abs()  # [N, 2]
    step = max(size // 16, 1)
    wanted = corner.amax(dim=0) + LAG - size / 2 + (HALF - 0.5) / 2
    x, y = (min(step * math.ceil(side / step), size + HALF) for side in wanted.clamp(min=0).tolist())
    return x, y


def _grid(inverse: torch.Tensor, size: int, doubled: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
    """(N, S, S, 2): for each value at double resolution of the result its place in the doubled source (x, y)."""
    side = 2 * size + BORDER
    steps = (torch.arange(side, device=like.device, dtype=like.dtype) - (side - 1) / 2) / 2 + LAG
    scale = torch.tensor([4 / doubled[0], 4 / doubled[1]], dtype=torch.float64)
    lagging = inverse[:, :2] - torch.tensor([0, 0, LAG], dtype=torch.float64)
    m = (lagging * scale[:, None]).to(like)[:, None, None]  # [N, 1, 1, 2, 3]
    down = m[..., 1] * steps[:, None, None] + m[..., 2]  # [N, S, 1, 2]
    return m[..., 0] * steps[:, None] + down


def apply_affine(images: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """Resample (N, C, R, R) by `inverse` (N, 3, 3), float64 on the CPU; images whose map is the identity stay as
    they are.

    Reflect, double with sym6, sample bilinearly, halve with sym6 (a band-limited signal before and after).
    """
    size = images.shape[-1]
    moved = (inverse != torch.eye(3, dtype=inverse.dtype)).flatten(1).any(dim=1).nonzero()[:, 0]
    if not len(moved):
        return images
    rows = moved.to(images.device)
    x = images if len(moved) == len(images) else images.index_select(0, rows)
    margins = margins_of(inverse[moved], size)
    for axis, margin in zip((-1, -2), margins, strict=True):
        x = multiply(x, doubling(size, margin, images.dtype, images.device), axis)
    grid = _grid(inverse[moved], size, (x.shape[-1], x.shape[-2]), images)
    x = cast(torch.Tensor, _Sample.apply(x, grid))
    for axis in (-2, -1):
        x = multiply(x, _halving(size, images.dtype, images.device), axis)
    return x if len(moved) == len(images) else images.index_copy(0, rows, x)
