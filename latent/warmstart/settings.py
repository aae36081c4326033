"""What a warm start is made of, and its networks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from latent.encoder import WPlusEncoder
from latent.stylegan2 import Discriminator, Generator

PHASES = ("autoencoding", "adversary", "mapping", "discriminator")


@dataclass(frozen=True)
class Settings:
    """Written to the checkpoint's config.

    learning_rate, encoder_rate: of phase 1. feature_from: images seen before the feature loss joins (there is no face
    to compare sooner). adversary_rate, adversary_encoder_rate, critic_rate: of phase 2. pixel_weight, texture_weight,
    identity_weight: of pyramid L1, the critic's frozen features and the face features of reconstructions in phase 2,
    where the critic counts 1. free_share: of a batch of phase 2 that is free samples. discriminator_rate: of phase 4.
    precision: 'fp32' or 'bf16' for generator and encoder.
    """

    resolution: int = 128
    channel_base: int = 2048
    channel_max: int = 256
    z_dim: int = 256
    encoder_width: int = 24
    batch: int = 16
    learning_rate: float = 4e-3
    encoder_rate: float = 1e-3
    feature_weight: float = 0.5
    feature_from: int = 8000
    readout_weight: float = 0.2
    adversary_rate: float = 1.5e-3
    adversary_encoder_rate: float = 1e-3
    critic_rate: float = 1e-3
    pixel_weight: float = 3.0
    texture_weight: float = 2.0
    identity_weight: float = 6.0
    free_share: float = 0.25
    discriminator_rate: float = 2e-3
    ema_kimg: float = 5.0
    precision: str = "fp32"
    seed: int = 0

    @property
    def r1_gamma(self) -> float:
        return 2e-4 * self.resolution**2 / self.batch  # the heuristic of StyleGAN2-ADA's `auto` configuration


def build_networks(s: Settings) -> tuple[Generator, Discriminator, WPlusEncoder]:
    """The three networks, freshly initialised from the seed."""
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
