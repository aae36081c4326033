"""From flags, a start and a folder to a loop that is ready to run: settings.json, data, networks, state."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latent.checkpoint_config import can_fit_mapping, can_reconstruct
from latent.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import FinetuneError
from latent.stylegan2.building import check_generator_kwargs
from latent.training.adversarial.settings import cpu_precision
from latent.training.distributed import Group
from latent.training.inputs import (
    FEWEST_SAMPLES,
    check_enough,
    check_same_flags,
    data_facts,
    distance_reference,
)
from latent.training.loop import Loop, descriptor_distance
from latent.training.reconstruction.data import Portraits
from latent.training.reconstruction.networks import Networks
from latent.training.reconstruction.settings import NAMES, TRAINED, Settings, check, generator_kwargs
from latent.training.reconstruction.trainer import Trainer
from latent.training.run_folder import RECONSTRUCTION, SETTINGS, RunFolder, read_settings, write_json

PHASE_FLAGS = tuple(f"{phase}_kimg" for phase in TRAINED)
PLAN_NAMES = (*PHASE_FLAGS, "frechet", "tick_kimg")  # may change when a run is resumed
SCRATCH_KIMG = {"autoencoding": 60.0, "projected": 60.0, "discriminator": 10.0}
FINETUNE_CPU_KIMG, DISCRIMINATOR_SHARE, DISCRIMINATOR_LEAST = 6.0, 6.0, 1.0
TICK_KIMG = {"cpu": 1.0, "cuda": 4.0}
GENERATOR_BASE, GENERATOR_MAX = 32768, 512  # a generator's own, where its config leaves them out
SHARED = ("resolution", "batch", "learning_rate", "ema_kimg", "precision", "channel_base", "channel_max", "seed")
BEFORE = {
    "photometric": 0.0,
    "renew_below": 0.0,
    "spread": 1.0,
}  # settings that a run of an earlier version does not name
FROM_START = ("z_dim", "w_dim", "encoder_width")


def add_flags(parser: argparse._ArgumentGroup) -> None:
    add = parser.add_argument
    add("--autoencoding-kimg", type=float, help="thousand images of phase 1 (60; 0 from a start of the same size)")
    add("--projected-kimg", type=float, help="thousand images of phase 2 (60; 6 from a start on a CPU)")
    add("--discriminator-kimg", type=float, help="of phase 4 (10; from a start a sixth of phase 2, at least 1)")
    for name, value in asdict(Settings()).items():
        if name not in SHARED:
            default = f"{value}, or as the start" if name in FROM_START else f"{value}"
            add(f"--{name.replace('_', '-')}", type=type(value), help=f"({default})")


@dataclass(frozen=True)
class Plan:
    """settings.json. kimg: length of each phase that sees images, in thousands; frechet: samples for the distance at
    ticks, 0: none; tick_kimg: thousand images between ticks; generator: settings of the network; start: None from
    scratch; data: what tells the training set from another."""

    settings: Settings
    kimg: dict[str, float]
    frechet: int
    tick_kimg: float
    generator: dict[str, Any]
    start: dict[str, Any] | None
    data: dict[str, Any]

    @property
    def totals(self) -> dict[str, int]:
        """Images of each phase: whole batches."""
        batch = self.settings.batch
        return {phase: math.ceil(round(self.kimg[phase] * 1000) / batch) * batch for phase in TRAINED}

    def write(self, path: Path) -> None:
        write_json(path, {"method": RECONSTRUCTION, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises FinetuneError where the file is not one of `write`."""
        record = read_settings(path, RECONSTRUCTION)
        try:
            kimg = {phase: float(record["kimg"][phase]) for phase in TRAINED}
            names = ("frechet", "tick_kimg", "generator", "start", "data")
            return cls(Settings(**(BEFORE | record["settings"])), kimg, **{name: record[name] for name in names})
        except (KeyError, TypeError, ValueError) as error:
            raise FinetuneError(f"{path} is damaged ({error}): start in a new --run.") from error


def open_plan(
    given: Mapping[str, Any], data: Path, start: Path | None, device: str, processes: int, folder: RunFolder
) -> tuple[Plan, list[str]]:
    """The plan of a new run, or that of the run in the folder with its lengths, ticks and --frechet as they are now;
    and sentences for the person.

    given: flags by the names of Settings and PLAN_NAMES. Raises FinetuneError or CheckpointError with what does not
    fit.
    """
    if processes > 1:
        raise FinetuneError("--method reconstruction trains in one process: start it without torchrun.")
    _check_plan_flags(given)
    chosen = {name: given[name] for name in NAMES if name in given}
    kimg = {phase: given[f"{phase}_kimg"] for phase in TRAINED if f"{phase}_kimg" in given}
    changed = {name: given[name] for name in ("frechet", "tick_kimg") if name in given}
    facts = data_facts(data)
    if (folder.path / SETTINGS).exists():
        plan = Plan.read(folder.path / SETTINGS)
        if facts != plan.data:
            raise FinetuneError(f"The run in {folder.path} was started on other images: choose another --run.")
        if start is not None and (plan.start is None or load_checkpoint(start).sha256 != plan.start["sha256"]):
            raise FinetuneError(f"The run in {folder.path} was started from another checkpoint: choose another --run.")
        check_same_flags(asdict(plan.settings), chosen)
        return replace(plan, kimg=plan.kimg | kimg, **changed), [f"Resuming the run in {folder.path}."]
    source = None if start is None else load_start(start)
    precision = chosen.pop("precision", "auto")
    if precision == "auto":
        precision = cpu_precision() if device == "cpu" else "bf16"
    from_start = {} if source is None else settings_of(source)
    settings = Settings(**(from_start | chosen | {"precision": precision}))
    check(settings)
    network = generator_kwargs(settings, None if source is None else source.generator.init_kwargs)
    try:
        check_generator_kwargs(network)
    except (TypeError, ValueError) as error:
        raise FinetuneError(f"These settings build no generator: {error}.") from error
    lengths = _lengths(kimg, None if source is None else source.resolution == settings.resolution, device)
    ticks = {"frechet": 0, "tick_kimg": TICK_KIMG[device]} | changed
    record: dict[str, Any] | None = None
    if source is not None and start is not None:
        record = {"path": str(start.resolve()), "name": source.name, "sha256": source.sha256}
        record |= {name: source.config[name] for name in ("source", "licence") if name in source.config}
    plan = Plan(settings, lengths, **ticks, generator=network, start=record, data=facts)
    phases = ", ".join(f"{phase} {length:g}" for phase, length in lengths.items())
    return plan, [f"{settings.resolution} px, batch {settings.batch}, {settings.precision}; thousand images: {phases}"]


def _check_plan_flags(given: Mapping[str, Any]) -> None:
    """Raises FinetuneError for a length or number that is not valid."""
    frechet = given.get("frechet", 0)
    if frechet and frechet < FEWEST_SAMPLES:
        raise FinetuneError(f"--frechet must be 0 or at least {FEWEST_SAMPLES} samples, not {frechet}.")
    for name in PHASE_FLAGS:
        if not 0 <= given.get(name, 0.0) < 1e9:
            raise FinetuneError(f"--{name.replace('_', '-')} must be 0 or above, not {given[name]}.")
    if not 0 < given.get("tick_kimg", 1.0) < 1e9:
        raise FinetuneError(f"--tick-kimg must be above 0, not {given['tick_kimg']}.")


def load_start(path: Path) -> Checkpoint:
    """A checkpoint that a run may start from. Raises LatentError for one without a WPlusEncoder, with classes, or whose
    mapping network cannot be fitted."""
    source = load_checkpoint(path, parts=("generator", "discriminator", "encoder"))
    if can_reconstruct(source.config):
        return source
    if isinstance(source.encoder, WPlusEncoder) and not can_fit_mapping(source.config):
        raise FinetuneError(
            f"{source.name} cannot start this run: its mapping network cannot be fitted (that takes two layers, the "
            "hidden one at least twice as wide as z)."
        )
    raise FinetuneError(
        f"{source.name} cannot start this run: it needs an encoder of `python -m latent train-encoder` and a generator "
        "without classes; --method adversarial starts from any checkpoint."
    )


def settings_of(source: Checkpoint) -> dict[str, Any]:
    """What a run takes from its start unless it is given."""
    assert isinstance(source.encoder, WPlusEncoder)
    synthesis: dict[str, Any] = dict(source.generator.init_kwargs["synthesis_kwargs"])  # type: ignore[call-overload]
    return {
        "resolution": source.resolution,
        "channel_base": synthesis.get("channel_base", GENERATOR_BASE),
        "channel_max": synthesis.get("channel_max", GENERATOR_MAX),
        "z_dim": source.generator.z_dim,
        "w_dim": source.w_dim,
        "encoder_width": source.encoder.width,
    }


def _lengths(kimg: Mapping[str, float], same_size: bool | None, device: str) -> dict[str, float]:
    """Lengths of the phases in thousand images. same_size: as the start, None without one."""
    default = dict(SCRATCH_KIMG)
    if same_size is not None:
        if same_size:
            default["autoencoding"] = 0.0
        if device == "cpu":
            default["projected"] = FINETUNE_CPU_KIMG
        default["discriminator"] = discriminator_kimg(kimg.get("projected", default["projected"]))
    return default | dict(kimg)


def discriminator_kimg(projected: float) -> float:
    """Length of phase 4 behind a fine-tuning by phase 2, in thousand images."""
    return max(DISCRIMINATOR_LEAST, projected / DISCRIMINATOR_SHARE)


def start_loop(plan: Plan, data: Path, group: Group, folder: RunFolder) -> Loop:
    """Networks, trainer and loop of a plan, at the newest state of the folder. Raises LatentError."""
    s = plan.settings
    portraits = Portraits(data, s.resolution, group.device, s.photometric)
    check_enough(data, len(portraits))
    networks = Networks(s, portraits, group.device, plan.generator)
    trainer = Trainer(networks, plan.totals)
    state = folder.load_state(group.device)
    if state is None and plan.start is not None:
        source = load_start(Path(plan.start["path"]))
        if source.sha256 != plan.start["sha256"]:
            raise FinetuneError(f"{source.name} has changed since this run began: start in a new --run.")
        networks.start_from(source)
    measure = None
    if plan.frechet:
        count, pixels = distance_reference(data, s.resolution, len(portraits), portraits.pixels)
        measure = descriptor_distance(trainer, count, pixels, plan.frechet, s.seed, group.device)

    def save(path: Path) -> None:
        trainer.finish_mapping()
        config = provenance(plan, folder, trainer.seen, len(portraits))
        discriminator = networks.discriminator.eval()
        save_checkpoint(path, networks.average_generator, discriminator, networks.average_encoder, config)

    tick_images = max(s.batch, round(plan.tick_kimg * 1000))
    loop = Loop(
        trainer,
        folder,
        group,
        save,
        s.resolution,
        tick_images,
        measure=measure,
        keep=trainer.keep,
        sheet=trainer.reconstructions,
    )
    if state is not None:
        loop.restore(state)
    return loop


def provenance(plan: Plan, folder: RunFolder, seen: Mapping[str, int], images: int) -> dict[str, Any]:
    licence = "that of the training images"
    training = asdict(plan.settings) | {"images_seen": dict(seen), "training_images": images, "data": plan.data}
    if plan.start is not None:
        licence += f", and that of the start {plan.start['name']}: {plan.start.get('licence', 'not stated')}"
        training["start"] = plan.start
    return {
        "source": "trained by `python -m latent finetune --method reconstruction`",
        "licence": licence,
        "run": str(folder.path.resolve()),
        "training": training,
        "start": None if plan.start is None else plan.start["sha256"],
        "half_precision": True,
    }
