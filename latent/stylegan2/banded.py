"""Products with banded matrices along one side of an image: resampling, its padding included, as one linear map.

On CPUs a 12-tap filter over single planes takes two to five times as long as a convolution as it does so, and the
product's adjoint is the product with the transpose, so first and second derivatives cost the same.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch

# Rows multiplied at a time, measured at 64 and 128 px: the smaller, the fewer zeros; but no more than so many blocks.
BLOCK, BLOCKS = 48, 16


def reflect(index: torch.Tensor, size: int) -> torch.Tensor:
    """Whole numbers outside 0 .. size - 1 folded back in at the first and last pixel, as often as it takes."""
    index = index.remainder(2 * size - 2)
    return torch.minimum(index, 2 * size - 2 - index)


@dataclass(frozen=True, eq=False)
class BandedMatrix:
    """A sparse (rows, columns) matrix as entries; those at one place add up. Cut into dense blocks of rows."""

    row: torch.Tensor  # [entries] int64, like the next two on the CPU
    column: torch.Tensor  # [entries] int64
    value: torch.Tensor  # [entries] float64
    shape: tuple[int, int]
    dtype: torch.dtype  # of the images, as the device
    device: torch.device

    @cached_property
    def transposed(self) -> "BandedMatrix":
        shape = (self.shape[1], self.shape[0])
        return BandedMatrix(self.column, self.row, self.value, shape, self.dtype, self.device)

    @cached_property
    def blocks(self) -> list[tuple[int, int, torch.Tensor]]:
        """(first column, last column + 1, block) of so many rows, from the top."""
        blocks = []
        step = max(BLOCK, math.ceil(self.shape[0] / BLOCKS))
        for top in range(0, self.shape[0], step):
            height = min(step, self.shape[0] - top)
            inside = (self.row >= top) & (self.row < top + height)
            row, column = self.row[inside] - top, self.column[inside]
            first, end = int(column.min()), int(column.max()) + 1
            block = torch.zeros(height, end - first, dtype=torch.float64)
            block.index_put_((row, column - first), self.value[inside], accumulate=True)
            blocks.append((first, end, block.to(self.device, self.dtype)))
        return blocks


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, matrix: BandedMatrix, axis: int) -> torch.Tensor:
        ctx.matrix, ctx.axis = matrix, axis
        planes = x.reshape(-1, *x.shape[-2:])
        if axis == -1:
            parts = [planes[..., first:end] @ block.t() for first, end, block in matrix.blocks]
        else:
            parts = [
                torch.bmm(block.expand(len(planes), -1, -1), planes[:, first:end])
                for first, end, block in matrix.blocks
            ]
        product = parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis)
        return product.reshape(*x.shape[:-2], *product.shape[-2:])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return multiply(gradients[0], ctx.matrix.transposed, ctx.axis), None, None


def multiply(x: torch.Tensor, matrix: BandedMatrix, axis: int) -> torch.Tensor:
    """Replace the axis -1 or -2 of (..., H, W), `columns` long, by its product with the matrix, `rows` long."""
    return cast(torch.Tensor, _Product.apply(x, matrix, axis))
