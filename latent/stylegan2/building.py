"""Networks from plain settings and named tensors: the check that every weight file passes, whatever its format.

Settings come from files, so they are checked before anything is allocated: unknown names, other kinds of value and
sizes beyond the published networks by far are errors. Networks are laid out on torch's `meta` device first (shapes
without memory) and then given the tensors, so that a file can claim nothing that it does not hold.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from latent.stylegan2.discriminator import Discriminator
from latent.stylegan2.generator import ARCHITECTURES, Generator
from latent.stylegan2.ops import TAPS, resample_filter

MAX_RESOLUTION = 2048
Network = TypeVar("Network", bound=nn.Module)
Check = Callable[[object], bool]


def _integer(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _number(low: float, high: float) -> Check:
    return lambda value: type(value) in (int, float) and low <= value <= high  # type: ignore[operator]


def _optional(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _resolution(value: object) -> bool:
    return type(value) is int and 8 <= value <= MAX_RESOLUTION and value & (value - 1) == 0


def _table(value: object) -> bool:
    return isinstance(value, Mapping)


_CHANNELS = {"channel_base": _integer(4, 1 << 17), "channel_max": _integer(1, 2048)}
_CLAMP = {"conv_clamp": _optional(_number(1e-3, 1e9)), "num_fp16_res": _integer(0, 16)}
_NETWORK: dict[str, Check] = {
    "c_dim": _integer(0, 4096),
    "img_resolution": _resolution,
    "img_channels": lambda value: value == 3 and type(value) is int,
    "mapping_kwargs": _table,
}
_MAPPING: dict[str, Check] = {
    "num_layers": _integer(1, 32),
    "embed_features": _optional(_integer(1, 4096)),
    "layer_features": _optional(_integer(1, 4096)),
    "activation": lambda value: value in ("lrelu", "linear"),
    "lr_multiplier": _number(1e-6, 100),
    "w_avg_beta": _optional(_number(0, 1)),
}
_SYNTHESIS: dict[str, Check] = {
    **_CHANNELS,
    **_CLAMP,
    "architecture": lambda value: value in ARCHITECTURES,
    "use_noise": lambda value: type(value) is bool,
}
_EPILOGUE: dict[str, Check] = {"mbstd_group_size": _optional(_integer(1, 1024)), "mbstd_num_channels": _integer(0, 64)}
# Written into some files by the original code; with these values they say nothing about what is computed here.
_NEUTRAL: dict[str, Check] = {
    "resample_filter": lambda value: isinstance(value, (list, tuple)) and tuple(value) == TAPS,
    "activation": lambda value: value == "lrelu",
    "kernel_size": lambda value: value == 3,
    "fp16_channels_last": lambda value: type(value) is bool,
    "channels_last": lambda value: type(value) is bool,
    "fused_modconv_default": lambda value: value in (True, False, "inference_only"),
    "use_fp16": lambda value: type(value) is bool,
    "freeze_layers": _integer(0, 100),
}


def _checked(
    what: str,
    given: object,
    legal: Mapping[str, Check],
    neutral: Mapping[str, Check] | None = None,
    needed: Sequence[str] = (),
) -> dict[str, Any]:
    """`given` without its neutral entries. Raises ValueError naming the first entry that is not legal or lacks."""
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} are not a table of settings")
    checked: dict[str, Any] = {}
    for name, value in given.items():
        check = legal.get(name) or (neutral or {}).get(name)
        if check is None:
            raise ValueError(f"{what} name an unknown setting, {shown(name, 60)!r}")
        if not check(value):
            raise ValueError(f"{what} give {name} the value {shown(value, 40)!r}, which is not supported")
        if name in legal:
            checked[name] = value
    if lacking := [name for name in needed if name not in checked]:
        raise ValueError(f"{what} lack {lacking[0]}")
    return checked


def check_generator_kwargs(kwargs: object) -> dict[str, Any]:
    """Settings a Generator can be built from. Raises ValueError with a sentence about the first wrong one."""
    sizes = {"z_dim": _integer(1, 4096), "w_dim": _integer(1, 4096)}
    needed = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    checked = _checked(
        "the generator's settings", kwargs, {**_NETWORK, **sizes, "synthesis_kwargs": _table}, needed=needed
    )
    checked["mapping_kwargs"] = _checked("the mapping network's settings", checked.get("mapping_kwargs", {}), _MAPPING)
    synthesis = checked.get("synthesis_kwargs", {})
    checked["synthesis_kwargs"] = _checked("the synthesis network's settings", synthesis, _SYNTHESIS, _NEUTRAL)
    _check_channels("the synthesis network", checked["synthesis_kwargs"], checked["img_resolution"])
    return checked


def check_discriminator_kwargs(kwargs: object) -> dict[str, Any]:
    """Settings a Discriminator can be built from. Raises ValueError with a sentence about the first wrong one."""
    legal: dict[str, Check] = {
        **_CHANNELS,
        **_CLAMP,
        **_NETWORK,
        "architecture": lambda value: value in ARCHITECTURES,
        "cmap_dim": _optional(_integer(1, 4096)),
        "epilogue_kwargs": _table,
        "block_kwargs": _table,
    }
    checked = _checked(
        "the discriminator's settings", kwargs, legal, needed=("c_dim", "img_resolution", "img_channels")
    )
    _checked("the discriminator blocks' settings", checked.pop("block_kwargs", {}), {}, _NEUTRAL)
    mapping = {name: check for name, check in _MAPPING.items() if name != "w_avg_beta"}
    given = checked.get("mapping_kwargs", {})
    checked["mapping_kwargs"] = _checked("the discriminator's mapping settings", given, mapping)
    given = checked.get("epilogue_kwargs", {})
    checked["epilogue_kwargs"] = _checked("the discriminator's last settings", given, _EPILOGUE, _NEUTRAL)
    _check_channels("the discriminator", checked, checked["img_resolution"])
    return checked


def _check_channels(what: str, kwargs: Mapping[str, Any], resolution: int) -> None:
    if kwargs.get("channel_base", 32768) < resolution:
        raise ValueError(f"{what} would have no channels at {resolution} px")


def shown(value: object, limit: int = 80) -> str:
    """A value from a file of unknown origin as it may stand in a sentence: short, without control characters.

    Only texts and numbers are written out; a table or list may hold itself many times over and is named by its kind.
    """
    if not isinstance(value, (str, int, float, type(None))):
        return "a table or list" if isinstance(value, (Mapping, list, tuple)) else "something else"
    text = str(value)[:limit]
    return text if text.isprintable() else ascii(text)[1:-1]


def check_shapes(network: nn.Module, shapes: Mapping[str, Sequence[int]], what: str) -> None:
    """Names and shapes of a file's tensors against a network on any device.

    Raises ValueError with a sentence that names the first tensor that does not fit.
    """
    wanted = network.state_dict()
    if missing := sorted(wanted.keys() - shapes.keys()):
        raise ValueError(f"{what} lacks the tensor {missing[0]}{_and_more(missing)}")
    if unknown := sorted(shapes.keys() - wanted.keys()):
        raise ValueError(f"{what} holds a tensor that has no place here, {shown(unknown[0])}{_and_more(unknown)}")
    for name, shape in shapes.items():
        if tuple(shape) != tuple(wanted[name].shape):
            raise ValueError(f"{what} has the tensor {name} as {tuple(shape)}, not {tuple(wanted[name].shape)}")


def check_values(tensors: Mapping[str, torch.Tensor], what: str) -> None:
    """Kind and values of tensors. Raises ValueError with a sentence that names the first that cannot be used."""
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise ValueError(f"{what} has the tensor {name} as {tensor.dtype}, not as floating-point numbers")
        if not all(math.isfinite(bound) for bound in torch.aminmax(tensor)):  # a NaN is both bounds
            raise ValueError(f"{what} has values in {name} that are not finite numbers")
        if name.endswith("resample_filter") and not torch.allclose(tensor.float().cpu(), resample_filter(), atol=1e-6):
            raise ValueError(f"{what} resamples by another filter than [1, 3, 3, 1] in {name}")


def _and_more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


class _ShapesOnly(TorchFunctionMode):
    """Leave out what initialises values: there are none on the meta device, and torch would load its compiler (a
    second or more) to work out their shapes."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.randn:
            return torch.empty(*args, **(kwargs or {}))
        target = args[0] if args else None
        initialises = getattr(func, "__name__", "") in ("normal_", "uniform_", "zero_", "fill_", "div_")
        if initialises and isinstance(target, torch.Tensor) and target.is_meta:
            return target
        return func(*args, **(kwargs or {}))


def lay_out(make: Callable[[], Network]) -> Network:
    """A network without numbers: `make` is called under torch's meta device."""
    with torch.device("meta"), _ShapesOnly():
        return make()


def fill(
    network: Network, tensors: Mapping[str, torch.Tensor], what: str, kernels: torch.memory_format = torch.channels_last
) -> Network:
    """Give a network from `lay_out` float32 copies of `tensors`; it comes back frozen and in evaluation mode.

    kernels: memory format of 4-dimensional tensors.
    Raises ValueError with a sentence where names, shapes, kinds or values do not fit.
    """
    check_shapes(network, {name: tensor.shape for name, tensor in tensors.items()}, what)
    state = {}
    for name, value in tensors.items():  # one at a time: a mapping may read them from a file as they are asked for
        check_values({name: value}, what)
        memory_format = kernels if value.ndim == 4 else torch.contiguous_format
        state[name] = value.to(dtype=torch.float32, copy=True).contiguous(memory_format=memory_format)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def generator_layout(kwargs: object) -> Generator:
    """Generator without numbers from settings of unknown origin. Raises ValueError with a sentence."""
    legal = check_generator_kwargs(kwargs)
    return lay_out(lambda: Generator(**legal))


def discriminator_layout(kwargs: object) -> Discriminator:
    """Discriminator without numbers from settings of unknown origin. Raises ValueError with a sentence."""
    legal = check_discriminator_kwargs(kwargs)
    return lay_out(lambda: Discriminator(**legal))
