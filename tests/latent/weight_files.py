"""Weight files for tests: the golden pickles, and `.pt` files filled by the goldens' rule."""

import io
import json
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

GOLDENS = Path(__file__).parents[1] / "data" / "goldens"
PICKLES = ("plain32", "cond64", "resnet32", "orig16")


def rosinality_keys(resolution: int) -> dict[str, list[int]]:
    """Names and shapes of the layout at 32 or 1024 px."""
    return json.loads((GOLDENS / f"rosinality{resolution}_keys.json").read_text(encoding="utf-8"))


def rosinality_tensor(key: str, shape: list[int]) -> torch.Tensor:
    """The value that the golden data were made with: normal numbers seeded by the name, scaled by kind."""
    if "kernel" in key:
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        return torch.outer(taps, taps) / 16
    r = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if key.endswith("modulation.bias"):
        return 1 + 0.1 * r
    if key.startswith("style."):
        return 100 * r if key.endswith("weight") else r
    return 0.1 * r if key.endswith(("bias", "noise.weight")) else r


def rosinality_state(resolution: int = 32) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((key, rosinality_tensor(key, shape)) for key, shape in rosinality_keys(resolution).items())


def small_rosinality_state(w_dim: int = 16, width: int = 8) -> OrderedDict[str, torch.Tensor]:
    """An 8 px generator of the layout, a few kB, for files that are written again and again."""
    state: OrderedDict[str, torch.Tensor] = OrderedDict()
    for key, shape in rosinality_keys(32).items():
        if key.startswith(("convs.2", "convs.3", "convs.4", "convs.5", "to_rgbs.1", "to_rgbs.2")):
            continue
        if key in ("noises.noise_3", "noises.noise_4", "noises.noise_5", "noises.noise_6"):
            continue
        small = [{512: width, 64: w_dim}.get(size, size) for size in shape]
        state[key] = rosinality_tensor(key, small)
    return state


def pt_bytes(value: Any, legacy: bool = False) -> bytes:
    """`value` as torch writes it, in the zip format or the one before."""
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()
