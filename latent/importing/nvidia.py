"""NVIDIA's training pickles: a table with the networks `G_ema` (the one to use), `G`, `D`.

A network is settings (`_init_kwargs`) and a tree of modules with `_parameters` and `_buffers`; the tree gives the
names of a state dict. Only the settings and tensors are used.
"""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from latent.errors import ImportRefused
from latent.importing.containers import Persistent
from latent.importing.tensors import TensorRecord
from latent.stylegan2.building import shown

Network = tuple[dict[str, Any], dict[str, TensorRecord]]  # settings, tensors by name
MAX_DEPTH = 8
MAX_TENSORS = 5000
MAX_ENTRIES = 50_000  # of all tables of a network together, also empty ones
MAX_NAME = 200  # characters of one module's or tensor's name
_POSITIONAL = {
    "Generator": ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels"),
    "Discriminator": ("c_dim", "img_resolution", "img_channels"),
}


class _Walk:
    """What was visited of one network: every module once, so that shared ones are not unfolded."""

    def __init__(self) -> None:
        self.modules: set[int] = set()
        self.entries = 0

    def items(self, table: object, what: str) -> Iterator[tuple[str, Any]]:
        """Names and values of a table that are not None."""
        if not isinstance(table, Mapping):
            raise ImportRefused(f"The file describes a network without its {what}; it was refused.")
        self.entries += len(table)
        if self.entries > MAX_ENTRIES:
            raise ImportRefused("The file describes a network of more parts than StyleGAN2 has; it was refused.")
        for name, value in table.items():
            if not isinstance(name, str) or len(name) > MAX_NAME:
                raise ImportRefused(f"The file has {shown(name)} for the name of a part; it was refused.")
            if value is not None:
                yield name, value


def _tensors_of(
    network: Persistent, walk: _Walk, prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, TensorRecord]]:
    """(name, tensor) of a network and all its modules, named as a state dict does."""
    if depth > MAX_DEPTH:
        raise ImportRefused("The file nests networks deeper than StyleGAN2 does; it was refused.")
    if id(network) in walk.modules:
        raise ImportRefused("The file has one module in several places, which StyleGAN2 does not; it was refused.")
    walk.modules.add(id(network))
    for kind in ("_parameters", "_buffers"):
        for name, value in walk.items(network.state.get(kind, {}), "tensors"):
            if not isinstance(value, TensorRecord):
                raise ImportRefused(
                    f"The file has something else where the tensor {shown(f'{prefix}{name}')} should be."
                )
            yield f"{prefix}{name}", value
    for name, module in walk.items(network.state.get("_modules", {}), "modules"):
        if not isinstance(module, Persistent):
            raise ImportRefused(f"The file has something else where the module {shown(f'{prefix}{name}')} should be.")
        yield from _tensors_of(module, walk, f"{prefix}{name}.", depth + 1)


def _settings(network: Persistent, what: str) -> dict[str, Any]:
    """`_init_kwargs`, with positional arguments under their names."""
    kwargs, args = network.state.get("_init_kwargs"), network.state.get("_init_args", ())
    if not isinstance(kwargs, Mapping) or not isinstance(args, tuple):
        raise ImportRefused(f"The file does not say how its {what} is built; it was refused.")
    names = _POSITIONAL[what]
    if len(args) > len(names):
        raise ImportRefused(f"The file's {what} is built in a way that StyleGAN2 is not; it was refused.")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _network(table: Mapping[Any, Any], key: str, what: str) -> Network | None:
    network = table.get(key)
    if network is None:
        return None
    if not isinstance(network, Persistent) or network.class_name != what:
        raise ImportRefused(f"The file's {key} is not a StyleGAN2 {what.lower()}; it was refused.")
    tensors = dict(islice(_tensors_of(network, _Walk()), MAX_TENSORS + 1))
    if len(tensors) > MAX_TENSORS:
        raise ImportRefused(f"The file's {what} has more tensors than StyleGAN2; it was refused.")
    if any(name.startswith("synthesis.input.") for name in tensors):
        raise ImportRefused("The file holds a StyleGAN3 network; only StyleGAN2 can be imported.")
    return _settings(network, what), tensors


def read_networks(value: Mapping[Any, Any]) -> tuple[Network, Network | None]:
    """(settings, tensors) of G_ema, and of D or None. Raises ImportRefused with one sentence."""
    generator = _network(value, "G_ema", "Generator")
    if generator is None:
        raise ImportRefused("The file holds no generator: a pickle of StyleGAN2 has one under the name G_ema.")
    return generator, _network(value, "D", "Discriminator")
