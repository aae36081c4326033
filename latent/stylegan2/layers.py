"""Layers shared by generator and discriminator. Parameter names are those of NVIDIA's weight files.

Equalised learning rate (Karras et al. 2017, 4.1): parameters are stored at unit variance and scaled at run time.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

from latent.stylegan2 import ops

NOISE_MODES = ("const", "random", "none")


def kernel_parameter(*shape: int) -> nn.Parameter:
    """Unit-variance kernel (O, I, k, k) in channels_last memory, so that no convolution reorders it."""
    return nn.Parameter(torch.randn(shape).contiguous(memory_format=torch.channels_last))


class FullyConnectedLayer(nn.Module):
    """(N, i) -> (N, o), then linear or leaky ReLU with gain sqrt 2.

    Parameters: weight (o, i), bias (o,); both are multiplied by `lr_multiplier` at run time.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features).normal_(std=1 / lr_multiplier))
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.activation = activation
        gain = ops.ROOT2 if activation == "lrelu" else 1.0
        self.weight_gain = gain * lr_multiplier / math.sqrt(in_features)
        self.bias_gain = gain * lr_multiplier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bias = self.bias if self.bias_gain == 1.0 else self.bias * self.bias_gain
        y = torch.addmm(bias, x, self.weight.t(), alpha=self.weight_gain)
        return ops.leaky_relu_(y) if self.activation == "lrelu" else y


class Conv2dLayer(nn.Module):
    """Convolution without style: (N, i, H, W) -> (N, o, H', W'), H' = H, 2H (up=2) or H/2 (down=2).

    Used by the discriminator and by the generator's `resnet` branch. `gain` scales the output.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.up, self.down, self.conv_clamp = activation, up, down, conv_clamp
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.weight = kernel_parameter(out_channels, in_channels, kernel_size, kernel_size)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", ops.resample_filter())

    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        act_gain = gain * (ops.ROOT2 if self.activation == "lrelu" else 1.0)
        weight = self.weight * (self.weight_gain * act_gain)
        bias = self.bias if self.bias is None or act_gain == 1.0 else self.bias * act_gain
        if self.up == 2:  # only ever a 1x1 kernel here, which commutes with the filter
            x = ops.upsample2(ops.conv2d(x, weight, bias))
        elif self.down == 2:
            x = ops.downsample2_conv(x, weight, bias)
        else:
            x = ops.conv2d(x, weight, bias, padding=self.weight.shape[-1] // 2)
        if self.activation == "lrelu":
            return ops.leaky_relu_(x, clamp)
        return x if clamp is None else x.clamp(-clamp, clamp)


class _Frozen:
    """A tensor that follows from a weight, cached while that weight is frozen and unchanged."""

    def __init__(self, derive: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.derive = derive
        self.cached: tuple[tuple[int, int, torch.device], torch.Tensor] | None = None

    def __call__(self, weight: torch.Tensor) -> torch.Tensor:
        if (weight.requires_grad and torch.is_grad_enabled()) or weight.is_inference():
            return self.derive(weight)
        key = (weight.data_ptr(), weight._version, weight.device)
        cached = self.cached  # read once: other threads may use the same network
        if cached is None or cached[0] != key:
            with torch.no_grad():
                self.cached = cached = (key, self.derive(weight))
        return cached[1]


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution with demodulation, noise, bias, leaky ReLU; up=2 doubles the size.

    Karras et al. 2019, section 2.2. Style s scales the input channels of the kernel, and each output channel
    is divided by the norm of its scaled kernel. Both commute with the convolution:
    conv(x, w * s) / |w * s| = conv(x * s, w) / |w * s|, so one plain convolution serves the whole batch, and
    the norms come from one small product: |w * s|^2 = s^2 @ (sum over pixels of w^2).
    """

    noise_const: torch.Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        up: int = 1,
        conv_clamp: float | None = None,
        use_noise: bool = True,
    ) -> None:
        super().__init__()
        self.resolution, self.up, self.conv_clamp, self.use_noise = resolution, up, conv_clamp, use_noise
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = kernel_parameter(out_channels, in_channels, 3, 3)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", ops.resample_filter())
        if use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros([]))
        # (O, I, k, k) -> (O, I), summed over the kernel's pixels; -> (I, O, k, k), as transposed convolutions read it.
        self._squared = _Frozen(lambda weight: weight.square().sum(dim=(2, 3)))
        self._swapped = _Frozen(lambda weight: weight.transpose(0, 1).contiguous(memory_format=torch.channels_last))

    def _noise(self, n: int, mode: str, gain: float) -> torch.Tensor | None:
        """The noise to add, (N or 1, 1, R, R), or None where it would be zero."""
        if mode not in NOISE_MODES:
            raise ValueError(f"noise_mode must be one of {NOISE_MODES}, not {mode!r}")
        if not self.use_noise or mode == "none":
            return None
        strength = self.noise_strength
        trained = strength.requires_grad and torch.is_grad_enabled()
        if not trained and strength.device.type == "cpu" and strength.item() == 0:
            return None  # asked on the CPU only: on CUDA the question would stall the queue
        size = (self.resolution, self.resolution)
        if mode == "random":
            return torch.randn(n, 1, *size, device=strength.device) * (strength * gain)
        return self.noise_const.view(1, 1, *size) * (strength * gain)

    def forward(self, x: torch.Tensor, w: torch.Tensor, noise_mode: str, gain: float = 1.0) -> torch.Tensor:
        """x (N, i, H, W), w (N, w_dim) -> (N, o, R, R), scaled by `gain`."""
        act_gain = ops.ROOT2 * gain
        styles = self.affine(w)  # [N, i]
        norms = torch.addmm(styles.new_full((), 1e-8), styles.square(), self._squared(self.weight).t())
        scale = (norms.rsqrt() * (act_gain * self.up**2))[:, :, None, None]  # [N, o, 1, 1]
        x = x * styles[:, :, None, None]
        x = ops.upsample2_conv(x, self._swapped(self.weight)) if self.up == 2 else ops.conv2d(x, self.weight, padding=1)
        bias = (self.bias * act_gain)[:, None, None]
        noise = self._noise(x.shape[0], noise_mode, act_gain)
        x = torch.addcmul(bias, x, scale) if noise is None else torch.addcmul(noise, x, scale).add_(bias)
        return ops.leaky_relu_(x, None if self.conv_clamp is None else self.conv_clamp * gain)


class ToRGBLayer(nn.Module):
    """Modulated 1x1 convolution to the image, without demodulation: (N, i, R, R) -> (N, channels, R, R)."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, conv_clamp: float | None = None) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnectedLayer(w_dim, in_channels, bias_init=1)
        self.weight = kernel_parameter(out_channels, in_channels, 1, 1)
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        n, channels, height, width = x.shape
        styles = self.affine(w) * self.weight_gain  # [N, i]
        # Three rows per sample: scaling them is cheaper than scaling the activations, so this one is per sample.
        kernels = self.weight.flatten(1) * styles[:, None, :]  # [N, 3, i]
        pixels = x.permute(0, 2, 3, 1).reshape(n, height * width, channels)  # a view in channels_last memory
        # In this order of factors the gradient of the kernels is four times as fast as in the other.
        image = torch.baddbmm(self.bias[:, None], kernels, pixels.transpose(1, 2))  # [N, 3, HW]
        image = image.reshape(n, -1, height, width)
        return image if self.conv_clamp is None else image.clamp(-self.conv_clamp, self.conv_clamp)
