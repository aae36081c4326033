"""From flags and folders to a loop that is ready to go: settings.json, data, networks, state."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common.disk import why_not_writable
from latent.checkpoint_config import read_config
from latent.checkpoints import Checkpoint, load_checkpoint
from latent.datasets.build import load
from latent.errors import FinetuneError
from latent.evaluation.features import BATCH, face_descriptors
from latent.evaluation.metrics import Moments, frechet
from latent.images import to_tensor, to_uint8
from latent.stylegan2 import Discriminator
from latent.training.adversarial import networks
from latent.training.adversarial.distributed import Group
from latent.training.adversarial.loop import Loop
from latent.training.adversarial.settings import Settings, automatic, check_hardware, going_on
from latent.training.adversarial.streams import Streams
from latent.training.adversarial.trainer import Trainer
from latent.training.projected_discriminator import ProjectedCritic
from latent.training.run_folder import SETTINGS, RunFolder, read_json, write_json

FEWEST_IMAGES = 8
CALIBRATION = 64  # images that set the scale of a projected critic's features
BOTH = ("generator", "discriminator")


@dataclass(frozen=True)
class Plan:
    """settings.json: everything that shapes a run. start: path, digests and what was copied, None from scratch.
    data: what tells the training set from another."""

    settings: Settings
    layout: networks.Layout
    start: dict[str, Any] | None
    data: dict[str, Any]

    def write(self, path: Path) -> None:
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises FinetuneError where the file is not one of `write`."""
        record = read_json(path)
        try:
            plan = networks.Layout(**record["layout"])
            return cls(going_on(record["settings"], {}), plan, record["start"], record["data"])
        except (KeyError, TypeError) as error:
            raise FinetuneError(f"{path} is damaged ({error}): start in a new --run.") from error


def check_out(out: Path | None, folder: RunFolder) -> None:
    """Raises FinetuneError where the checkpoint to write exists and is not this run's own from before, or where run or
    checkpoint could not be written."""
    for path in (folder.path / SETTINGS, out):
        if path is not None and (why := why_not_writable(path)):
            raise FinetuneError(f"{path} could not be written: {why}.")
    if out is None or not out.exists():
        return
    own = str(folder.path.resolve())
    if not (out / "config.json").is_file() or read_json(out / "config.json").get("run") != own:
        raise FinetuneError(f"{out} exists already: choose another --out, or delete it.")


def check_inputs(data: Path, start: Path | None) -> None:
    """Raises LatentError where there is no training set or no checkpoint to start from: before a run folder is made."""
    data_facts(data)
    if start is not None:
        read_config(start)


def data_facts(folder: Path) -> dict[str, Any]:
    """Name, number and size of the images, and a digest of their table. Raises FinetuneError where there is no set."""
    try:
        shape = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False).shape
        digest = hashlib.sha256((folder / "table.parquet").read_bytes()).hexdigest()
    except (OSError, ValueError) as error:
        raise FinetuneError(f"{folder} is not a training set: make one with `python -m latent dataset`.") from error
    return {"name": folder.resolve().name, "shape": list(shape), "table_sha256": digest}


def open_plan(
    given: Mapping[str, Any], data: Path, start: Path | None, device: str, processes: int, folder: RunFolder
) -> tuple[Plan, list[str]]:
    """The plan of a new run, or that of the run in the folder with what may change; and words for the person.

    Raises FinetuneError or CheckpointError with what does not fit.
    """
    facts, path = data_facts(data), folder.path / SETTINGS
    if path.exists():
        before = Plan.read(path)
        if facts != before.data:
            raise FinetuneError(f"The run in {folder.path} was started on other images: choose another --run.")
        if start is not None and (before.start is None or digests(_source(start)) != before.start["digests"]):
            raise FinetuneError(f"The run in {folder.path} was started from another checkpoint: choose another --run.")
        settings = going_on(asdict(before.settings), given)
        check_hardware(settings, device, processes)
        return Plan(settings, before.layout, before.start, facts), [f"Going on with the run in {folder.path}."]
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
        used = networks.in_words(source.name, copied)
        words += used[:1] if settings.critic == "projected" else used
        words += ["mapping network: fitted to the codes of the training images"] if settings.fit_mapping else []
        kept: dict[str, Any] = {name: source.config[name] for name in ("source", "licence") if name in source.config}
        record = {"path": str(start.resolve()), "name": source.name, "digests": digests(source), **kept, **copied}
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
    s = plan.settings
    images, _ = load(data, s.resolution)  # without the people that the set holds out
    if len(images) < FEWEST_IMAGES:
        raise FinetuneError(f"{data} has {len(images)} images to train on; at least {FEWEST_IMAGES} are needed.")
    opponent: Discriminator | ProjectedCritic
    generator, discriminator = networks.build(plan.layout, Streams(s.seed).number("weights"))
    state = folder.load_state(group.device)
    if state is None and plan.start is not None:
        source = _unchanged(plan.start, s.fit_mapping)
        networks.fill_from(source, generator, discriminator)
        if s.fit_mapping:
            seen = load(data, source.resolution)[0]
            networks.fit_to_images(generator, networks.check_mapping_fit(source), seen)
    opponent = discriminator
    if s.critic == "projected":
        opponent = projected_critic(s.resolution, images, group.device, Streams(s.seed).number("critic"))
    trainer = Trainer(s, generator, opponent, images, group)
    measure = descriptor_distance(trainer, images) if s.frechet and group.first else None
    loop = Loop(trainer, folder, provenance(plan, folder), measure)
    if state is not None:
        loop.restore(state)
    return loop


def projected_critic(resolution: int, images: np.ndarray, device: torch.device, seed: int) -> ProjectedCritic:
    """A fresh critic whose scales are brought to a spread of one on the first images (N, R, R, 3) uint8.

    Raises LatentError where the frozen features are not installed.
    """
    torch.manual_seed(seed)
    critic = ProjectedCritic(resolution, device).to(device)
    critic.projection.calibrate(critic.taps(to_tensor(np.asarray(images[:CALIBRATION]), device)))
    return critic


def _unchanged(start: Mapping[str, Any], encoder: bool) -> Checkpoint:
    source = _source(Path(start["path"]), encoder)
    if digests(source) != start["digests"]:
        raise FinetuneError(f"{source.name} has changed since this run was begun: start in a new --run.")
    return source


def provenance(plan: Plan, folder: RunFolder) -> dict[str, Any]:
    """What a checkpoint's config.json says about its origin."""
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


def descriptor_distance(trainer: Trainer, images: np.ndarray) -> Callable[[], float]:
    """The averaged generator's Frechet distance to the training images on face descriptors, for equal numbers of
    each; always the same images and latents, so that ticks can be compared."""
    n = min(trainer.settings.frechet, len(images))
    rows = torch.randperm(len(images), generator=trainer.streams.generator("frechet images"))[:n].sort().values.numpy()
    z = torch.randn(n, trainer.g.z_dim, generator=trainer.streams.generator("frechet latents"))

    @torch.no_grad()
    def draw() -> np.ndarray:
        parts = (trainer.g_ema(part.to(trainer.device), noise_mode="const") for part in z.split(BATCH))
        return np.concatenate([to_uint8(part) for part in parts])

    return distance_to(images[rows], draw, trainer.device)


def distance_to(images: np.ndarray, draw: Callable[[], np.ndarray], device: torch.device) -> Callable[[], float]:
    """What measures the Frechet distance of what `draw` returns to images on face descriptors; both (n, R, R, 3)
    uint8."""
    reference = Moments.of(face_descriptors(images, device))
    return lambda: frechet(reference, face_descriptors(draw(), device))
