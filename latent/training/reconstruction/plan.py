"""From flags, a start and a folder to what a run is made of: settings.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from latent.checkpoints import Checkpoint, load_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import FinetuneError
from latent.stylegan2.building import check_generator_kwargs
from latent.training.adversarial.run import data_facts
from latent.training.adversarial.settings import cpu_precision
from latent.training.mapping_fit import can_be_fitted
from latent.training.reconstruction.settings import NAMES, TRAINED, Settings, check, generator_kwargs
from latent.training.run_folder import SETTINGS, STATE, RunFolder, read_json, write_json

COMMAND = "warmstart"  # tells settings.json from one of `finetune`
FEWEST_SAMPLES = 50
SCRATCH_KIMG = {"autoencoding": 60.0, "adversary": 60.0, "discriminator": 10.0}
FINETUNE_CPU_KIMG, DISCRIMINATOR_SHARE, DISCRIMINATOR_LEAST = 6.0, 6.0, 1.0
GENERATOR_BASE, GENERATOR_MAX = 32768, 512  # a generator's own, where its config leaves them out


@dataclass(frozen=True)
class Plan:
    """settings.json. kimg: length of each phase that sees images, in thousands; frechet: samples for the distance at
    ticks, 0: none; generator: settings of the network; start: None from scratch; data: what tells sets apart."""

    settings: Settings
    kimg: dict[str, float]
    frechet: int
    generator: dict[str, Any]
    start: dict[str, Any] | None
    data: dict[str, Any]

    @property
    def totals(self) -> dict[str, int]:
        """Images of each phase: whole batches."""
        batch = self.settings.batch
        return {phase: math.ceil(round(self.kimg[phase] * 1000) / batch) * batch for phase in TRAINED}

    def write(self, path: Path) -> None:
        write_json(path, {"command": COMMAND, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Raises FinetuneError where the file is not one of `write`."""
        record = read_json(path)
        if record.get("command") != COMMAND:
            raise FinetuneError(f"{path.parent} is the run of another command: choose another --run.")
        try:
            kimg = {phase: float(record["kimg"][phase]) for phase in TRAINED}
            names = ("frechet", "generator", "start", "data")
            return cls(Settings(**record["settings"]), kimg, **{name: record[name] for name in names})
        except (KeyError, TypeError, ValueError) as error:
            raise FinetuneError(f"{path} is damaged ({error}): start in a new --run.") from error


def open_plan(
    given: Mapping[str, Any],
    kimg: Mapping[str, float | None],
    frechet: int | None,
    data: Path,
    start: Path | None,
    device: str,
    folder: RunFolder,
) -> Plan:
    """The plan of a new run, or that of the run in the folder with its lengths and --frechet as they are now.

    given: flags by the names of Settings, None where left out; kimg: of each phase of TRAINED.
    Raises FinetuneError or CheckpointError with what does not fit.
    """
    if frechet and frechet < FEWEST_SAMPLES:
        raise FinetuneError(f"--frechet must be 0 or at least {FEWEST_SAMPLES} samples, not {frechet}.")
    for phase, length in kimg.items():
        if length is not None and not 0 <= length < 1e9:
            raise FinetuneError(f"--{phase}-kimg must be 0 or above, not {length}.")
    chosen = {name: given[name] for name in NAMES if given.get(name) is not None}
    facts = data_facts(data)
    if (folder.path / SETTINGS).exists():
        plan = _going_on(Plan.read(folder.path / SETTINGS), chosen, facts, start, folder)
        told = {phase: length for phase, length in kimg.items() if length is not None}
        return replace(plan, kimg=plan.kimg | told, frechet=plan.frechet if frechet is None else frechet)
    if (folder.path / STATE).exists():
        raise FinetuneError(f"{folder.path} holds a state without settings.json: choose another --run.")
    source = None if start is None else load_start(start)
    precision = chosen.pop("precision", "auto")
    if precision == "auto":
        precision = cpu_precision() if device == "cpu" else "bf16"
    own = {} if source is None else settings_of(source)
    settings = Settings(**(own | chosen | {"precision": precision}))
    check(settings)
    network = generator_kwargs(settings, None if source is None else source.generator.init_kwargs)
    try:
        check_generator_kwargs(network)
    except (TypeError, ValueError) as error:
        raise FinetuneError(f"These settings build no generator: {error}.") from error
    lengths = _lengths(kimg, None if source is None else source.resolution == settings.resolution, device)
    return Plan(settings, lengths, frechet or 0, network, None if source is None else _told(source, start), facts)


def load_start(path: Path) -> Checkpoint:
    """A checkpoint that a run may start from. Raises LatentError for one without an encoder of ours or with classes."""
    source = load_checkpoint(path, parts=("generator", "discriminator", "encoder"))
    if not isinstance(source.encoder, WPlusEncoder) or source.generator.c_dim:
        raise FinetuneError(
            f"{source.name} cannot start this run: it needs an encoder of ours (`python -m latent train-encoder`) and "
            "a generator without classes; `python -m latent finetune` starts from any checkpoint."
        )
    if not can_be_fitted(source.generator.mapping):
        raise FinetuneError(
            f"{source.name} cannot start this run: its mapping network is not one that can be fitted (two layers, the "
            "hidden one at least twice as wide as z)."
        )
    return source


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


def _told(source: Checkpoint, path: Path | None) -> dict[str, Any]:
    assert path is not None
    kept: dict[str, Any] = {name: source.config[name] for name in ("source", "licence") if name in source.config}
    return {"path": str(path.resolve()), "name": source.name, "sha256": source.sha256, **kept}


def _going_on(
    plan: Plan, chosen: Mapping[str, Any], facts: Mapping[str, Any], start: Path | None, folder: RunFolder
) -> Plan:
    """Raises FinetuneError where flags ask for another run than the one in the folder."""
    if facts != plan.data:
        raise FinetuneError(f"The run in {folder.path} was started on other images: choose another --run.")
    if start is not None and (plan.start is None or load_checkpoint(start).sha256 != plan.start["sha256"]):
        raise FinetuneError(f"The run in {folder.path} was started from another checkpoint: choose another --run.")
    for name, value in chosen.items():
        old = getattr(plan.settings, name)
        if value != old and (name, value) != ("precision", "auto"):
            raise FinetuneError(
                f"The run in this folder has --{name.replace('_', '-')} {old}, not {value}: leave the flag out to go "
                "on with it, or start in a new --run."
            )
    return plan


def _lengths(kimg: Mapping[str, float | None], same_size: bool | None, device: str) -> dict[str, float]:
    """Lengths of the phases in thousand images. same_size: as the start, None without one."""
    usual = dict(SCRATCH_KIMG)
    if same_size is not None:
        if same_size:
            usual["autoencoding"] = 0.0
        if device == "cpu":
            usual["adversary"] = FINETUNE_CPU_KIMG
    told = {phase: length for phase, length in kimg.items() if length is not None}
    lengths = usual | told
    if same_size is not None and "discriminator" not in told:
        lengths["discriminator"] = discriminator_kimg(lengths["adversary"])
    return lengths


def discriminator_kimg(adversary: float) -> float:
    """Length of phase 4 behind a fine-tuning by phase 2, in thousand images."""
    return max(DISCRIMINATOR_LEAST, adversary / DISCRIMINATOR_SHARE)


def provenance(plan: Plan, folder: RunFolder, seen: Mapping[str, int], images: int) -> dict[str, Any]:
    """What the checkpoint's config.json says about its origin."""
    licence = "that of the training images"
    if plan.start is not None:
        licence += f", and that of the start {plan.start['name']}: {plan.start.get('licence', 'not told')}"
    training = asdict(plan.settings) | {"images_seen": dict(seen), "training_images": images, "data": plan.data}
    if plan.start is not None:
        training["start"] = plan.start
    return {
        "source": "trained by `python -m latent warmstart`",
        "licence": licence,
        "run": str(folder.path.resolve()),
        "training": training,
        "start": None if plan.start is None else plan.start["sha256"],
        "half_precision": True,
    }


def unchanged(plan: Plan) -> Checkpoint | None:
    """The start of a plan. Raises FinetuneError where its weights are others by now."""
    if plan.start is None:
        return None
    source = load_start(Path(plan.start["path"]))
    if source.sha256 != plan.start["sha256"]:
        raise FinetuneError(f"{source.name} has changed since this run was begun: start in a new --run.")
    return source
