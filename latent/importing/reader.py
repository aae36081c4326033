"""From a foreign weight file to a checkpoint: read as data, compared with our networks, then written.

Order matters: settings and shapes are checked before any number is copied, and the checkpoint's folder appears only
when everything has been read.
"""

import mmap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.files import PLAIN
from latent.checkpoint_config import check_name
from latent.checkpoints import save_checkpoint
from latent.encoders.registry import Encoder
from latent.errors import CheckpointError, ImportRefused
from latent.importing import nvidia, psp, rosinality
from latent.importing.containers import check_file, read_container
from latent.importing.tensors import TensorRecord
from latent.space import sample_w
from latent.stylegan2 import Discriminator, Generator
from latent.stylegan2.building import check_shapes, discriminator_layout, fill, generator_layout
from latent.stylegan2.ops import resample_filter

UNKNOWN_LICENCE = "not stated with the file; ask whoever published it before any use"


@dataclass(frozen=True, eq=False)
class Networks:
    """Networks of a weight file, and the name of its format."""

    generator: Generator
    discriminator: Discriminator | None
    encoder: Encoder | None
    format: str


def check_shared(records: Iterable[TensorRecord]) -> None:
    """Refuse a file whose tensors are more numbers than it holds, by naming the same ones again and again."""
    records = list(records)
    held = sum(storage.length for storage in {id(record.storage): record.storage for record in records}.values())
    if sum(record.numel for record in records) > held:
        raise ImportRefused("The file uses the same numbers for several tensors, which StyleGAN2 does not; refused.")


def _from_nvidia(value: Mapping[Any, Any]) -> Networks:
    (settings, records), rest = nvidia.read_networks(value)
    check_shared([*records.values(), *(rest[1].values() if rest else ())])
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
    return Networks(fill(generator, tensors, "the generator"), discriminator, None, "NVIDIA .pkl")


def rosinality_generator(value: Mapping[Any, Any]) -> Generator:
    """Generator of a table with `g_ema` and perhaps `latent_avg`. Raises ImportRefused or ValueError."""
    settings, parts, average = rosinality.read_generator(value)
    check_shared(record for record, _ in parts.values())
    layout = generator_layout(settings)
    shapes = {name: convert.shape(record.shape) for name, (record, convert) in parts.items()}
    # What such a file does not hold: the filters, which are constants, and the mean code where latent_avg is missing.
    rest = {name: tensor.shape for name, tensor in layout.state_dict().items() if name.endswith("resample_filter")}
    rest["mapping.w_avg"] = torch.Size([settings["w_dim"]])
    check_shapes(layout, shapes | rest, "the generator")
    tensors = {name: convert(record.read()) for name, (record, convert) in parts.items()}
    tensors |= {name: resample_filter() for name in rest if name != "mapping.w_avg"}
    w_dim = settings["w_dim"]
    tensors["mapping.w_avg"] = torch.zeros(w_dim)
    if average is not None:  # (w_dim,), or (num_ws, w_dim) in files that repeat it for each layer
        if average.shape[-1:] != (w_dim,) or average.numel > 64 * w_dim:
            raise ImportRefused("The file's latent_avg does not fit its generator.")
        tensors["mapping.w_avg"] = average.read().reshape(-1, w_dim).mean(dim=0)
    generator = fill(layout, tensors, "the generator")
    if average is None:
        codes = sample_w(generator, 10_000, seed=0)
        if not np.isfinite(codes).all():
            raise ValueError("its mapping network gives codes that are not finite numbers")
        mean = codes.mean(axis=0, dtype=np.float64)  # in float32 the sum may overflow
        generator.mapping.w_avg.copy_(torch.from_numpy(mean))
    return generator


def _from_psp(value: Mapping[Any, Any], encoder_kind: str | None) -> Networks:
    file = psp.read_encoder(value, encoder_kind)
    if file.decoder is None:
        raise ImportRefused(
            "The file holds an encoder and no generator; add it to the checkpoint of its generator with --encoder-for."
        )
    check_shared([*file.records.values(), *file.decoder.values()])
    generator = rosinality_generator({"g_ema": file.decoder, "latent_avg": file.average})
    if (generator.num_ws, generator.w_dim) != (file.settings["num_ws"], file.settings["w_dim"]):
        raise ValueError(
            f"its encoder gives codes of {file.settings['num_ws']} x {file.settings['w_dim']} numbers and its "
            f"generator takes {generator.num_ws} x {generator.w_dim}"
        )
    return Networks(generator, None, psp.build_encoder(file, generator.mapping.w_avg), file.format)


@contextmanager
def contents(path: Path) -> Iterator[Mapping[Any, Any]]:
    """The table that a weight file holds, for as long as it is read. Whatever is wrong with the file, there or in what
    is made of it, is raised as ImportRefused with one sentence."""
    check_file(path)
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        value = read_container(data)
        if not isinstance(value, Mapping):
            raise ImportRefused("The file holds no table of networks, so it is no StyleGAN2 weight file.")
        yield value
    except ValueError as error:
        raise ImportRefused(f"The file does not fit StyleGAN2: {error}.") from error
    except (OSError, MemoryError) as error:
        raise ImportRefused(f"{path.name} cannot be read: {error or 'not enough memory'}.") from error


def read_networks(path: Path, encoder_kind: str | None = None) -> Networks:
    """Networks of a weight file. encoder_kind: 'psp' or 'e4e' for a file that does not say which its encoder is.

    Raises ImportRefused with one sentence.
    """
    with contents(path) as value:
        if "g_ema" in value:
            return Networks(rosinality_generator(value), None, None, "rosinality .pt")
        if "state_dict" in value:
            return _from_psp(value, encoder_kind)
        return _from_nvidia(value)


def file_facts(path: Path, kind: str) -> dict[str, Any]:
    return {"file": path.name, "format": kind, "bytes": path.stat().st_size, "sha256": PLAIN.sha256_of(path)}


def import_file(
    path: Path, name: str, root: Path, source: str = "", licence: str = "", encoder_kind: str | None = None
) -> Path:
    """Read a weight file and write root/NAME; returns that folder. Nothing is written where anything is wrong.

    Raises ImportRefused with one sentence.
    """
    path = Path(path)
    try:
        check_name(name)
        if (root / name).exists():
            raise ImportRefused(f"There is already a checkpoint {name}; choose another name or delete it first.")
        networks = read_networks(path, encoder_kind)
        config = {
            "source": source or f"imported from {path.name}",
            "licence": licence or UNKNOWN_LICENCE,
            "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "imported_from": file_facts(path, networks.format),
        }
        return save_checkpoint(root / name, networks.generator, networks.discriminator, networks.encoder, config)
    except CheckpointError as error:
        raise ImportRefused(str(error)) from error
