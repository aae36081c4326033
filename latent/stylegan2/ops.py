"""The few operations StyleGAN2 is made of, in plain torch, for CPU and CUDA, differentiable twice.

Karras et al. 2019 (arXiv:1912.04958) and 2020 (arXiv:2006.06676). Resampling is by the binomial filter
[1, 3, 3, 1] in both directions, the only one those networks were published with; convolutions with a
stride keep their exact alignment. Everything is arranged for channels_last memory, in which depthwise
convolutions (the filter) cost a few per cent of the convolution.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, cast

import torch
import torch.nn.functional as F

SLOPE = 0.2  # of the leaky ReLU everywhere
ROOT2 = math.sqrt(2.0)  # gain that keeps the variance behind that leaky ReLU
TAPS = (1.0, 3.0, 3.0, 1.0)
PLANAR_FROM = 64  # pixels on a side, measured
_convolution_dtype: ContextVar[torch.dtype | None] = ContextVar("convolution_dtype", default=None)


@contextmanager
def convolutions_in(dtype: torch.dtype | None) -> Iterator[None]:
    """Inside, `conv2d` computes in `dtype` (None: as its input comes) and returns it; nothing else is lowered.

    torch's autocast would also lower what must stay exact here: style and demodulation products, the RGB sum, logits.
    """
    token = _convolution_dtype.set(dtype)
    try:
        yield
    finally:
        _convolution_dtype.reset(token)


def resample_filter() -> torch.Tensor:
    """The (4, 4) filter as weight files hold it: outer product of TAPS, sum 1."""
    total = sum(TAPS) ** 2
    return torch.tensor([[a * b / total for b in TAPS] for a in TAPS])


@lru_cache(maxsize=16)
def _filter(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The filter where it is used: a copy for every convolution would hold up a GPU's queue."""
    with torch.inference_mode(False):
        return resample_filter().to(device, dtype)


def _depthwise(x: torch.Tensor) -> torch.Tensor:
    """The filter as weights of a depthwise convolution over x's channels, (C, 1, 4, 4)."""
    return _filter(x.device, x.dtype).expand(x.shape[1], 1, 4, 4)


# The filter is symmetric, so each operation's adjoint is another of the three. Written out as functions of autograd
# because torch derives a grouped convolution a second time channel by channel: the gradient penalty of a 64 px
# discriminator takes about ten times as long that way.


class _Blur(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, padding: int) -> torch.Tensor:
        ctx.padding = padding
        return F.conv2d(x, _depthwise(x), padding=padding, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return blur(gradients[0], 3 - ctx.padding), None


class _Resample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, up: bool) -> torch.Tensor:
        ctx.up = up
        if up:
            return F.conv_transpose2d(x, _depthwise(x) * 4, stride=2, padding=1, groups=x.shape[1])
        return F.conv2d(x, _depthwise(x), stride=2, padding=1, groups=x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return downsample2(gradients[0]) * 4 if ctx.up else upsample2(gradients[0]) / 4, None


def blur(x: torch.Tensor, padding: int) -> torch.Tensor:
    """Filter (N, C, H, W) after zero padding (0 to 3); sides grow by 2 * padding - 3."""
    return cast(torch.Tensor, _Blur.apply(x, padding))


def downsample2(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, H/2, W/2), filtered; H and W even."""
    return cast(torch.Tensor, _Resample.apply(x, False))


def upsample2(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W): zeros between the pixels, then the filter with gain 4."""
    return cast(torch.Tensor, _Resample.apply(x, True))


class _PlanarWeightGradient(torch.autograd.Function):
    """A convolution whose weight gradient is computed on planar (NCHW) copies.

    On CPUs the channels_last kernel for that gradient takes two to four times as long as the planar one from about
    64 px upwards, while everything else is faster in channels_last; the two copies cost a tenth of what they save.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        stride: int,
        padding: int,
        transposed: bool,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = ([stride] * 2, [padding] * 2, [1, 1], transposed, [0, 0], 1)
        return torch.ops.aten.convolution(x, weight, bias, *ctx.geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        to_x = to_weight = to_bias = None
        derive = torch.ops.aten.convolution_backward
        if ctx.needs_input_grad[0]:
            to_x = derive(gradient, x, weight, None, *ctx.geometry, [True, False, False])[0]
        if ctx.needs_input_grad[1]:
            planar = (gradient.contiguous(), x.contiguous(), weight.contiguous())
            to_weight = derive(*planar, None, *ctx.geometry, [False, True, False])[1]
        if ctx.needs_input_grad[2]:
            to_bias = gradient.sum(dim=(0, 2, 3))
        return to_x, to_weight, to_bias, None, None, None


def conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    transposed: bool = False,
) -> torch.Tensor:
    """torch's conv2d (or conv_transpose2d), by the faster way to its weight gradient where one is needed."""
    dtype = _convolution_dtype.get()
    if dtype is not None:
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    large = x.shape[-2] * x.shape[-1] * (stride**2 if transposed else 1) >= PLANAR_FROM**2
    if large and x.device.type == "cpu" and weight.requires_grad and torch.is_grad_enabled() and weight.shape[-1] > 1:
        return cast(torch.Tensor, _PlanarWeightGradient.apply(x, weight, bias, stride, padding, transposed))
    if transposed:
        return F.conv_transpose2d(x, weight, bias, stride, padding)
    return F.conv2d(x, weight, bias, stride, padding)


def upsample2_conv(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Double the size and convolve with a kernel given as (I, O, 3, 3): a transposed convolution, then the filter.

    The kernel is applied as a true convolution (not torch's correlation), as weight files expect. The gain of 4 that
    belongs to the doubling is left to the caller, who scales the result anyway.
    """
    return blur(conv2d(x, weight, stride=2, transposed=True), padding=1)


def downsample2_conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Filter, then convolve with stride 2: (N, I, H, W) -> (N, O, H/2, W/2)."""
    if weight.shape[-1] == 1:  # a 1x1 kernel commutes with the filter: filter only the pixels that are kept
        return conv2d(downsample2(x), weight, bias)
    return conv2d(blur(x, padding=2), weight, bias, stride=2)


def normalize_second_moment(x: torch.Tensor) -> torch.Tensor:
    """Rows of (N, d) scaled to mean square 1 (the normalisation in front of the mapping network)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def leaky_relu_(x: torch.Tensor, clamp: float | None = None) -> torch.Tensor:
    """Leaky ReLU in place (its gain is folded into what came before it), then clamp to +-clamp."""
    x = F.leaky_relu(x, SLOPE, inplace=True)
    return x if clamp is None else x.clamp(-clamp, clamp)
