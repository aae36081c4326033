"""Checkpoints on disk: checkpoints/NAME/{generator,discriminator,encoder,statistics}.safetensors + config.json.

The app reads nothing else: no pickle, no code. `load_checkpoint` is a gate: sizes, digests, settings, names, shapes
and values are checked before a network is built, and what is wrong is one sentence. Writing goes to a
temporary folder, which is renamed into place when it is complete and has been read back.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from common.files import PLAIN
from latent.checkpoint_config import CONFIG, FORMAT, PARTS, check_name, has_part, read_config
from latent.encoders.registry import Encoder, encoder_layout, encoder_settings, fill_encoder
from latent.errors import CheckpointError
from latent.space import DEFAULT_SAMPLES, MAX_SAMPLES, WStatistics, check_statistics, w_statistics
from latent.stylegan2 import Discriminator, Generator
from latent.stylegan2.building import discriminator_layout, fill, generator_layout, shown

MAX_FILE_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Networks, frozen and in evaluation mode, with the statistics of their W and where they come from.

    `sha256` is that of the generator's weight file: a W+ code means something only with that generator.
    """

    name: str
    generator: Generator
    discriminator: Discriminator | None
    encoder: Encoder | None
    statistics: WStatistics
    config: dict[str, Any]
    sha256: str
    path: Path

    @property
    def resolution(self) -> int:
        return self.generator.img_resolution

    @property
    def num_ws(self) -> int:
        return self.generator.num_ws

    @property
    def w_dim(self) -> int:
        return self.generator.w_dim

    @property
    def device(self) -> torch.device:
        return self.generator.synthesis.b4.const.device  # type: ignore[union-attr,return-value]


def load_checkpoint(
    path: Path, device: str | torch.device = "cpu", parts: tuple[str, ...] = ("generator", "encoder")
) -> Checkpoint:
    """Read and check a checkpoint folder; parts that it does not have are None (the generator is always present).

    Raises CheckpointError with one sentence for anything missing, changed or not fitting.
    """
    path = Path(path)
    try:
        torch.zeros(1, device=torch.device(device))
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        raise CheckpointError(f"This machine has no device {str(device)[:40]!r}: leave it out, or use cpu.") from error
    config = read_config(path)
    where = f"Checkpoint {path.name}"
    loaded: dict[str, nn.Module | None] = dict.fromkeys(PARTS)
    for part in PARTS:
        if part == "generator" or (part in parts and has_part(config, part)):
            tensors = _read_tensors(path, f"{part}.safetensors", config)
            try:
                loaded[part] = _build(part, config, tensors).to(device)
            except ValueError as error:
                raise CheckpointError(f"{where} cannot be used: {error}; restore its folder.") from error
    generator = loaded["generator"]
    assert isinstance(generator, Generator)
    facts = {"resolution": generator.img_resolution, "num_ws": generator.num_ws, "w_dim": generator.w_dim}
    for name, value in facts.items():
        if config.get(name) != value:
            raise CheckpointError(
                f"{where} cannot be used: config.json says {name} {shown(config.get(name), 40)}, its generator has "
                f"{value}; restore its folder."
            )
    encoder = loaded["encoder"]
    if encoder is not None and facts != {name: getattr(encoder, name) for name in facts}:
        raise CheckpointError(
            f"{where} cannot be used: its encoder was made for another generator; train or import it again."
        )
    return Checkpoint(
        name=path.name,
        generator=generator,
        discriminator=loaded["discriminator"],  # type: ignore[arg-type]
        encoder=encoder,  # type: ignore[arg-type]
        statistics=_read_statistics(path, config, generator),
        config=config,
        sha256=config["files"]["generator.safetensors"]["sha256"],
        path=path,
    )


def save_checkpoint(
    path: Path,
    generator: Generator,
    discriminator: Discriminator | None = None,
    encoder: Encoder | None = None,
    config: Mapping[str, Any] | None = None,
    samples: int = DEFAULT_SAMPLES,
) -> Path:
    """Write a checkpoint folder, whole or not at all; one of that name is replaced. Returns its path.

    config: anything to keep in addition to what is written here (source, licence, training facts); plain JSON values.
        half_precision: kernels and matrices as float16 on disk (vectors stay float32); a checkpoint that is loaded and
        saved again with its config so keeps the digest of its generator.
    Raises CheckpointError where the name is not one, or the networks cannot be saved.
    """
    path = Path(path)
    check_name(path.name)
    half = bool((config or {}).get("half_precision", False))
    try:
        with PLAIN.replacing_folder(path) as temporary:
            record: dict[str, Any] = {
                "format": FORMAT,
                "name": path.name,
                "resolution": generator.img_resolution,
                "num_ws": generator.num_ws,
                "z_dim": generator.z_dim,
                "c_dim": generator.c_dim,
                "w_dim": generator.w_dim,
                "half_precision": half,
                "generator": generator.init_kwargs,
                "discriminator": None if discriminator is None else discriminator.init_kwargs,
                "encoder": None if encoder is None else encoder_settings(encoder),
                "files": {},
                "statistics": {},
            }
            record |= {key: value for key, value in (config or {}).items() if key not in record}
            networks = {"generator": generator, "discriminator": discriminator, "encoder": encoder}
            for part, network in networks.items():
                if network is not None:
                    _write_tensors(temporary / f"{part}.safetensors", network.state_dict(), half, record)
            # Statistics of the weights as they will be read, which float16 rounds.
            written = _build("generator", record, _read_tensors(temporary, "generator.safetensors", record))
            assert isinstance(written, Generator)
            statistics = w_statistics(written, samples)
            tensors = {name: torch.from_numpy(getattr(statistics, name)) for name in _STATISTICS}
            _write_tensors(temporary / "statistics.safetensors", tensors, False, record)
            record["statistics"] = {"samples": statistics.samples, "components": len(statistics.variances)}
            (temporary / CONFIG).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", "utf-8")
            load_checkpoint(temporary, parts=PARTS)
    except (ValueError, TypeError, OSError, SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).rpartition("I/O error: ")[2]
        raise CheckpointError(f"Checkpoint {path.name} was not saved: {reason.rstrip('.')}.") from error
    return path


def _write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], half: bool, record: dict[str, Any]) -> None:
    """Write one safetensors file and note its size and digest in `record`."""
    stored = {}
    for name, tensor in tensors.items():
        value = tensor.detach().to("cpu", torch.float32).contiguous()
        if half and value.ndim >= 2:
            value = value.half()
            if not bool(torch.isfinite(value).all()):
                raise ValueError(f"{name} does not fit half precision")
        stored[name] = value
    save_file(stored, path)
    path.chmod(0o644)
    record["files"][path.name] = {"bytes": path.stat().st_size, "sha256": PLAIN.sha256_of(path)}


def _read_tensors(path: Path, name: str, config: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Tensors of one file after checking its size and digest against config.json."""
    file, entry = path / name, config["files"][name]
    where = f"Checkpoint {path.name} cannot be used: {name}"
    if not file.is_file():
        raise CheckpointError(f"{where} is missing; restore its folder.")
    size = file.stat().st_size
    if size > MAX_FILE_BYTES:
        raise CheckpointError(f"{where} is larger than {MAX_FILE_BYTES >> 30} GB.")
    if size != entry["bytes"]:
        raise CheckpointError(f"{where} has {size} bytes instead of {entry['bytes']}; restore it.")
    if PLAIN.sha256_of(file) != entry["sha256"]:
        raise CheckpointError(f"{where} is not the file that config.json names (sha256 differs); restore it.")
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{where} is not a readable safetensors file; restore it.") from error


def _build(part: str, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Network of one part. Raises ValueError with a sentence where settings or tensors do not fit."""
    settings = config.get(part)
    if part == "generator":
        return fill(generator_layout(settings), tensors, "the generator")
    if part == "discriminator":
        return fill(discriminator_layout(settings), tensors, "the discriminator")
    return fill_encoder(encoder_layout(settings), tensors)


_STATISTICS = ("mean", "std", "components", "variances")


def _read_statistics(path: Path, config: dict[str, Any], generator: Generator) -> WStatistics:
    """Statistics with the shapes that the generator's w_dim asks for, and values that are those of its W."""
    w_dim = generator.w_dim
    tensors = _read_tensors(path, "statistics.safetensors", config)
    where = f"Checkpoint {path.name} cannot be used: its W statistics"
    k = len(tensors["variances"]) if "variances" in tensors and tensors["variances"].ndim == 1 else 0
    shapes = {"mean": (w_dim,), "std": (w_dim,), "components": (k, w_dim), "variances": (k,)}
    if {name: tuple(tensor.shape) for name, tensor in tensors.items()} != shapes or k == 0:
        raise CheckpointError(f"{where} do not fit its generator; restore its folder.")
    arrays = {name: tensor.float().numpy() for name, tensor in tensors.items()}
    recorded = config.get("statistics")
    samples = recorded.get("samples") if isinstance(recorded, dict) else None
    if type(samples) is not int or not 2 <= samples <= MAX_SAMPLES:
        raise CheckpointError(f"{where} do not say how many samples they come from; restore config.json.")
    statistics = WStatistics(**arrays, samples=samples)
    try:
        check_statistics(statistics, generator)
    except ValueError as error:
        raise CheckpointError(f"{where} {error}; restore its folder.") from error
    return statistics
