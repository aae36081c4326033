"""Tensors of a weight file as records: where their numbers lie in the file, not the numbers themselves.

Nothing is copied before names and shapes have been compared with a network, and no record can claim more numbers
than its storage holds, so a small file cannot ask for a large tensor.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from latent.errors import ImportRefused

# Storage classes a file may name: bytes of a number, and its type in torch.
STORAGES: dict[str, tuple[int, torch.dtype]] = {
    "FloatStorage": (4, torch.float32),
    "HalfStorage": (2, torch.float16),
    "DoubleStorage": (8, torch.float64),
    "BFloat16Storage": (2, torch.bfloat16),
    "LongStorage": (8, torch.int64),
    "IntStorage": (4, torch.int32),
    "ShortStorage": (2, torch.int16),
    "CharStorage": (1, torch.int8),
    "ByteStorage": (1, torch.uint8),
    "BoolStorage": (1, torch.bool),
}
MAX_DIMENSIONS = 8


@dataclass(eq=False)
class Storage:
    """`data` are the numbers' bytes; None until the part of the file that has them was reached."""

    dtype: torch.dtype
    itemsize: int
    length: int
    data: memoryview | None = None

    def attach(self, data: memoryview) -> None:
        """Raises ImportRefused where the file has another number of bytes than it says."""
        if len(data) != self.length * self.itemsize:
            raise ImportRefused(
                "The file is damaged or cut short (a tensor without all its numbers); download it again."
            )
        self.data = data


@dataclass(frozen=True, eq=False)
class TensorRecord:
    """A dense view of a storage: offset and strides in numbers, as torch writes them."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    def read(self) -> torch.Tensor:
        if self.storage.data is None:
            raise ImportRefused("The file is damaged or cut short (a tensor without its numbers); download it again.")
        if self.numel == 0:
            return torch.zeros(self.shape, dtype=self.storage.dtype)
        size = self.storage.itemsize
        part = self.storage.data[self.offset * size : (self.offset + self.numel) * size]
        return torch.frombuffer(bytearray(part), dtype=self.storage.dtype).as_strided(self.shape, self.strides)


class LazyTensors(Mapping[str, torch.Tensor]):
    """Tensors by name, each copied from the file when it is asked for: a large network is never held twice."""

    def __init__(self, records: Mapping[str, TensorRecord], more: Mapping[str, torch.Tensor]) -> None:
        """more: tensors that are not from the file, under other names than `records`."""
        self.records, self.more = records, more

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.more[name] if name in self.more else self.records[name].read()

    def __iter__(self) -> Iterator[str]:
        yield from self.records
        yield from self.more

    def __len__(self) -> int:
        return len(self.records) + len(self.more)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 40


def storage_record(class_name: Any, length: Any) -> Storage:
    """Storage of a persistent id. Raises ImportRefused for an unknown kind or an impossible length."""
    short = class_name.rpartition(".")[2] if isinstance(class_name, str) else ""
    if short not in STORAGES or not _is_count(length):
        raise ImportRefused("The file describes a tensor of a kind that cannot be imported.")
    itemsize, dtype = STORAGES[short]
    return Storage(dtype, itemsize, length)


def tensor_record(arguments: tuple[Any, ...]) -> TensorRecord:
    """Stand-in for torch._utils._rebuild_tensor_v2(storage, offset, size, stride, ...).

    Raises ImportRefused unless the tensor lies inside its storage and takes each number once.
    """
    if len(arguments) < 4 or not isinstance(arguments[0], Storage):
        raise ImportRefused("The file describes a tensor without its storage; it was refused.")
    storage, offset, shape, strides = arguments[:4]
    if not (isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= MAX_DIMENSIONS):
        raise ImportRefused("The file describes a tensor without a proper shape; it was refused.")
    if not all(map(_is_count, (offset, *shape, *strides))):
        raise ImportRefused("The file describes a tensor with an impossible shape; it was refused.")
    numel = math.prod(shape)
    span = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True)) if numel else 0
    if offset + numel > storage.length:
        shown = "x".join(map(str, shape))
        raise ImportRefused(f"The file describes a tensor of {shown} numbers and holds only {storage.length} of them.")
    if span != numel:  # dense, in any order of the dimensions
        raise ImportRefused("The file describes a tensor that repeats or skips numbers; it was refused.")
    return TensorRecord(storage, offset, shape, strides)


def parameter_record(arguments: tuple[Any, ...]) -> TensorRecord:
    """Stand-in for torch._utils._rebuild_parameter(tensor, requires_grad, hooks)."""
    if not arguments or not isinstance(arguments[0], TensorRecord):
        raise ImportRefused("The file describes a parameter without its tensor; it was refused.")
    return arguments[0]
