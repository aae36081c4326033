"""The `.pt` family: a table with the state dict `g_ema` (and `latent_avg`), as e4e, pSp and PTI use.

The same network as NVIDIA's under other names (Karras et al. 2019; architecture `skip`), with two differences in the
numbers: convolution kernels are kept without the factor 1/sqrt(fan-in) that is applied before demodulation, and noise
maps are numbered. Settings are not stored; they follow from the shapes.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from latent.errors import ImportRefused
from latent.importing.tensors import TensorRecord
from latent.stylegan2.building import shown
from latent.stylegan2.ops import resample_filter

MAPPING_RATE = 0.01  # learning-rate multiplier of the mapping network, the same in every published file


@dataclass(frozen=True)
class Convert:
    """How a tensor of the file becomes ours: `view` it otherwise, then scale a kernel by 1/sqrt(fan-in)."""

    view: Callable[[torch.Tensor], torch.Tensor]
    kernel: bool = False

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        value = self.view(tensor)
        return value / math.sqrt(math.prod(value.shape[1:])) if self.kernel else value

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result, without numbers. Raises ImportRefused where this does not apply."""
        try:
            return tuple(self.view(torch.empty(shape, device="meta")).shape)
        except (IndexError, RuntimeError):
            raise ImportRefused(f"The file has a tensor with the shape {shape} where StyleGAN2 has another.") from None


_plain = Convert(lambda tensor: tensor)
_first = Convert(lambda tensor: tensor.squeeze(0))  # drop the leading dimension of one
_kernel = Convert(lambda tensor: tensor.squeeze(0), kernel=True)  # (1, O, I, 3, 3) -> (O, I, 3, 3)
_scalar = Convert(lambda tensor: tensor.reshape(()))
_vector = Convert(lambda tensor: tensor.flatten())
_square = Convert(lambda tensor: tensor.squeeze(0).squeeze(0))

_LAYER: dict[str, tuple[str, Convert]] = {
    "conv.weight": ("weight", _kernel),
    "conv.modulation.weight": ("affine.weight", _plain),
    "conv.modulation.bias": ("affine.bias", _plain),
    "noise.weight": ("noise_strength", _scalar),
    "activate.bias": ("bias", _plain),
}
_RGB: dict[str, tuple[str, Convert]] = {
    "conv.weight": ("weight", _first),
    "conv.modulation.weight": ("affine.weight", _plain),
    "conv.modulation.bias": ("affine.bias", _plain),
    "bias": ("bias", _vector),
}


def _target(key: str) -> tuple[str, Convert] | None:
    """Our name of a tensor and its conversion; None for the constant filters. Raises KeyError for an unknown name."""
    if re.fullmatch(r"(convs|to_rgbs)\.\d{1,2}\.(conv\.blur|upsample)\.kernel", key):
        return None
    if key == "input.input":
        return "synthesis.b4.const", _first
    if match := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", key):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}", _plain
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", key):
        return f"{_layer(int(match[1]))}.noise_const", _square
    if match := re.fullmatch(r"(?:conv1|convs\.(\d{1,2}))\.(.+)", key):
        name, convert = _LAYER[match[2]]
        return f"{_layer(0 if match[1] is None else int(match[1]) + 1)}.{name}", convert
    if match := re.fullmatch(r"(?:to_rgb1|to_rgbs\.(\d{1,2}))\.(.+)", key):
        name, convert = _RGB[match[2]]
        return f"synthesis.b{4 if match[1] is None else 8 << int(match[1])}.torgb.{name}", convert
    raise KeyError(key)


def _layer(index: int) -> str:
    """Our name of the index-th convolution: 0 at 4 px, then two at each resolution, the first of which doubles it."""
    if index == 0:
        return "synthesis.b4.conv1"
    return f"synthesis.b{4 << ((index + 1) // 2)}.conv{(index + 1) % 2}"


def _settings(records: Mapping[str, TensorRecord]) -> dict[str, Any]:

    def shape(key: str, dimensions: int) -> tuple[int, ...]:
        if key not in records or len(records[key].shape) != dimensions:
            raise ImportRefused(f"The file's generator lacks the tensor {key} in the shape that StyleGAN2 has.")
        return records[key].shape

    w_dim, z_dim = shape("style.1.weight", 2)
    layers = sum(1 for key in records if re.fullmatch(r"style\.\d{1,2}\.weight", key))
    doublings = sum(1 for key in records if re.fullmatch(r"to_rgbs\.\d{1,2}\.bias", key))
    if not 1 <= doublings <= 9:
        raise ImportRefused("The file's generator has no resolution that StyleGAN2 has.")
    widths = {4: shape("conv1.conv.weight", 5)[1]}
    for k in range(doublings):
        widths[8 << k] = shape(f"convs.{2 * k}.conv.weight", 5)[1]
    widest = max(widths.values())
    narrowed = [width * resolution for resolution, width in widths.items() if width < widest]
    resolution = 4 << doublings
    return {
        "z_dim": z_dim,
        "c_dim": 0,
        "w_dim": w_dim,
        "img_resolution": resolution,
        "img_channels": 3,
        "mapping_kwargs": {"num_layers": layers, "lr_multiplier": MAPPING_RATE},
        "synthesis_kwargs": {
            "channel_base": max(narrowed, default=widest * resolution),
            "channel_max": widest,
            "architecture": "skip",
        },
    }


def read_generator(
    value: Mapping[Any, Any],
) -> tuple[dict[str, Any], dict[str, tuple[TensorRecord, Convert]], TensorRecord | None]:
    """Settings, our names -> (tensor in the file, conversion), and latent_avg or None.

    Raises ImportRefused with one sentence.
    """
    state = value.get("g_ema")
    if not isinstance(state, Mapping):
        raise ImportRefused("The file holds no generator: a .pt of StyleGAN2 has its state dict under the name g_ema.")
    records: dict[str, TensorRecord] = {}
    for key, record in state.items():
        if not isinstance(key, str) or not isinstance(record, TensorRecord):
            raise ImportRefused(f"The file's g_ema has something else than a tensor under {shown(key, 60)!r}.")
        records[key] = record
    settings = _settings(records)
    tensors: dict[str, tuple[TensorRecord, Convert]] = {}
    for key, record in records.items():
        try:
            target = _target(key)
        except KeyError:
            raise ImportRefused(f"The file's generator has a tensor that has no place here, {shown(key)}.") from None
        if target is None:
            with_gain = 4 * resample_filter()
            if record.shape != (4, 4) or not torch.allclose(record.read().float(), with_gain, atol=1e-5):
                raise ImportRefused(f"The file resamples by another filter than [1, 3, 3, 1] in {key}.")
        else:
            tensors[target[0]] = (record, target[1])
    average = value.get("latent_avg")
    return settings, tensors, average if isinstance(average, TensorRecord) else None
