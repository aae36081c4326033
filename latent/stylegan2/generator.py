"""StyleGAN2 generator: mapping network and synthesis network, with NVIDIA's parameter names and shapes.

Karras et al. 2019 (arXiv:1912.04958), 2020 (arXiv:2006.06676). Architectures `skip` (an RGB image summed over
the resolutions), `resnet` and `orig`. Images leave as float32 (N, channels, R, R), about [-1, 1].
"""

import itertools
import math
from typing import Any

import torch
from torch import nn

from latent.stylegan2 import ops
from latent.stylegan2.layers import Conv2dLayer, FullyConnectedLayer, SynthesisLayer, ToRGBLayer

ARCHITECTURES = ("orig", "skip", "resnet")


def block_resolutions(img_resolution: int) -> list[int]:
    """4, 8, ..., img_resolution. Raises ValueError unless that is a power of two from 4."""
    if img_resolution < 4 or img_resolution & (img_resolution - 1):
        raise ValueError(f"img_resolution must be a power of two of at least 4, not {img_resolution}")
    return [2**k for k in range(2, int(math.log2(img_resolution)) + 1)]


class MappingNetwork(nn.Module):
    """z (N, z_dim), c (N, c_dim) -> w; broadcast to (N, num_ws, w_dim) where num_ws is given.

    In training every call moves `w_avg` towards the batch mean with weight 1 - w_avg_beta.
    """

    w_avg: torch.Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int = 8,
        embed_features: int | None = None,
        layer_features: int | None = None,
        activation: str = "lrelu",
        lr_multiplier: float = 0.01,
        w_avg_beta: float | None = 0.995,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, num_ws
        self.num_layers, self.w_avg_beta = num_layers, w_avg_beta
        embedded = 0 if c_dim == 0 else (w_dim if embed_features is None else embed_features)
        hidden = w_dim if layer_features is None else layer_features
        features = [z_dim + embedded] + [hidden] * (num_layers - 1) + [w_dim]
        if c_dim > 0:
            self.embed = FullyConnectedLayer(c_dim, embedded)
        for index, (before, after) in enumerate(itertools.pairwise(features)):
            setattr(self, f"fc{index}", FullyConnectedLayer(before, after, activation, lr_multiplier))
        if num_ws is not None and w_avg_beta is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: torch.Tensor | None,
        c: torch.Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_emas: bool | None = None,
    ) -> torch.Tensor:
        """psi pulls the first `truncation_cutoff` layers (all where None) towards w_avg.

        update_emas: whether this batch moves w_avg; None means in training mode only.
        """
        parts = []
        if self.z_dim > 0:
            if z is None or z.ndim != 2 or z.shape[1] != self.z_dim:
                raise ValueError(f"z must have the shape (N, {self.z_dim})")
            parts.append(ops.normalize_second_moment(z.float()))
        if self.c_dim > 0:
            if c is None or c.ndim != 2 or c.shape[1] != self.c_dim:
                raise ValueError(f"this network is conditional: c must have the shape (N, {self.c_dim})")
            parts.append(ops.normalize_second_moment(self.embed(c.float())))
        w = torch.cat(parts, dim=1)
        for index in range(self.num_layers):
            w = getattr(self, f"fc{index}")(w)
        if self.num_ws is None:
            return w
        if self.w_avg_beta is not None and (self.training if update_emas is None else update_emas):
            self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))
        ws = w.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            if self.w_avg_beta is None:
                raise ValueError("this mapping network keeps no w_avg, so it cannot truncate")
            cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
            head = self.w_avg.lerp(ws[:, :cutoff], truncation_psi)
            ws = torch.cat([head, ws[:, cutoff:]], dim=1)
        return ws


class SynthesisBlock(nn.Module):
    """All layers of one resolution: (x, image) of half the size -> (x, image)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        is_last: bool,
        architecture: str = "skip",
        conv_clamp: float | None = None,
        use_noise: bool = True,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("resample_filter", ops.resample_filter())
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, 2, conv_clamp, use_noise)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, 1, conv_clamp, use_noise)
        self.has_rgb = is_last or architecture == "skip"
        if self.has_rgb:
            self.torgb = ToRGBLayer(out_channels, img_channels, w_dim, conv_clamp)
        if in_channels != 0 and architecture == "resnet":
            self.skip = Conv2dLayer(in_channels, out_channels, kernel_size=1, bias=False, up=2)
        self.num_conv, self.num_torgb = 1 if in_channels == 0 else 2, int(self.has_rgb)

    def forward(
        self, x: torch.Tensor | None, image: torch.Tensor | None, ws: torch.Tensor, noise_mode: str
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """ws (N, num_conv + num_torgb, w_dim), one row per layer."""
        w = iter(ws.unbind(dim=1))
        if x is None:
            x = self.const.expand(ws.shape[0], -1, -1, -1).contiguous(memory_format=torch.channels_last)
            x = self.conv1(x, next(w), noise_mode)
        elif self.architecture == "resnet":
            root_half = math.sqrt(0.5)
            y = self.skip(x, gain=root_half)
            x = self.conv0(x, next(w), noise_mode)
            x = self.conv1(x, next(w), noise_mode, gain=root_half) + y
        else:
            x = self.conv0(x, next(w), noise_mode)
            x = self.conv1(x, next(w), noise_mode)
        if image is not None:
            image = ops.upsample2(image)
        if self.has_rgb:
            rgb = self.torgb(x, next(w))
            image = rgb if image is None else image + rgb
        return x, image


class SynthesisNetwork(nn.Module):
    """ws (N, num_ws, w_dim) -> image (N, img_channels, R, R).

    channel_base and channel_max give channels(r) = min(channel_base / r, channel_max). `num_fp16_res` is what
    NVIDIA's files carry; it is kept for the record, the computation here is float32.
    """

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        architecture: str = "skip",
        conv_clamp: float | None = None,
        use_noise: bool = True,
    ) -> None:
        super().__init__()
        self.w_dim, self.img_resolution, self.img_channels = w_dim, img_resolution, img_channels
        self.architecture = architecture
        self.block_resolutions = block_resolutions(img_resolution)
        self.num_ws = 0
        before = 0
        for resolution in self.block_resolutions:
            channels = min(channel_base // resolution, channel_max)
            is_last = resolution == img_resolution
            block = SynthesisBlock(
                before, channels, w_dim, resolution, img_channels, is_last, architecture, conv_clamp, use_noise
            )
            setattr(self, f"b{resolution}", block)
            self.num_ws += block.num_conv + (block.num_torgb if is_last else 0)
            before = channels

    def forward(self, ws: torch.Tensor, noise_mode: str | None = None, resolution: int | None = None) -> torch.Tensor:
        """noise_mode: 'const' (the stored maps), 'random', 'none'; None means random in training, else const.

        resolution: None for the picture; a smaller one of `block_resolutions` for the sum of the RGB layers up to that
        block, which only the skip architecture has.
        """
        if resolution is not None and (self.architecture != "skip" or resolution not in self.block_resolutions):
            raise ValueError(f"this network has no picture of {resolution} px")
        if ws.ndim != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"ws must have the shape (N, {self.num_ws}, {self.w_dim}), not {tuple(ws.shape)}")
        mode = noise_mode or ("random" if self.training else "const")
        x: torch.Tensor | None = None
        image: torch.Tensor | None = None
        first = 0
        for block_resolution in self.block_resolutions:
            block = getattr(self, f"b{block_resolution}")
            # A block's RGB layer shares its row of ws with the first convolution of the next block.
            x, image = block(x, image, ws[:, first : first + block.num_conv + block.num_torgb], mode)
            first += block.num_conv
            if block_resolution == resolution:
                break
        assert image is not None  # the last block has an RGB layer, and each of the skip architecture
        return image


class Generator(nn.Module):
    """z, c -> image. `mapping_kwargs` and `synthesis_kwargs` as in NVIDIA's weight files."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        mapping_kwargs: dict[str, Any] | None = None,
        synthesis_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.init_kwargs = {
            "z_dim": z_dim,
            "c_dim": c_dim,
            "w_dim": w_dim,
            "img_resolution": img_resolution,
            "img_channels": img_channels,
            "mapping_kwargs": dict(mapping_kwargs or {}),
            "synthesis_kwargs": dict(synthesis_kwargs or {}),
        }
        self.synthesis = SynthesisNetwork(w_dim, img_resolution, img_channels, **(synthesis_kwargs or {}))
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, c_dim, w_dim, self.num_ws, **(mapping_kwargs or {}))

    def forward(
        self, z: torch.Tensor, c: torch.Tensor | None = None, truncation_psi: float = 1.0, noise_mode: str | None = None
    ) -> torch.Tensor:
        return self.synthesis(self.mapping(z, c, truncation_psi), noise_mode=noise_mode)
