"""Weight files for tests: the golden pickles, and `.pt` files filled by the goldens' rule."""

import io
import json
import pickle
import sys
import types
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

GOLDENS = Path(__file__).parents[2] / "data" / "goldens"
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


class PickledNetwork:
    """Stands for one of NVIDIA's persistent objects when a pickle is written: class name and state."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name, self.state = class_name, state

    def __reduce__(self) -> tuple[Any, ...]:
        source = "raise SystemExit('the source text of a pickle was executed')\n"
        meta = {"type": "class", "version": 6, "module_src": source, "class_name": self.class_name, "state": self.state}
        return sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, (meta,)


def pickled_network(
    module: torch.nn.Module, class_name: str = "", kwargs: dict[str, Any] | None = None
) -> PickledNetwork:
    """A module and all below it, as NVIDIA's training pickles them."""
    state: dict[str, Any] = {
        "training": False,
        "_parameters": dict(module._parameters),
        "_buffers": dict(module._buffers),
        "_forward_hooks": OrderedDict(),
        "_non_persistent_buffers_set": set(),
        "_modules": {name: pickled_network(child) for name, child in module._modules.items()},
        "_init_args": (),
        "_init_kwargs": kwargs or {},
    }
    return PickledNetwork(class_name or type(module).__name__, state)


def nvidia_table(generator: torch.nn.Module, discriminator: torch.nn.Module | None = None) -> dict[str, Any]:
    """The table of a training pickle; tests change what they like in it."""

    def wrapped(module: Any, class_name: str) -> PickledNetwork:
        return pickled_network(module, class_name, dict(module.init_kwargs))

    return {
        "training_set_kwargs": {"class_name": "training.dataset.ImageFolderDataset", "resolution": 8},
        "D": None if discriminator is None else wrapped(discriminator, "Discriminator"),
        "G_ema": wrapped(generator, "Generator"),
        "augment_pipe": None,
    }


def _reconstruct(meta: Any) -> Any:
    raise AssertionError("a pickle was unpickled")


def nvidia_bytes(value: Any, protocol: int = 4) -> bytes:
    """`value` as a pickle that names NVIDIA's modules, which exist only while it is written."""
    package, module = types.ModuleType("torch_utils"), types.ModuleType("torch_utils.persistence")
    function = types.FunctionType(_reconstruct.__code__, {}, "_reconstruct_persistent_obj")
    function.__module__, function.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    module._reconstruct_persistent_obj = function  # type: ignore[attr-defined]
    package.persistence = module  # type: ignore[attr-defined]
    sys.modules |= {"torch_utils": package, "torch_utils.persistence": module}
    try:
        return pickle.dumps(value, protocol)
    finally:
        del sys.modules["torch_utils"], sys.modules["torch_utils.persistence"]
