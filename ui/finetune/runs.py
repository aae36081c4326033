"""What the Fine-tune page reads from disk: training sets, start checkpoints, runs. Nothing of Streamlit.

`runs/sets/NAME` is a training set of `python -m latent dataset`, `runs/finetune/NAME` the run of `python -m latent
finetune` that makes the checkpoint NAME. Both may also come from the command line; the page shows all of them.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.parsing import json_value
from jobs.progress import is_number, run_folder
from jobs.record import Job
from latent.checkpoint_config import can_fit_mapping, can_reconstruct, has_part, read_config
from latent.errors import LatentError
from latent.training.run_folder import RunFolder, method_of, read_status
from ui.shell import resources

MAX_JSON_BYTES = 4 << 20
ADVERSARIAL, RECONSTRUCTION = "adversarial", "reconstruction"  # methods of training
FORMER_NAMES = {"criticism": "loss_g", "critic_loss": "loss_projected", "d_loss": "loss_d", "d_sign": "real_sign"}
COUNTS = ("size", "photos", "kept", "refused")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def sets_root() -> Path:
    return resources.runs_root() / "sets"


def finetune_root() -> Path:
    return resources.runs_root() / "finetune"


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object, None where there is none or it is damaged."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            return None
        value = json_value(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


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
        """Counts of the people held out of training, {} where nobody is."""
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
        counts = self.facts.get("reasons")
        return {str(k): v for k, v in counts.items() if type(v) is int} if isinstance(counts, dict) else {}


def training_sets() -> list[TrainingSet]:
    """The sets under runs/sets, by name. Folders without a whole dataset.json are no sets."""
    sets = []
    for path in sorted(sets_root().glob("*/dataset.json")):
        facts = read_object(path)
        if facts is None or path.parent.name.startswith(".") or not NAME.fullmatch(path.parent.name):
            continue
        if all(type(facts.get(name)) is int and facts[name] >= 0 for name in COUNTS) and facts["size"] > 0:
            sets.append(TrainingSet(path.parent.name, path.parent, facts))
    return sets


@dataclass(frozen=True)
class Start:
    """A checkpoint to start from, as far as its config.json says."""

    name: str
    folder: Path
    resolution: int
    discriminator: bool
    fittable: bool  # whether its mapping network can be fitted to the codes of new photos
    reconstructs: bool  # whether it can be trained with reconstructions: fittable, and with an encoder
    licence: str


def start_from(name: str) -> Start:
    """Facts about a checkpoint. Raises LatentError where its config.json cannot be used."""
    folder = resources.checkpoints_root() / name
    config = read_config(folder)
    resolution = config.get("resolution")
    if type(resolution) is not int or not 4 <= resolution <= 4096:
        raise LatentError(f"The face model {name} cannot be used: its config.json is damaged; restore its folder.")
    licence = str(config.get("licence") or "")
    discriminator, fittable = has_part(config, "discriminator"), can_fit_mapping(config)
    return Start(name, folder, resolution, discriminator, fittable, can_reconstruct(config), licence)


@dataclass(frozen=True)
class Run:
    """A run of `python -m latent finetune`, as its folder shows.

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
        raise LatentError(f"{folder.name} is not deleted: it is not a folder of {root.name}.")
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise LatentError(f"{folder.name} could not be deleted: {error.strerror or error}.") from error


def run_of(job: Job) -> str | None:
    """Name of the run that a job trains or evaluates, where it is one of this page."""
    folder = run_folder(job)
    return folder.name if folder is not None and folder.parent == finetune_root().resolve() else None
