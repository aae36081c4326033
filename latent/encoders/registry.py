"""The encoders of a checkpoint by `kind`: 'ours' (`latent.encoders.wplus`), 'psp' and 'e4e' (`latent.encoders.psp`).

All take images (N, 3, R, R) in [-1, 1] to codes (N, num_ws, w_dim), and know the `resolution`, `num_ws` and `w_dim` of
the generator that they were made for.
"""

from collections.abc import Mapping
from typing import TypeAlias

import torch

from latent.checkpoint_config import WPLUS_ENCODER
from latent.encoders.psp import KINDS, StyleEncoder
from latent.encoders.wplus import WPlusEncoder
from latent.stylegan2.building import fill, lay_out, shown

Encoder: TypeAlias = WPlusEncoder | StyleEncoder
LIMITS = {"resolution": 1 << 12, "num_ws": 64, "w_dim": 4096, "width": 256}


def encoder_settings(encoder: Encoder) -> dict[str, int | str]:
    return {"kind": WPLUS_ENCODER, **encoder.settings()}


def encoder_layout(settings: object) -> Encoder:
    """Encoder without numbers from settings of unknown origin. Raises ValueError with a sentence."""
    if not isinstance(settings, Mapping) or settings.keys() - {"kind"} != LIMITS.keys():
        raise ValueError("the encoder's settings are not kind, resolution, num_ws, w_dim and width")
    kind = settings.get("kind", WPLUS_ENCODER)
    if kind not in (WPLUS_ENCODER, *KINDS):
        raise ValueError(f"the encoder is of an unknown kind, {shown(kind, 40)!r}")
    sizes = {name: settings[name] for name in LIMITS}
    for name, highest in LIMITS.items():
        if type(sizes[name]) is not int or not 1 <= sizes[name] <= highest:
            raise ValueError(f"the encoder's settings give {name} the value {shown(sizes[name], 40)!r}")
    if kind == WPLUS_ENCODER:
        return lay_out(lambda: WPlusEncoder(**sizes))
    return lay_out(lambda: StyleEncoder(kind, **sizes))


def fill_encoder(network: Encoder, tensors: Mapping[str, torch.Tensor]) -> Encoder:
    """Give an encoder from `encoder_layout` its tensors; frozen and in evaluation mode, as `fill` does.

    Raises ValueError with a sentence where one does not fit.
    """
    # Through the 50 layers of an imported encoder the rounding of channels_last kernels grows past the agreement
    # asked of it, and they are no faster there.
    ours = isinstance(network, WPlusEncoder)
    layout = torch.channels_last if ours else torch.contiguous_format
    filled = fill(network, tensors, "the encoder", layout)
    for name, value in filled.state_dict().items():
        if name.endswith("running_var") and bool((value < 0).any()):
            raise ValueError(f"the encoder has negative variances in {name}")
    return filled
