"""What a run by reconstructions is made of, and its networks."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch

from latent.encoders.wplus import MIN_RESOLUTION, WPlusEncoder
from latent.stylegan2 import Discriminator, Generator
from latent.training.inputs import require

AUTOENCODING, PROJECTED, MAPPING, DISCRIMINATOR = PHASES = ("autoencoding", "projected", "mapping", "discriminator")
TRAINED = (AUTOENCODING, PROJECTED, DISCRIMINATOR)  # phases that see images
PRECISIONS = ("fp32", "bf16")
MBSTD = 4  # images that the discriminator compares with each other


@dataclass(frozen=True)
class Settings:
    """Written to the checkpoint's config.

    learning_rate, encoder_rate: of phase 1. feature_from: images seen before the feature loss joins (there is no face
    to compare sooner). projected_rate, projected_encoder_rate, projected_discriminator_rate: of phase 2. pixel_weight,
    texture_weight, identity_weight: of pyramid L1, the projected discriminator's frozen features and the face features
    of reconstructions in phase 2, where the adversarial loss counts 1. free_share: of a batch of phase 2 that is free
    samples. spread: factor on the deviation of free codes and of the fitted mapping's (`latent.training.mapping_fit`).
    discriminator_rate: of phase 4. precision: 'fp32' or 'bf16' for generator and encoder.

    photometric: strength of what camera and processing do to the portraits of phases 1 and 2
    (`latent.training.reconstruction.photometric`), 0 for nothing.
    fine_from: pixels a side from which the generator's blocks learn at these rates; coarser ones and the encoder learn
    at coarse_rate times them, at 0 not at all. 0: all learn alike.
    renew_below: mean loss of the projected discriminator at which it has won and a fresh one takes its place, 0 for
    never. It is 2 where nothing is distinguished. Of the recorded runs (checkpoints/README.md) the one that ruined its
    pictures lay at 1.28 after 30,000 images and at 1.1 from 50,000 on, those that ended well never below 1.49.
    """

    resolution: int = 128
    channel_base: int = 2048
    channel_max: int = 256
    z_dim: int = 256
    w_dim: int = 512
    encoder_width: int = 24
    batch: int = 16
    learning_rate: float = 4e-3
    encoder_rate: float = 1e-3
    feature_weight: float = 0.5
    feature_from: int = 8000
    readout_weight: float = 0.2
    projected_rate: float = 1.5e-3
    projected_encoder_rate: float = 1e-3
    projected_discriminator_rate: float = 1e-3
    pixel_weight: float = 3.0
    texture_weight: float = 2.0
    identity_weight: float = 6.0
    free_share: float = 0.25
    spread: float = 1.2
    discriminator_rate: float = 2e-3
    photometric: float = 1.0
    fine_from: int = 0
    coarse_rate: float = 0.1
    renew_below: float = 1.3
    ema_kimg: float = 5.0
    precision: str = "fp32"
    seed: int = 0


NAMES = tuple(field.name for field in fields(Settings))


def check(s: Settings) -> None:
    """Raises FinetuneError naming the first flag whose value is not valid."""
    for name, value in asdict(s).items():
        require(not isinstance(value, float) or (math.isfinite(value) and value >= 0), name, "a number from 0", s)
    for name in ("channel_base", "channel_max", "z_dim", "w_dim"):
        require(getattr(s, name) >= 1, name, "a whole number from 1", s)
    power_of_two = s.resolution & (s.resolution - 1) == 0
    wanted = f"a power of two from {MIN_RESOLUTION}"
    require(power_of_two and s.resolution >= MIN_RESOLUTION, "resolution", wanted, s)
    require(s.encoder_width >= 8 and s.encoder_width % 8 == 0, "encoder_width", "a multiple of 8", s)
    require(s.batch >= MBSTD and s.batch % MBSTD == 0, "batch", f"a multiple of {MBSTD}", s)
    require(s.precision in PRECISIONS, "precision", " or ".join(PRECISIONS), s)
    require(0 <= s.free_share < 1, "free_share", "from 0 to below 1", s)
    require(s.fine_from == 0 or 8 <= s.fine_from <= s.resolution, "fine_from", "0, or from 8 to the resolution", s)
    require(s.fine_from & (s.fine_from - 1) == 0, "fine_from", "a power of two", s)
    require(0 <= s.seed < 2**63, "seed", "a whole number from 0", s)


def generator_kwargs(s: Settings, start: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Settings of the generator: those of a start checkpoint's with the run's size and channels, or new ones."""
    kwargs: dict[str, Any] = {"c_dim": 0, "img_channels": 3, "mapping_kwargs": {"num_layers": 2, "lr_multiplier": 1.0}}
    kwargs |= copy.deepcopy(dict(start or {}))
    channels = {"channel_base": s.channel_base, "channel_max": s.channel_max}
    synthesis = {**kwargs.get("synthesis_kwargs", {}), **channels}
    sizes = {"z_dim": s.z_dim, "w_dim": s.w_dim, "img_resolution": s.resolution}
    return kwargs | sizes | {"synthesis_kwargs": synthesis}


def build_networks(
    s: Settings, generator_settings: Mapping[str, Any] | None = None
) -> tuple[Generator, Discriminator, WPlusEncoder]:
    """The three networks, freshly initialised from the seed. generator_settings: of `generator_kwargs`."""
    torch.manual_seed(s.seed)
    generator = Generator(**(dict(generator_settings) if generator_settings else generator_kwargs(s)))
    discriminator = Discriminator(
        c_dim=0,
        img_resolution=s.resolution,
        img_channels=3,
        channel_base=s.channel_base,
        channel_max=s.channel_max,
        epilogue_kwargs={"mbstd_group_size": MBSTD},
    )
    return generator, discriminator, WPlusEncoder(s.resolution, generator.num_ws, s.w_dim, s.encoder_width)
