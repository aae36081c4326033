"""The few operations StyleGAN2 is made of, in plain torch, for CPU and CUDA, differentiable twice.

Karras et al. 2019 (arXiv:1912.04958) and 2020 (arXiv:2006.06676). Resampling is by the binomial filter
[1, 3, 3, 1] in both directions, the only one those networks were published with; convolutions with a
stride keep their exact alignment. Everything is arranged for channels_last memory, in which depthwise
convolutions (the filter) cost a few per cent of the convolution beside them.
"""

import math

import torch
import torch.nn.functional as F

SLOPE = 0.2  # of the leaky ReLU everywhere
ROOT2 = math.sqrt(2.0)  # gain that keeps the variance behind that leaky ReLU
TAPS = (1.0, 3.0, 3.0, 1.0)


def resample_filter() -> torch.Tensor:
    """The (4, 4) filter as weight files hold it: outer product of TAPS, sum 1."""
    total = sum(TAPS) ** 2
    return torch.tensor([[a * b / total for b in TAPS] for a in TAPS])


def _depthwise(x: torch.Tensor, gain: float) -> torch.Tensor:
    """The filter times `gain` as weights of a depthwise convolution over x's channels, (C, 1, 4, 4)."""
    return (resample_filter() * gain).to(x).expand(x.shape[1], 1, 4, 4)


def blur(x: torch.Tensor, padding: int, gain: float = 1.0) -> torch.Tensor:
    """Filter (N, C, H, W) after zero padding; sides grow by 2 * padding - 3. The filter is symmetric, so
    correlation and convolution agree."""
    return F.conv2d(x, _depthwise(x, gain), padding=padding, groups=x.shape[1])


def downsample2(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, H/2, W/2), filtered."""
    return F.conv2d(x, _depthwise(x, 1.0), stride=2, padding=1, groups=x.shape[1])


def upsample2(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W): zeros between the pixels, then the filter with gain 4."""
    return F.conv_transpose2d(x, _depthwise(x, 4.0), stride=2, padding=1, groups=x.shape[1])


def upsample2_conv(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Double the size and convolve with a (O, I, 3, 3) kernel: a transposed convolution, then the filter.

    The kernel is applied as a true convolution (not torch's correlation), as weight files expect.
    """
    return blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), padding=1, gain=4.0)


def downsample2_conv(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Filter, then convolve with stride 2: (N, I, H, W) -> (N, O, H/2, W/2)."""
    if weight.shape[-1] == 1:  # a 1x1 kernel commutes with the filter: filter only the pixels that are kept
        return F.conv2d(downsample2(x), weight, bias)
    return F.conv2d(blur(x, padding=2), weight, bias, stride=2)


def normalize_second_moment(x: torch.Tensor) -> torch.Tensor:
    """Rows of (N, d) scaled to mean square 1 (the normalisation in front of the mapping network)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def leaky_relu_(x: torch.Tensor, clamp: float | None = None) -> torch.Tensor:
    """Leaky ReLU in place (its gain is folded into what came before it), then clamp to +-clamp."""
    x = F.leaky_relu(x, SLOPE, inplace=True)
    return x if clamp is None else x.clamp(-clamp, clamp)
