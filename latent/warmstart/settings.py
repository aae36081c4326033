"""What a warm start is made of, and its networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from latent.encoder import WPlusEncoder
from latent.stylegan2 import Discriminator, Generator

PHASES = ("autoencoding", "mapping", "adversary")


@dataclass(frozen=True)
class Settings:
    """Written to the checkpoint's config.

    feature_from, critic_from: images seen before the feature loss and the critic join (there is no face to compare, and
    no texture to criticise, sooner). critic_share, adversary_share: length of their gradients at the picture, as a
    share of the reconstruction's. precision: 'fp32' or 'bf16' for generator, encoder and feature network.
    """

    resolution: int = 128
    channel_base: int = 3072
    channel_max: int = 256
    z_dim: int = 256
    encoder_width: int = 32
    batch: int = 8
    learning_rate: float = 4e-3
    encoder_rate: float = 1e-3
    feature_weight: float = 0.5
    feature_from: int = 8000
    readout_weight: float = 0.2
    critic_share: float = 0.35
    critic_from: int = 20000
    adversary_share: float = 0.35
    ema_kimg: float = 2.0
    precision: str = "fp32"
    seed: int = 0

    @property
    def r1_gamma(self) -> float:
        return 2e-4 * self.resolution**2 / self.batch  # the heuristic of StyleGAN2-ADA's `auto` configuration


def build_networks(s: Settings) -> tuple[Generator, Discriminator, WPlusEncoder]:
    """The three networks, freshly initialised from the seed, kernels in channels_last memory."""
    torch.manual_seed(s.seed)
    generator = Generator(
        z_dim=s.z_dim,
        c_dim=0,
        w_dim=512,
        img_resolution=s.resolution,
        img_channels=3,
        mapping_kwargs={"num_layers": 2, "lr_multiplier": 1.0},
        synthesis_kwargs={"channel_base": s.channel_base, "channel_max": s.channel_max},
    )
    discriminator = Discriminator(
        c_dim=0,
        img_resolution=s.resolution,
        img_channels=3,
        channel_base=s.channel_base,
        channel_max=s.channel_max,
        epilogue_kwargs={"mbstd_group_size": 4},
    )
    return generator, discriminator, WPlusEncoder(s.resolution, generator.num_ws, 512, s.encoder_width)
