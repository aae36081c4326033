"""The three ways torch writes weights to a file: a pickle with tensors inside, the old and the zip `.pt` format.

Each becomes the same thing: plain containers with TensorRecords. The file is mapped, not read; numbers are copied
only when a tensor that is wanted is read.
"""

import stat
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from latent.errors import ImportRefused
from latent.importing.pickle_reader import Budget, Global, Inert, PickleReader, Record, Table, damaged
from latent.importing.tensors import STORAGES, Storage, parameter_record, storage_record, tensor_record
from latent.importing.zip_reader import zip_members

MAX_FILE_BYTES = 2 << 30
MAX_ZIP_PICKLE = 64 << 20
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # first value of torch's old format


class Persistent:
    """What stands for one of NVIDIA's pickled networks: class name and state (`_parameters`, `_modules`, ...)."""

    def __init__(self, class_name: str, state: Mapping[str, Any]) -> None:
        self.class_name, self.state = class_name, state


def _persistent(arguments: tuple[Any, ...]) -> Persistent:
    """Stand-in for torch_utils.persistence._reconstruct_persistent_obj(meta); its source code is not read."""
    meta = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], Table) else Table()
    class_name, state = meta.get("class_name"), meta.get("state")
    if not isinstance(class_name, str) or not isinstance(state, Mapping):
        raise ImportRefused("The file describes a network without its parts; it was refused.")
    return Persistent(class_name, state)


def _empty(kind: type[Table | Record], arguments: tuple[Any, ...]) -> Table | Record:
    """Stand-in for OrderedDict(), EasyDict() and argparse.Namespace(); their items follow."""
    if arguments:
        word = kind.__name__.lower()
        raise ImportRefused(f"The file builds a {word} in a way that weight files do not; it was refused.")
    return kind()


_EMPTY_TABLE = partial(_empty, Table)


_TENSORS: dict[tuple[str, str], Callable[[tuple[Any, ...]], Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): tensor_record,
    ("torch._utils", "_rebuild_parameter"): parameter_record,
    ("collections", "OrderedDict"): _EMPTY_TABLE,
    ("argparse", "Namespace"): partial(_empty, Record),
}
_UNUSED = (
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("builtins", "set"),
    ("__builtin__", "set"),
    ("_codecs", "encode"),
    ("torch", "Size"),
    ("torch", "device"),
)


def _globals(more: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], Global]:
    table = {name: Global(".".join(name), stand_in) for name, stand_in in (_TENSORS | dict(more)).items()}
    table |= {name: Global(".".join(name), lambda _: Inert()) for name in _UNUSED}
    return table | {("torch", name): Global(f"torch.{name}") for name in STORAGES}


def check_file(path: Path) -> int:
    """Size of a file that may be read. Raises ImportRefused for a folder, a device, an empty or enormous file."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        raise ImportRefused(f"There is no file {path.name}; check the path.") from None
    except (OSError, ValueError) as error:
        raise ImportRefused(f"{path.name} cannot be opened: {error}.") from error
    if stat.S_ISDIR(facts.st_mode):
        raise ImportRefused(f"{path.name} is a folder, not a weight file.")
    if not stat.S_ISREG(facts.st_mode):
        raise ImportRefused(f"{path.name} is not an ordinary file.")
    if facts.st_size == 0:
        raise ImportRefused(f"{path.name} is empty; download it again.")
    if facts.st_size > MAX_FILE_BYTES:
        raise ImportRefused(f"{path.name} is larger than {MAX_FILE_BYTES >> 30} GB, which no such weight file is.")
    return facts.st_size


def read_container(data: memoryview) -> Any:
    """What a weight file holds, by its first bytes. Raises ImportRefused for anything that is not one."""
    if data[:4] == b"PK\x03\x04":
        return _read_zip(data)
    if len(data) < 2 or data[0] != 0x80 or not 2 <= data[1] <= 5:
        raise ImportRefused(
            "The file is not a weight file: it must be NVIDIA's .pkl or a .pt of rosinality's, e4e's or pSp's layout."
        )
    budget = Budget(len(data))
    if data[2:13] == b"\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")[:9]:
        return _read_legacy(data, budget)
    names: dict[tuple[str, str], Any] = {
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
        ("dnnlib.util", "EasyDict"): _EMPTY_TABLE,
        ("torch.storage", "_load_from_bytes"): lambda arguments: _nested_storage(arguments, budget),
    }
    reader = PickleReader(data, _globals(names), budget=budget)
    value = reader.load()
    if reader.position != len(data):
        raise damaged("there is data after its end")
    return value


def _nested_storage(arguments: tuple[Any, ...], budget: Budget) -> Storage:
    """Stand-in for torch.storage._load_from_bytes: a storage in the old `.pt` format inside a pickle."""
    if len(arguments) != 1 or not isinstance(arguments[0], memoryview):
        raise ImportRefused("The file holds a tensor in a way that weight files do not; it was refused.")
    storage = _read_legacy(arguments[0], budget)
    if not isinstance(storage, Storage):
        raise ImportRefused("The file holds something else where a tensor's numbers should be; it was refused.")
    return storage


def _storage_of(identity: Any, storages: dict[str, Storage]) -> Storage:
    """Storage of ('storage', class, key, device, length, ...); the same object for the same key."""
    known = isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage"
    kind, key, length = (identity[1], identity[2], identity[4]) if known else (None, None, None)
    if not isinstance(kind, Global) or not isinstance(key, str) or any(identity[5:]):
        raise ImportRefused("The file refers to data in a way that weight files do not; it was refused.")
    storage = storage_record(kind.name, length)
    if key in storages and (storages[key].dtype, storages[key].length) != (storage.dtype, storage.length):
        raise damaged("two descriptions of one storage")
    return storages.setdefault(key, storage)


def _read_legacy(data: memoryview, budget: Budget) -> Any:
    """torch's format before 1.6: magic, version, machine, the value, the storages' keys, then their numbers."""
    position, storages = 0, dict[str, Storage]()

    def load(names: Mapping[tuple[str, str], Global]) -> Any:
        nonlocal position
        reader = PickleReader(data, names, position, lambda identity: _storage_of(identity, storages), budget)
        value = reader.load()
        position = reader.position
        return value

    magic, _version, machine = load({}), load({}), load({})
    if magic != LEGACY_MAGIC:
        raise damaged("it does not begin as a .pt file does")
    if not isinstance(machine, Table) or machine.get("little_endian") is not True:
        raise ImportRefused("The file was written on a big-endian machine, which cannot be imported.")
    value = load(_globals({}))
    keys = load({})
    if not isinstance(keys, list) or len(keys) != len(storages):
        raise damaged("its list of storages does not fit")
    for key in keys:
        if not isinstance(key, str) or key not in storages or storages[key].data is not None:
            raise damaged("its list of storages does not fit")
        storage = storages[key]
        if int.from_bytes(data[position : position + 8], "little") != storage.length:
            raise damaged("a storage of another length than announced")
        end = position + 8 + storage.length * storage.itemsize
        storage.attach(data[position + 8 : end])
        position = end
    if position != len(data):
        raise damaged("there is data after its end")
    return value


def _read_zip(data: memoryview) -> Any:
    """torch's zip format: data.pkl, and the numbers of storage KEY in data/KEY."""
    entries = zip_members(data)
    if "data.pkl" not in entries:
        raise ImportRefused("The file is a zip but no weight file of torch: it has no data.pkl.")
    if len(entries["data.pkl"]) > MAX_ZIP_PICKLE:
        raise ImportRefused("The file describes more than any weight file does; it was refused.")
    if "byteorder" in entries and bytes(entries["byteorder"]) != b"little":
        raise ImportRefused("The file was written on a big-endian machine, which cannot be imported.")
    storages: dict[str, Storage] = {}
    reader = PickleReader(entries["data.pkl"], _globals({}), 0, lambda identity: _storage_of(identity, storages))
    value = reader.load()
    for key, storage in storages.items():
        if f"data/{key}" not in entries:
            raise damaged("the numbers of a tensor are missing")
        storage.attach(entries[f"data/{key}"])
    return value
