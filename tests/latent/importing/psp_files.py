"""e4e and pSp files for tests, filled by the goldens' rule: whole networks by name, and small ones of a few MB."""

import functools
import json
import math
import zlib
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from latent.encoders.registry import encoder_layout
from latent.importing.tensors import Storage, TensorRecord
from tests.latent.importing.weight_files import GOLDENS, pt_bytes, small_rosinality_state

TYPES = {"psp": "GradualStyleEncoder", "e4e": "Encoder4Editing"}


def e4e1024_keys() -> dict[str, list[int]]:
    """Names and shapes of the published 1024 px encoders."""
    return json.loads((GOLDENS / "e4e1024_encoder_keys.json").read_text(encoding="utf-8"))


def golden_keys(num_ws: int) -> dict[str, list[int]]:
    """The same with fewer heads, as for a smaller generator."""
    keys = e4e1024_keys()
    return {key: shape for key, shape in keys.items() if not key.startswith("styles.") or head(key) < num_ws}


def head(key: str) -> int:
    return int(key.split(".")[1])


def encoder_tensor(key: str, shape: Sequence[int], norms: Mapping[str, Any]) -> torch.Tensor:
    """A weight drawn by its name; `norms` holds the names of the whole network, which tell the weights of a
    normalisation from those of a PReLU."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    return scaled(
        key, torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(key.encode()))), norms
    )


def scaled(key: str, r: torch.Tensor, norms: Mapping[str, Any]) -> torch.Tensor:
    """`r`, of mean 0 and variance 1, as a weight of this name."""
    if key.endswith("running_var"):
        return 1 + 0.1 * r.abs()
    if key.endswith("running_mean") or key.endswith("bias"):
        return 0.1 * r
    if r.ndim >= 2:
        return r if "linear" in key else r * math.sqrt(2 / math.prod(r.shape[1:]))
    return 1 + 0.1 * r if key.replace("weight", "running_var") in norms else 0.25 + 0.025 * r


def golden_tensor(key: str, shape: Sequence[int], norms: Mapping[str, Any]) -> torch.Tensor:
    """A weight of the golden data: integers scaled in double precision, so the same float32 on every processor.

    As `encoder_tensor`, but a block adds a fifth of what it would add there. Otherwise activations grow a thousandfold
    over the 24 blocks and the gates of squeeze and excitation, sigmoids of several hundred, become steps: in the last
    blocks they turn a rounding of 1e-6 into 1e-3.
    """
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    numbers = np.random.RandomState(zlib.crc32(key.encode())).randint(-1024, 1025, tuple(shape))
    r = torch.from_numpy(numbers * (math.sqrt(3) / 1024))  # mean 0, variance 1
    value = scaled(key, r, norms)
    return (value * 0.2 if key.endswith("res_layer.4.weight") else value).float()


def golden_input() -> torch.Tensor:
    """The picture of the golden data, (1, 3, 256, 256) in [-1, 1]."""
    return torch.from_numpy(np.random.RandomState(13).rand(1, 3, 256, 256).astype(np.float32) * 2 - 1)


def record(tensor: torch.Tensor) -> TensorRecord:
    """A tensor as the importer's reader gives it, without a file around it."""
    data = memoryview(tensor.contiguous().numpy()).cast("B") if tensor.ndim else memoryview(bytes(8))
    storage = Storage(tensor.dtype, tensor.element_size(), tensor.numel(), data)
    return TensorRecord(storage, 0, tuple(tensor.shape), tuple(tensor.contiguous().stride()))


@functools.cache
def small_keys(num_ws: int, w_dim: int, width: int = 16) -> dict[str, tuple[int, ...]]:
    """Names of the published files with the shapes of a narrow network."""
    resolution = 1 << (num_ws // 2 + 1)
    settings = {"kind": "psp", "resolution": resolution, "num_ws": num_ws, "w_dim": w_dim, "width": width}
    shapes = {name: tuple(value.shape) for name, value in encoder_layout(settings).state_dict().items()}
    counters = {key: () for key in golden_keys(num_ws) if key.endswith("num_batches_tracked")}
    return {key: shape for key, shape in (shapes | counters).items() if key != "latent_avg"}


@functools.cache
def small_encoder_state(num_ws: int = 4, w_dim: int = 16) -> Mapping[str, torch.Tensor]:
    """A narrow encoder; its last matrices are small, so that codes stay near the mean code."""
    keys = small_keys(num_ws, w_dim)
    state = {key: encoder_tensor(key, shape, keys) for key, shape in keys.items()}
    return {key: value * 1e-3 if key.endswith("linear.weight") else value for key, value in state.items()}


def psp_table(
    kind: str = "e4e",
    num_ws: int = 4,
    w_dim: int = 16,
    decoder: Mapping[str, torch.Tensor] | None = None,
    average: torch.Tensor | None = None,
    namespace: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """What such a file holds; without `decoder` the 8 px generator of the other tests, {} for none."""
    found = small_rosinality_state(w_dim) if decoder is None else decoder
    state = OrderedDict((f"encoder.{key}", value) for key, value in small_encoder_state(num_ws, w_dim).items())
    state.update((f"decoder.{key}", value) for key, value in found.items())
    settings = {"encoder_type": TYPES[kind], "start_from_latent_avg": True, "exp_dir": "x", "lr": 1e-4, "steps": [1, 2]}
    settings = {key: value for key, value in (settings | options).items() if value is not None}
    table = {"state_dict": state, "opts": Namespace(**settings) if namespace else settings}
    return table if average is None else table | {"latent_avg": average}


def psp_bytes(legacy: bool = False, **changes: Any) -> bytes:
    return pt_bytes(psp_table(**changes), legacy)
