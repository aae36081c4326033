"""StyleGAN2 discriminator with NVIDIA's parameter names and shapes: `resnet`, `skip` and `orig`.

Karras et al. 2019 (arXiv:1912.04958), section 4.1; conditional by projection (Miyato & Koyama 2018).
"""

import math
from typing import Any

import torch
from torch import nn

from latent.stylegan2 import ops
from latent.stylegan2.generator import MappingNetwork, block_resolutions
from latent.stylegan2.layers import Conv2dLayer, FullyConnectedLayer


class MinibatchStdLayer(nn.Module):
    """Append `num_channels` maps with the mean standard deviation inside groups of the batch.

    Karras et al. 2017, section 3. (N, C, H, W) -> (N, C + num_channels, H, W); N must be a multiple of the
    group size, which is at most N.
    """

    def __init__(self, group_size: int | None, num_channels: int = 1) -> None:
        super().__init__()
        self.group_size, self.num_channels = group_size, num_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, channels, height, width = x.shape
        group = n if self.group_size is None else min(self.group_size, n)
        if n % group:
            raise ValueError(f"a batch of {n} cannot be divided into groups of {group}")
        kinds = self.num_channels
        y = x.reshape(group, n // group, kinds, channels // kinds, height, width)
        spread = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))  # [N/G, F]
        maps = spread[:, :, None, None].repeat(group, 1, height, width)  # [N, F, H, W]
        return torch.cat([x, maps], dim=1)


class DiscriminatorBlock(nn.Module):
    """One resolution: (x, image) -> (x, image) of half the size."""

    def __init__(
        self,
        in_channels: int,
        tmp_channels: int,
        out_channels: int,
        img_channels: int,
        architecture: str = "resnet",
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.register_buffer("resample_filter", ops.resample_filter())
        self.reads_image = in_channels == 0 or architecture == "skip"
        if self.reads_image:
            self.fromrgb = Conv2dLayer(img_channels, tmp_channels, 1, activation="lrelu", conv_clamp=conv_clamp)
        self.conv0 = Conv2dLayer(tmp_channels, tmp_channels, 3, activation="lrelu", conv_clamp=conv_clamp)
        self.conv1 = Conv2dLayer(tmp_channels, out_channels, 3, activation="lrelu", down=2, conv_clamp=conv_clamp)
        if architecture == "resnet":
            self.skip = Conv2dLayer(tmp_channels, out_channels, 1, bias=False, down=2)

    def forward(self, x: torch.Tensor | None, image: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self.reads_image:
            y = self.fromrgb(image)
            x = y if x is None else x + y
            image = ops.downsample2(image) if self.architecture == "skip" and image is not None else None
        if self.architecture == "resnet":
            root_half = math.sqrt(0.5)
            y = self.skip(x, gain=root_half)
            return self.conv1(self.conv0(x), gain=root_half) + y, image
        return self.conv1(self.conv0(x)), image


class DiscriminatorEpilogue(nn.Module):
    """4x4 features -> one logit, or cmap_dim features projected on the condition's embedding."""

    def __init__(
        self,
        in_channels: int,
        cmap_dim: int,
        resolution: int,
        img_channels: int,
        architecture: str = "resnet",
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.cmap_dim, self.architecture = cmap_dim, architecture
        if architecture == "skip":
            self.fromrgb = Conv2dLayer(img_channels, in_channels, 1, activation="lrelu")
        self.mbstd = MinibatchStdLayer(mbstd_group_size, mbstd_num_channels) if mbstd_num_channels > 0 else None
        extra = mbstd_num_channels
        self.conv = Conv2dLayer(in_channels + extra, in_channels, 3, activation="lrelu", conv_clamp=conv_clamp)
        self.fc = FullyConnectedLayer(in_channels * resolution**2, in_channels, activation="lrelu")
        self.out = FullyConnectedLayer(in_channels, 1 if cmap_dim == 0 else cmap_dim)

    def forward(self, x: torch.Tensor, image: torch.Tensor | None, cmap: torch.Tensor | None) -> torch.Tensor:
        if self.architecture == "skip":
            x = x + self.fromrgb(image)
        x = x.to(self.fc.weight.dtype)  # 4x4 pixels cost nothing, and a spread or a logit in half precision is noise
        if self.mbstd is not None:
            x = self.mbstd(x)
        x = self.out(self.fc(self.conv(x).to(self.fc.weight.dtype).flatten(1)))
        if cmap is not None:
            x = (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.cmap_dim)
        return x


class Discriminator(nn.Module):
    """image (N, img_channels, R, R) in [-1, 1], c (N, c_dim) -> logits (N, 1)."""

    def __init__(
        self,
        c_dim: int,
        img_resolution: int,
        img_channels: int,
        architecture: str = "resnet",
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
        cmap_dim: int | None = None,
        mapping_kwargs: dict[str, Any] | None = None,
        epilogue_kwargs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.c_dim, self.img_resolution = c_dim, img_resolution
        self.init_kwargs = {
            "c_dim": c_dim,
            "img_resolution": img_resolution,
            "img_channels": img_channels,
            "architecture": architecture,
            "channel_base": channel_base,
            "channel_max": channel_max,
            "num_fp16_res": num_fp16_res,
            "conv_clamp": conv_clamp,
            "cmap_dim": cmap_dim,
            "mapping_kwargs": dict(mapping_kwargs or {}),
            "epilogue_kwargs": dict(epilogue_kwargs or {}),
        }
        self.block_resolutions = block_resolutions(img_resolution)[:0:-1]
        channels = {r: min(channel_base // r, channel_max) for r in [*self.block_resolutions, 4]}
        before = 0
        for resolution in self.block_resolutions:
            inside, after = channels[resolution], channels[resolution // 2]
            block = DiscriminatorBlock(before, inside, after, img_channels, architecture, conv_clamp)
            setattr(self, f"b{resolution}", block)
            before = after
        width = 0 if c_dim == 0 else (channels[4] if cmap_dim is None else cmap_dim)
        if c_dim > 0:
            self.mapping = MappingNetwork(0, c_dim, width, num_ws=None, w_avg_beta=None, **(mapping_kwargs or {}))
        epilogue = {"conv_clamp": conv_clamp, **(epilogue_kwargs or {})}
        self.b4 = DiscriminatorEpilogue(channels[4], width, 4, img_channels, architecture, **epilogue)

    def forward(self, image: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        x, rest = None, image.contiguous(memory_format=torch.channels_last)
        for resolution in self.block_resolutions:
            x, rest = getattr(self, f"b{resolution}")(x, rest)
        cmap = self.mapping(None, c) if self.c_dim > 0 else None
        return self.b4(x, rest, cmap)
