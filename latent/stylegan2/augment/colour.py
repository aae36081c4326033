"""Colour augmentations: one affine map of RGB per image.

Karras et al. 2020 (arXiv:2006.06676), appendix B.3. Colours are (r, g, b, 1) in [-1, 1]; luma is the part along
v = (1, 1, 1) / sqrt(3).
"""

import math
from collections.abc import Iterator

import torch

from latent.stylegan2.augment.draws import Draws
from latent.stylegan2.augment.settings import Transforms

GREY = torch.full((3,), 1 / math.sqrt(3), dtype=torch.float64)
ALONG = torch.outer(GREY, GREY)  # projection on the grey axis
ACROSS = torch.eye(3, dtype=torch.float64) - ALONG
# v x c as a product with c: the turn about the grey axis begins in this direction
TURN = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)


def _homogeneous(linear: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
    """(N, 3, 3) and (N,) added to every channel -> (N, 4, 4)."""
    matrix = torch.eye(4, dtype=torch.float64).repeat(len(linear), 1, 1)
    matrix[:, :3, :3] = linear
    if shift is not None:
        matrix[:, :3, 3] = shift[:, None]
    return matrix


def _changes(t: Transforms, draws: Draws) -> Iterator[torch.Tensor]:
    """(N, 4, 4) of each transform, in their order."""
    one, p = torch.eye(3, dtype=torch.float64), draws.p

    def column(values: torch.Tensor) -> torch.Tensor:
        return values[:, None, None]

    if t.brightness:
        shift = draws.gated(draws.normal() * t.brightness_std, 0, t.brightness * p)
        yield _homogeneous(one.expand(draws.count, 3, 3), shift)
    if t.contrast:
        factor = draws.gated(torch.exp2(draws.normal() * t.contrast_std), 1, t.contrast * p)
        yield _homogeneous(column(factor) * one)
    if t.lumaflip:
        flip = draws.gated(draws.choice(2), 0, t.lumaflip * p)
        yield _homogeneous(one - 2 * column(flip) * ALONG)
    if t.hue:
        angle = draws.gated(draws.either_way() * (math.pi * t.hue_max), 0, t.hue * p)
        # Rodrigues, written so that the angle 0 gives the identity to the last bit
        yield _homogeneous(one + column(angle.sin()) * TURN + column(angle.cos() - 1) * ACROSS)
    if t.saturation:
        factor = draws.gated(torch.exp2(draws.normal() * t.saturation_std), 1, t.saturation * p)
        yield _homogeneous(one + column(factor - 1) * ACROSS)


def draw_colour(t: Transforms, draws: Draws) -> torch.Tensor:
    """(N, 4, 4) float64 on the CPU: the result's colour from the source's."""
    matrix = torch.eye(4, dtype=torch.float64).expand(draws.count, 4, 4)
    for change in _changes(t, draws):
        matrix = change @ matrix
    return matrix


def apply_colour(images: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """Colours of (N, 3, R, R) by `matrix` (N, 4, 4); the same images where no colour changes."""
    if bool((matrix == torch.eye(4, dtype=matrix.dtype)).all()):
        return images
    rows = matrix.to(images)
    return torch.baddbmm(rows[:, :3, 3:], rows[:, :3, :3], images.flatten(2)).reshape(images.shape)
