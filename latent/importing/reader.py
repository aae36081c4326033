"""From a foreign weight file to a checkpoint: read as data, compared with our networks, then written.

Order matters: settings and shapes are checked before any number is copied, and the checkpoint's folder appears only
when everything has been read.
"""

import mmap
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from latent.checkpoints import check_name, file_sha256, save_checkpoint
from latent.errors import CheckpointError, ImportRefused
from latent.importing import nvidia, rosinality
from latent.importing.containers import check_file, read_container
from latent.importing.tensors import TensorRecord
from latent.space import sample_w
from latent.stylegan2 import Discriminator, Generator
from latent.stylegan2.building import check_shapes, discriminator_layout, fill, generator_layout
from latent.stylegan2.ops import resample_filter

UNKNOWN_LICENCE = "not stated with the file; ask whoever published it before any use"


def _check_shared(records: Iterable[TensorRecord]) -> None:
    """Refuse a file whose tensors are more numbers than it holds, by naming the same ones again and again."""
    records = list(records)
    held = sum(storage.length for storage in {id(record.storage): record.storage for record in records}.values())
    if sum(record.numel for record in records) > held:
        raise ImportRefused("The file uses the same numbers for several tensors, which StyleGAN2 does not; refused.")


def _from_nvidia(value: Mapping[Any, Any]) -> tuple[Generator, Discriminator | None]:
    (settings, records), rest = nvidia.read_networks(value)
    _check_shared([*records.values(), *(rest[1].values() if rest else ())])
    generator = generator_layout(settings)
    check_shapes(generator, {name: record.shape for name, record in records.items()}, "the generator")
    discriminator = None
    if rest is not None:
        discriminator = discriminator_layout(rest[0])
        check_shapes(discriminator, {name: record.shape for name, record in rest[1].items()}, "the discriminator")
        tensors = {name: record.read() for name, record in rest[1].items()}
        discriminator = fill(discriminator, tensors, "the discriminator")
        if (discriminator.img_resolution, discriminator.c_dim) != (generator.img_resolution, generator.c_dim):
            raise ValueError("the discriminator was made for another generator")
    tensors = {name: record.read() for name, record in records.items()}
    return fill(generator, tensors, "the generator"), discriminator


def _from_rosinality(value: Mapping[Any, Any]) -> tuple[Generator, None]:
    settings, parts, average = rosinality.read_generator(value)
    _check_shared(record for record, _ in parts.values())
    layout = generator_layout(settings)
    shapes = {name: convert.shape(record.shape) for name, (record, convert) in parts.items()}
    # What such a file does not hold: the filters, which are constants, and the mean code where latent_avg is missing.
    rest = {name: tensor.shape for name, tensor in layout.state_dict().items() if name.endswith("resample_filter")}
    rest["mapping.w_avg"] = torch.Size([settings["w_dim"]])
    check_shapes(layout, shapes | rest, "the generator")
    tensors = {name: convert(record.read()) for name, (record, convert) in parts.items()}
    tensors |= {name: resample_filter() for name in rest if name != "mapping.w_avg"}
    tensors["mapping.w_avg"] = torch.zeros(settings["w_dim"]) if average is None else _mean_code(average, settings)
    generator = fill(layout, tensors, "the generator")
    if average is None:
        generator.mapping.w_avg.copy_(torch.from_numpy(sample_w(generator, 10_000, seed=0).mean(axis=0)))
    return generator, None


def _mean_code(average: TensorRecord, settings: Mapping[str, Any]) -> torch.Tensor:
    """latent_avg as (w_dim,); files that repeat it for each layer hold (num_ws, w_dim)."""
    if average.shape[-1:] != (settings["w_dim"],) or average.numel > 64 * settings["w_dim"]:
        raise ImportRefused("The file's latent_avg does not fit its generator.")
    return average.read().reshape(-1, settings["w_dim"]).mean(dim=0)


def read_networks(path: Path) -> tuple[Generator, Discriminator | None, str]:
    """Networks of a weight file and the name of its format. Raises ImportRefused with one sentence."""
    check_file(path)
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        value = read_container(data)
        if not isinstance(value, Mapping):
            raise ImportRefused("The file holds no table of networks, so it is no StyleGAN2 weight file.")
        if "g_ema" in value:
            return *_from_rosinality(value), "rosinality .pt"
        return *_from_nvidia(value), "NVIDIA .pkl"
    except ValueError as error:
        raise ImportRefused(f"The file does not fit StyleGAN2: {error}.") from error
    except (OSError, MemoryError) as error:
        raise ImportRefused(f"{path.name} cannot be read: {error or 'not enough memory'}.") from error


def import_file(path: Path, name: str, root: Path, source: str = "", licence: str = "") -> Path:
    """Read a weight file and write root/NAME; returns that folder. Nothing is written where anything is wrong.

    Raises ImportRefused with one sentence.
    """
    path = Path(path)
    try:
        check_name(name)
        if (root / name).exists():
            raise ImportRefused(f"There already is a checkpoint {name}; choose another name or delete it first.")
        generator, discriminator, kind = read_networks(path)
        config = {
            "source": source or f"imported from {path.name}",
            "licence": licence or UNKNOWN_LICENCE,
            "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "imported_from": {
                "file": path.name,
                "format": kind,
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
            },
        }
        return save_checkpoint(root / name, generator, discriminator, config=config)
    except CheckpointError as error:
        raise ImportRefused(str(error)) from error
