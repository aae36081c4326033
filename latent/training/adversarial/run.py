"""From flags and folders to a loop that is ready to run: settings.json, data, networks, state."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from latent.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from latent.datasets.build import load
from latent.errors import FinetuneError
from latent.images import to_tensor
from latent.stylegan2 import Discriminator
from latent.stylegan2.augment.settings import PRESETS
from latent.training.adversarial import networks
from latent.training.adversarial.settings import (
    AUGMENTATIONS,
    DISCRIMINATORS,
    Settings,
    automatic,
    check_hardware,
    resumed,
)
from latent.training.adversarial.trainer import Trainer
from latent.training.distributed import Group
from latent.training.inputs import check_enough, data_facts, distance_reference
from latent.training.loop import Loop, descriptor_distance
from latent.training.projected_discriminator import CALIBRATION, ProjectedDiscriminator, fresh_discriminator
from latent.training.run_folder import ADVERSARIAL, SETTINGS, RunFolder, read_settings, write_json
from latent.training.streams import Streams

BOTH = ("generator", "discriminator")


def add_flags(parser: argparse._ArgumentGroup) -> None:
    add = parser.add_argument
    add("--kimg", type=float, help="length of the run in thousand images (16 on a CPU, else 1000)")
    add("--micro-batch", type=int, help="images a forward pass; less memory, same batch")
    add("--gamma", type=float, help="weight of R1; 0: none")
    rampup = "half-life as a share of the images seen, at most (0.05 from scratch; 0: no limit)"
    add("--ema-rampup", type=float, help=rampup)
    add("--g-rate", type=float, help="the generator's learning rate as a share of --learning-rate (1)")
    add("--g-rampup-kimg", type=float, help="thousand images over which the generator's learning rate rises")
    add("--mbstd", type=int, help="group of the minibatch standard deviation; 0: none")
    add("--r1-every", type=int, help="steps between R1 passes (16)")
    add("--pl-every", type=int, help="steps between path-length passes (4)")
    add("--pl-weight", type=float, help="weight of path-length regularisation (2); 0: none")
    add("--mixing", type=float, help="share of style-mixed samples (0.9)")
    add("--mirror", action="store_const", const=True, help="mirror half of the real images")
    fit = "first give the mapping network the distribution of the data's codes, read by the start's encoder"
    add("--fit-mapping", action="store_const", const=True, help=fit)
    add("--freeze-d", type=int, help="convolutions of the discriminator that are not trained, from the image side")
    kinds = "StyleGAN2's (default), or a projected one on frozen features, which needs far fewer images"
    add("--discriminator", choices=DISCRIMINATORS, help=kinds)
    add("--critic", dest="discriminator", choices=DISCRIMINATORS, help=argparse.SUPPRESS)  # its name before
    add("--augment", choices=AUGMENTATIONS, help="adaptive (default), of fixed strength, or none")
    add("--augpipe", choices=sorted(PRESETS), help="what the augmentation may do (bgc)")
    add("--target", type=float, help="E[sign D(real)] that adaptive augmentation holds (0.6)")
    add("--ada-kimg", type=float, help="thousand images in which the strength may go from 0 to 1")
    add("--p", type=float, help="strength of fixed augmentation, or where adaptive starts (0)")
    add("--checkpoint-ticks", type=int, help="ticks between checkpoints in the run folder (4)")


@dataclass(frozen=True)
class Plan:
    """settings.json: everything that shapes a run. start: path, digests and what was copied, None from scratch.
    data: what tells the training set from another."""

    settings: Settings
    layout: networks.Layout
    start: dict[str, Any] | None
    data: dict[str, Any]

    def write(self, path: Path) -> None:
        write_json(path, {"method": ADVERSARIAL, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises FinetuneError where the file is not one of `write`."""
        record = read_settings(path, ADVERSARIAL)
        try:
            layout = networks.Layout(**record["layout"])
            return cls(resumed(record["settings"], {}), layout, record["start"], record["data"])
        except (KeyError, TypeError) as error:
            raise FinetuneError(f"{path} is damaged ({error}): start in a new --run.") from error


def open_plan(
    given: Mapping[str, Any], data: Path, start: Path | None, device: str, processes: int, folder: RunFolder
) -> tuple[Plan, list[str]]:
    """The plan of a new run, or that of the run in the folder with what may change; and sentences for the person.

    Raises FinetuneError or CheckpointError with what does not fit.
    """
    facts, path = data_facts(data), folder.path / SETTINGS
    if path.exists():
        before = Plan.read(path)
        if facts != before.data:
            raise FinetuneError(f"The run in {folder.path} was started on other images: choose another --run.")
        if start is not None and (before.start is None or digests(_source(start)) != before.start["digests"]):
            raise FinetuneError(f"The run in {folder.path} was started from another checkpoint: choose another --run.")
        settings = resumed(asdict(before.settings), given)
        check_hardware(settings, device, processes)
        return Plan(settings, before.layout, before.start, facts), [f"Resuming the run in {folder.path}."]
    source = None if start is None else _source(start, bool(given.get("fit_mapping")))
    resolution = given.get("resolution") or (source.resolution if source else int(facts["shape"][1]))
    settings = automatic(given, resolution, device, processes, source is not None)
    check_hardware(settings, device, processes)
    if settings.fit_mapping:
        networks.check_mapping_fit(source)
    plan = networks.layout(settings, source)
    words = [f"{settings.resolution} px, batch {settings.batch}, R1 weight {settings.gamma:g}, {settings.precision}"]
    record: dict[str, Any] | None = None
    if source is not None and start is not None:
        copied = networks.fill_from(source, *networks.build(plan, 0))
        sentences = networks.copy_sentences(source.name, copied)
        words += sentences[:1] if settings.discriminator == "projected" else sentences
        words += ["mapping network: fitted to the codes of the training images"] if settings.fit_mapping else []
        origin: dict[str, Any] = {name: source.config[name] for name in ("source", "licence") if name in source.config}
        record = {"path": str(start.resolve()), "name": source.name, "digests": digests(source), **origin, **copied}
        record["half_precision"] = bool(source.config.get("half_precision", False))
    return Plan(settings, plan, record, facts), words


def _source(path: Path, encoder: bool = False) -> Checkpoint:
    """encoder: read it too; an imported one is larger than both networks."""
    return load_checkpoint(path, parts=("discriminator", "encoder") if encoder else ("discriminator",))


def digests(checkpoint: Checkpoint) -> dict[str, str]:
    """sha256 of the weight files that a run starts from."""
    names = (f"{part}.safetensors" for part in BOTH)
    return {name: checkpoint.config["files"][name]["sha256"] for name in names if name in checkpoint.config["files"]}


def start_loop(plan: Plan, data: Path, group: Group, folder: RunFolder) -> Loop:
    """Networks, trainer and loop of a plan, at the newest state of the folder. Raises LatentError."""
    s, streams = plan.settings, Streams(plan.settings.seed)
    images, _ = load(data, s.resolution)  # without the people that the set holds out
    check_enough(data, len(images))
    generator, from_layout = networks.build(plan.layout, streams.number("weights"))
    state = folder.load_state(group.device)
    if state is None and plan.start is not None:
        source = _source(Path(plan.start["path"]), s.fit_mapping)
        if digests(source) != plan.start["digests"]:
            raise FinetuneError(f"{source.name} has changed since this run began: start in a new --run.")
        networks.fill_from(source, generator, from_layout)
        if s.fit_mapping:
            networks.fit_to_images(generator, networks.check_mapping_fit(source), load(data, source.resolution)[0])
    discriminator: Discriminator | ProjectedDiscriminator = from_layout
    if s.discriminator == "projected":
        first = to_tensor(np.asarray(images[:CALIBRATION]), group.device)
        discriminator = fresh_discriminator(first, streams.number("projected discriminator"))
    trainer = Trainer(s, generator, discriminator, images, group)
    measure = None
    if s.frechet and group.first:
        count, pixels = distance_reference(
            data, images.shape[1], len(images), lambda rows: np.asarray(images[rows.numpy()])
        )
        measure = descriptor_distance(trainer, count, pixels, s.frechet, s.seed, group.device)
    origin = provenance(plan, folder)

    def save(path: Path) -> None:
        """The averaged generator and the discriminator; a projected one is not part of a checkpoint."""
        config = origin | {"training": origin["training"] | {"images_seen": trainer.images}}
        save_checkpoint(path, trainer.g_ema, trainer.d if isinstance(trainer.d, Discriminator) else None, None, config)

    tick_images = max(s.batch, round(s.tick_kimg * 1000))
    loop = Loop(trainer, folder, group, save, s.resolution, tick_images, s.checkpoint_ticks, measure)
    if state is not None:
        loop.restore(state)
    return loop


def provenance(plan: Plan, folder: RunFolder) -> dict[str, Any]:
    training: dict[str, Any] = {"settings": asdict(plan.settings), "data": plan.data}
    if plan.start is not None:
        names = ("name", "digests", "source")
        training["start"] = {name: plan.start[name] for name in names if name in plan.start}
    return {
        "source": "trained by `python -m latent finetune`",
        "licence": (plan.start or {}).get("licence", "that of the training images"),
        "half_precision": (plan.start or {}).get("half_precision", False),
        "run": str(folder.path.resolve()),
        "training": training,
    }
