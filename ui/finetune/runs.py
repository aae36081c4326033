"""What the Fine-tune page reads from disk: training sets, start checkpoints, runs. Nothing of Streamlit.

`runs/sets/NAME` is a training set of `python -m latent dataset`, `runs/finetune/NAME` the run of `python -m latent
finetune` that makes the checkpoint NAME. Both may also come from the command line; the page shows all of them.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from common.parsing import json_value
from jobs.queue import PROJECT
from jobs.record import Job
from latent.checkpoint_config import can_fit_mapping, can_reconstruct, has_part, read_config
from latent.errors import LatentError
from ui.shell import resources

MAX_JSON_BYTES = 4 << 20
ADVERSARIAL, RECONSTRUCTION = "adversarial", "reconstruction"  # methods of training
TRAINING = ("finetune", "warmstart")  # commands that train; the second is the first's former name
FORMER_NAMES = {"criticism": "loss_g", "critic_loss": "loss_projected", "d_loss": "loss_d", "d_sign": "real_sign"}
COUNTS = ("size", "photos", "kept", "refused")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
COUNTED = re.compile(r"(\d+) of (\d+) \w+")
FRESH_SECONDS = 2.0  # clocks of files and records may differ by this much


def sets_root() -> Path:
    return resources.runs_root() / "sets"


def finetune_root() -> Path:
    return resources.runs_root() / "finetune"


def shown(path: Path) -> str:
    """A path as a person would type it in the project's folder."""
    whole = path.resolve()
    return str(whole.relative_to(PROJECT)) if whole.is_relative_to(PROJECT) else str(whole)


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object, None where there is none or it is damaged."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            return None
        found = json_value(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def is_number(value: object) -> TypeGuard[float]:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


@dataclass(frozen=True)
class TrainingSet:
    """An aligned training set. facts: its dataset.json, of which the counts were checked."""

    name: str
    folder: Path
    facts: dict[str, Any]

    @property
    def size(self) -> int:
        """Pixels on a side."""
        return int(self.facts["size"])

    @property
    def kept(self) -> int:
        return int(self.facts["kept"])

    def held_out(self) -> dict[str, Any]:
        """Counts of the people kept out of training, {} where nobody is."""
        held = self.facts.get("hold_out")
        sides = ("train", "held_out")
        whole = isinstance(held, dict) and all(
            isinstance(held.get(side), dict) and all(is_number(held[side].get(n)) for n in ("photos", "patients"))
            for side in sides
        )
        return held if whole and isinstance(held, dict) else {}

    @property
    def to_train_on(self) -> int:
        """Photos that are not held out."""
        held = self.held_out()
        return int(held["train"]["photos"]) if held else self.kept

    def refused(self, most: int) -> list[tuple[str, str]]:
        """(file, reason) of the first refused photos, [] where refused.csv is missing or damaged."""
        try:
            with (self.folder / "refused.csv").open(encoding="utf-8", newline="") as file:
                rows = csv.DictReader(io.StringIO(file.read(MAX_JSON_BYTES)))
                return [(str(row["file"]), str(row["reason"])) for row in itertools.islice(rows, most)]
        except (OSError, ValueError, KeyError, csv.Error):
            return []

    def reasons(self) -> dict[str, int]:
        """How many photos were refused for what."""
        found = self.facts.get("reasons")
        return {str(k): v for k, v in found.items() if type(v) is int} if isinstance(found, dict) else {}


def training_sets() -> list[TrainingSet]:
    """The sets under runs/sets, by name. Folders without a whole dataset.json are no sets."""
    found = []
    for path in sorted(sets_root().glob("*/dataset.json")):
        facts = read_object(path)
        if facts is None or path.parent.name.startswith(".") or not NAME.fullmatch(path.parent.name):
            continue
        if all(type(facts.get(name)) is int and facts[name] >= 0 for name in COUNTS) and facts["size"] > 0:
            found.append(TrainingSet(path.parent.name, path.parent, facts))
    return found


@dataclass(frozen=True)
class Start:
    """A checkpoint to start from, as far as its config.json tells."""

    name: str
    folder: Path
    resolution: int
    discriminator: bool
    fittable: bool  # whether its mapping network can be fitted to the codes of new photos
    reconstructs: bool  # whether `finetune --method reconstruction` can start from it
    licence: str


def start_from(name: str) -> Start:
    """Facts of a checkpoint. Raises LatentError where its config.json cannot be used."""
    folder = resources.checkpoints_root() / name
    config = read_config(folder)
    resolution = config.get("resolution")
    if type(resolution) is not int or not 4 <= resolution <= 4096:
        raise LatentError(f"Checkpoint {name} cannot be used: its config.json is damaged; restore its folder.")
    licence = str(config.get("licence") or "")
    discriminator, fittable = has_part(config, "discriminator"), can_fit_mapping(config)
    return Start(name, folder, resolution, discriminator, fittable, can_reconstruct(config), licence)


@dataclass(frozen=True)
class Run:
    """A run of `python -m latent finetune`, as its folder tells.

    method: how it trains. status: status.json with state "killed" for a process that is gone, {} before there is one.
    lines: log.jsonl.
    samples: (thousand images, JPEG), the oldest first. settings: settings.json, {} before there is one.
    reconstructions: the newest sheet of photos above what is drawn of their codes, None where there is none.
    """

    name: str
    folder: Path
    status: dict[str, Any] = field(default_factory=dict)
    lines: list[dict[str, Any]] = field(default_factory=list)
    samples: list[tuple[float, Path]] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    reconstructions: Path | None = None
    method: str = ADVERSARIAL

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Thousand images, and one measured number at each tick that has it."""
        pairs = [(line["kimg"], line[name]) for line in self.lines if is_number(line.get(name))]
        return [float(k) for k, _ in pairs], [float(v) for _, v in pairs]

    def newest(self, name: str) -> float | None:
        """The last value of a measured number."""
        values = self.series(name)[1]
        return values[-1] if values else None


def run_names() -> list[str]:
    """Runs under runs/finetune, the newest first."""
    folders = [p for p in finetune_root().glob("*") if NAME.fullmatch(p.name) and (p / "settings.json").is_file()]
    return [p.name for p in sorted(folders, key=lambda p: -(p / "settings.json").stat().st_mtime)]


def read_run(name: str) -> Run:
    """A run as it is now; what is missing or damaged in its folder is left empty."""
    from latent.training.run_folder import RunFolder, method_of, read_status

    folder = finetune_root() / name
    try:
        status = read_status(folder)
    except LatentError:
        status = {}
    lines = [
        {FORMER_NAMES.get(name, name): value for name, value in line.items()}
        for line in RunFolder(folder).log()
        if isinstance(line, dict) and is_number(line.get("kimg"))
    ]
    samples = [(int(p.stem) / 1000, p) for p in _pictures(folder / "samples")]
    sheets = _pictures(folder / "reconstructions")
    settings = read_object(folder / "settings.json") or {}
    return Run(name, folder, status, lines, samples, settings, sheets[-1] if sheets else None, method_of(settings))


def _pictures(folder: Path) -> list[Path]:
    """Pictures named by the images seen, the oldest first."""
    return sorted(p for p in folder.glob("*.jpg") if p.stem.isdigit())


def measured_speed(resolution: int, method: str) -> tuple[float, str] | None:
    """Images a second of the newest run of this method at this resolution on this machine, and its name; None before
    there is one."""
    for name in run_names():
        run = read_run(name)
        settings, speed = run.settings.get("settings"), run.newest("images_per_s")
        if isinstance(settings, dict) and settings.get("resolution") == resolution and run.method == method and speed:
            return speed, name
    return None


def delete_folder(folder: Path, root: Path) -> None:
    """Delete a set or a run. Raises LatentError for anything that is not one folder directly under `root`."""
    if folder.parent.resolve() != root.resolve() or not NAME.fullmatch(folder.name) or folder.is_symlink():
        raise LatentError(f"{folder.name} is not deleted: it is no folder of {root.name}.")
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise LatentError(f"{folder.name} could not be deleted: {error.strerror or error}.") from error


def option(command: Sequence[str], flag: str) -> str | None:
    """The value that follows a flag of a command."""
    return command[command.index(flag) + 1] if flag in command[:-1] else None


def verb(job: Job) -> str:
    """finetune, dataset, evaluate, ..."""
    return job.command[1]


def trains(job: Job) -> bool:
    """Whether a job makes a checkpoint of a start and a set."""
    return verb(job) in TRAINING


def run_of(job: Job) -> str | None:
    """Name of the run that a job trains or evaluates."""
    path = option(job.command, "--run") if trains(job) else option(job.command, "--out")
    if path is None or verb(job) not in (*TRAINING, "evaluate"):
        return None
    folder = Path(path) if trains(job) else Path(path).parent
    return folder.name if (PROJECT / folder).resolve().parent == finetune_root().resolve() else None


@dataclass(frozen=True)
class Progress:
    """Where a job is: state as the person should read it, share done (None while unknown), seconds left, one
    sentence."""

    state: str
    share: float | None = None
    seconds_left: float | None = None
    sentence: str = ""


def progress_of(job: Job, log: str) -> Progress:
    """What a job's own files and the end of its log say."""
    name = run_of(job)
    if trains(job) and name is not None:
        return _training(job, read_run(name).status, log)
    last = log.rpartition("\n")[2]
    sentence = last if job.state == "failed" or (job.state == "running" and not last.startswith("[")) else ""
    counted = COUNTED.match(last)
    share = min(1.0, int(counted[1]) / max(1, int(counted[2]))) if counted and job.state == "running" else None
    return Progress(job.state, share, None, sentence)


def _training(job: Job, status: dict[str, Any], log: str) -> Progress:
    own = is_number(status.get("time")) and status["time"] > (job.started or math.inf) - FRESH_SECONDS
    share, left = (status.get(name) if is_number(status.get(name)) else None for name in ("progress", "seconds_left"))
    told = str(status.get("message", ""))
    if job.state == "failed":
        # A command that was refused before it touched the run has said so in its log alone.
        sentence = told if own and status.get("state") == "failed" else log.rpartition("\n")[2]
        return Progress("failed", share, None, sentence)
    if job.state == "interrupted" and own and status.get("state") in ("done", "stopped"):
        return Progress(str(status["state"]), share, None, told)
    if job.state == "running":
        return Progress("running", share, left if own else None, told if own else "Starting")
    return Progress(job.state, share, None, told if job.state == "done" else "")
