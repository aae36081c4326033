"""A trained generator and its encoder, grown to twice the resolution: at first only the size changes.

The grown generator gives its old picture, doubled by the synthesis network's own filter, plus an RGB layer that starts
at zero (Karras et al. 2018 grow in this direction too; no fading is needed where the new layer starts at nothing). The
grown encoder gives a photo the code that the old one gives its area means.
"""

import copy
from typing import Any

import torch

from latent.encoders.wplus import TRUNK_GRID, WPlusEncoder
from latent.stylegan2 import Generator


def grow_generator(generator: Generator) -> Generator:
    """A generator of twice the size with the same channels at every old resolution. Raises ValueError for any
    architecture but `skip`, whose picture is a sum over resolutions."""
    if generator.synthesis.architecture != "skip":
        raise ValueError("only a generator of the skip architecture can be grown")
    settings: dict[str, Any] = copy.deepcopy(generator.init_kwargs)
    settings["img_resolution"] = generator.img_resolution * 2
    grown = Generator(**settings)
    state = grown.state_dict()
    grown.load_state_dict(state | generator.state_dict())
    block = getattr(grown.synthesis, f"b{grown.img_resolution}")
    with torch.no_grad():
        block.torgb.weight.zero_()
        block.torgb.bias.zero_()
    return grown


def grow_encoder(encoder: WPlusEncoder, num_ws: int) -> WPlusEncoder:
    """An encoder for twice the resolution and num_ws layers; new layers give what the last old one gives.

    Raises ValueError below TRUNK_GRID pixels, where a larger photo would be encoded on a finer grid.
    """
    if encoder.resolution < TRUNK_GRID:
        raise ValueError(f"an encoder can be grown from {TRUNK_GRID} px, not from {encoder.resolution}")
    grown = WPlusEncoder(encoder.resolution * 2, num_ws, encoder.w_dim, encoder.width)
    state = dict(encoder.state_dict())
    # Kernel (O, 3 before^2, k, k) of the stem for cells of before^2 pixels: each old pixel is the mean of a block now.
    before, ratio = encoder.unshuffle, grown.unshuffle // encoder.unshuffle
    kernel = state["stem.weight"].unflatten(1, (3, before, before))
    kernel = kernel.repeat_interleave(ratio, 2).repeat_interleave(ratio, 3) / ratio**2
    state["stem.weight"] = kernel.flatten(1, 3)
    for layer in range(encoder.num_ws, num_ws):
        for part in ("weight", "bias"):
            state[f"offsets.{layer}.{part}"] = state[f"offsets.{encoder.num_ws - 1}.{part}"]
    grown.load_state_dict(state)
    return grown
