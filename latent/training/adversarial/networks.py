"""Generator and discriminator of a run: laid out, filled from a start checkpoint as far as it fits, partly frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from latent.checkpoint_config import can_fit_mapping
from latent.checkpoints import Checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import FinetuneError
from latent.images import to_tensor
from latent.stylegan2 import Discriminator, Generator
from latent.stylegan2.building import check_discriminator_kwargs, check_generator_kwargs
from latent.training.adversarial.settings import Settings
from latent.training.mapping_fit import fit_mapping

SCRATCH_DIM = 512  # of z and w
CODED_AT_ONCE = 64  # images
NEGATIVE = 0.01  # share of coordinates


@dataclass(frozen=True)
class Layout:
    """Settings of both networks, as config.json of a checkpoint holds them."""

    generator: dict[str, Any]
    discriminator: dict[str, Any]


def layout(settings: Settings, start: Checkpoint | None) -> Layout:
    """The start checkpoint's networks at the run's resolution and channels, or new ones.

    Raises FinetuneError for a conditional start and for settings that no network can have.
    """
    s = settings
    if start is None:
        g: dict[str, Any] = {"z_dim": SCRATCH_DIM, "c_dim": 0, "w_dim": SCRATCH_DIM, "img_channels": 3}
        g |= {"mapping_kwargs": {"num_layers": 2}, "synthesis_kwargs": {}}
        d: dict[str, Any] = {"c_dim": 0, "img_channels": 3}
    else:
        if start.generator.c_dim:
            raise FinetuneError(
                f"{start.name} is a conditional generator ({start.generator.c_dim} classes), which cannot be trained "
                "further here: start from an unconditional checkpoint."
            )
        g = dict(start.generator.init_kwargs)
        synthesis = g["synthesis_kwargs"]
        shared = {name: synthesis[name] for name in ("channel_base", "channel_max", "conv_clamp") if name in synthesis}
        d = {"c_dim": 0, "img_channels": 3, **shared}
        if start.discriminator is not None and start.discriminator.c_dim == 0:
            d = dict(start.discriminator.init_kwargs)
    channels = {"channel_base": s.channel_base, "channel_max": s.channel_max}
    channels = {name: value for name, value in channels.items() if value is not None}
    g["synthesis_kwargs"] = {**g["synthesis_kwargs"], **channels}
    epilogue = {**(d.get("epilogue_kwargs") or {})}
    epilogue |= {"mbstd_group_size": s.mbstd} if s.mbstd else {"mbstd_num_channels": 0}
    d |= channels | {"epilogue_kwargs": epilogue}
    g["img_resolution"] = d["img_resolution"] = s.resolution
    try:
        check_generator_kwargs(g)
        check_discriminator_kwargs(d)
    except ValueError as error:
        raise FinetuneError(f"No networks can be made with these settings: {error}.") from error
    return Layout(g, d)


def build(plan: Layout, seed: int) -> tuple[Generator, Discriminator]:
    """Both networks with fresh weights, which follow from the seed."""
    torch.manual_seed(seed)
    return Generator(**plan.generator), Discriminator(**plan.discriminator)


def copy_fitting(network: nn.Module, tensors: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Copy every tensor whose name and shape the network has; (names copied, names of the network left fresh)."""
    state = network.state_dict()
    fits = [name for name, tensor in state.items() if name in tensors and tensors[name].shape == tensor.shape]
    with torch.no_grad():
        for name in fits:
            state[name].copy_(tensors[name])
    return fits, [name for name in state if name not in fits]


def fill_from(start: Checkpoint, generator: Generator, discriminator: Discriminator) -> dict[str, Any]:
    """Copy what fits of a start checkpoint into both networks; what was copied and what was not, for the record.

    Raises FinetuneError where no layer of the generator fits.
    """
    copied, fresh = copy_fitting(generator, start.generator.state_dict())
    if not any(name.endswith("weight") for name in copied):
        raise FinetuneError(f"No layer of {start.name} fits these networks: leave --start out, or the channels.")
    report: dict[str, Any] = {"generator_copied": len(copied), "generator_fresh": fresh}
    source = {} if start.discriminator is None else start.discriminator.state_dict()
    copied, fresh = copy_fitting(discriminator, source)
    return report | {"discriminator_copied": len(copied), "discriminator_fresh": fresh}


def check_mapping_fit(start: Checkpoint | None) -> WPlusEncoder:
    """The start's encoder. Raises FinetuneError where its mapping network cannot be fitted to codes."""
    if start is None or not can_fit_mapping(start.config):
        raise FinetuneError(
            "--fit-mapping needs a start with a mapping network of two layers (the hidden one wide) and an encoder "
            "that was trained here, as the checkpoints have that come with this software."
        )
    assert isinstance(start.encoder, WPlusEncoder)
    return start.encoder


@torch.no_grad()
def fit_to_images(generator: Generator, encoder: WPlusEncoder, images: np.ndarray) -> None:
    """Give the mapping network mean and leading covariance of the codes that the start's encoder gives the new
    images (N, R, R, 3) uint8, R the encoder's: samples are like them before the first step.

    Raises FinetuneError where codes are negative, which the rectifier that ends a mapping network would distort.
    """
    parts = (images[first : first + CODED_AT_ONCE] for first in range(0, len(images), CODED_AT_ONCE))
    codes = torch.cat([encoder(to_tensor(np.asarray(part), "cpu")).mean(1) for part in parts])
    if float((codes < 0).float().mean()) > NEGATIVE:
        raise FinetuneError("--fit-mapping: this checkpoint's W lies around zero, so no mapping can be fitted in it.")
    fit_mapping(generator.mapping, codes)


def copy_sentences(name: str, report: Mapping[str, Any]) -> list[str]:
    """The report of `fill_from` in one line for each network."""
    lines = []
    for network in ("generator", "discriminator"):
        copied, fresh = report[f"{network}_copied"], report[f"{network}_fresh"]
        if not fresh:
            lines.append(f"{network}: all {copied} tensors from {name}")
        elif not copied:
            lines.append(f"{network}: {name} has none that fits, so it starts from random weights")
        else:
            shown = ", ".join(fresh[:3]) + (f" and {len(fresh) - 3} more" if len(fresh) > 3 else "")
            lines.append(f"{network}: {copied} tensors from {name}; random: {shown}")
    return lines


def discriminator_layers(discriminator: Discriminator) -> list[nn.Module]:
    """Its convolutions from the image to the 4x4 block, in the order in which Freeze-D counts them."""
    layers = []
    for resolution in discriminator.block_resolutions:
        block = getattr(discriminator, f"b{resolution}")
        layers += [getattr(block, name) for name in ("fromrgb", "conv0", "conv1", "skip") if hasattr(block, name)]
    return layers


def freeze(discriminator: Discriminator, count: int) -> list[nn.Parameter]:
    """Parameters that are trained when the first `count` convolutions are frozen (Mo et al. 2020, Freeze-D).

    Raises FinetuneError where there are fewer.
    """
    layers = discriminator_layers(discriminator)
    if count > len(layers):
        raise FinetuneError(f"--freeze-d {count} is more than the {len(layers)} layers that can be frozen.")
    frozen = {parameter for layer in layers[:count] for parameter in layer.parameters()}
    return [parameter for parameter in discriminator.parameters() if parameter not in frozen]
