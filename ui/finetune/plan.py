"""From a training set and a face model to the command that fine-tunes: length, name, settings."""

from __future__ import annotations

import itertools
import math
from typing import Any

import streamlit as st
import torch

from common.text import duration
from jobs.progress import trains
from jobs.queue import command_path
from jobs.record import QueueError
from latent.errors import LatentError
from latent.training.adversarial.settings import Settings, automatic
from latent.training.reconstruction.run import FINETUNE_CPU_KIMG, SCRATCH_KIMG, discriminator_kimg
from ui.background.missing import unavailable
from ui.elements import blocks, message
from ui.elements.escaping import trusted
from ui.finetune import method, runs
from ui.finetune.runs import RECONSTRUCTION, Start, TrainingSet
from ui.shell import resources, session

GRACE = 300.0  # s; a stop waits for the step at hand, then writes the state and a checkpoint
FEWEST = 8  # photos
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
AUGMENTATIONS = {"ada": "Adaptive", "fixed": "Fixed strength", "none": "None"}
DISCRIMINATORS = {"stylegan2": "StyleGAN2's", "projected": "Projected"}
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DISTANCE_SAMPLES = 200
HELP = {
    "discriminator": "The network that learns to distinguish real from generated pictures. StyleGAN2's discriminator "
    "is trained further from the start, as published. A projected discriminator (Sauer et al. 2021) uses the features "
    "of a pretrained network: it needs far fewer images and is not kept in the result.",
    "batch": "Photos per step. More is more stable and slower; memory limits it.",
    "gamma": "Weight of the R1 penalty, which keeps the discriminator smooth. Higher is more stable, too high blurs. "
    "Default: 0.0002 × side² / batch.",
    "learning_rate": "Step length of the optimiser (Adam) for both networks. Lower it if the losses jump or the run "
    "fails.",
    "augment": "Changes real and generated pictures alike before the discriminator sees them, so that it cannot "
    "memorise a small set. Adaptive sets the strength automatically.",
    "target": "How confident the discriminator may be about real photos (mean sign of its output): above it the "
    "augmentation gets stronger, below it weaker.",
    "p": "Probability of each augmentation.",
    "mirror": "Also shows each photo mirrored: twice the data, if left and right do not matter.",
    "fit_mapping": "Before the first step, the mapping network is fitted to the face codes of the photos, so that "
    "random faces start out like the photos.",
    "freeze_d": "Layers of the discriminator next to the picture that are not trained. A few (4) help with small sets.",
    "precision": "Number format of the networks; automatic uses bf16 if the hardware supports it.",
    "seed": "The same seed, settings and photos give the same run.",
    "tick_kimg": "Thousand images between two reports: sample pictures, a log line, a state to resume from.",
    "frechet": f"At each report, the Fréchet distance between {DISTANCE_SAMPLES} random faces and the training faces, "
    "on face descriptors. Takes some seconds each time.",
}
LENGTH_HELP = (
    "Photos shown to the discriminator, repeats included, in thousands. Published runs use hundreds of thousands on "
    "GPUs; a few thousand already change the look. You can stop at any time and keep the result so far."
)


def plan(chosen: TrainingSet | None) -> None:
    """Controls for a run on the chosen set, and the button that queues it."""
    names = resources.checkpoint_names()
    if not names:
        unavailable(
            "There is no face model to start from",
            f"There is no face model under {resources.checkpoints_root().name}/. Import one with "
            "`python -m latent import FILE --name NAME`.",
        )
        return
    left, right = st.columns([4, 5], gap="large")
    with left:
        st.session_state.setdefault("finetune-start", session.pick_checkpoint() or names[0])
        if st.session_state["finetune-start"] not in names:
            st.session_state["finetune-start"] = names[0]
        name = st.selectbox("Start from", names, key="finetune-start", persist_state="session")
    try:
        start = runs.start_from(name)
        defaults = _automatic({}, start.resolution)  # what the command chooses by itself on this machine
    except LatentError as error:
        unavailable("This face model cannot be used", str(error))
        return
    how = method.choose(start)
    with right:
        kimg, result = _length_and_name(start, chosen, how, float(defaults.kimg))
    with st.expander("Settings", icon=":material/tune:"):
        blocks.note("The defaults suit this resolution and machine. Change them only if you have a reason.")
        given = method.settings() if how == RECONSTRUCTION else _settings(defaults, start.fittable)
    problem = _problem(start, chosen, result, how, {**given, "kimg": kimg})
    _facts(start, chosen, kimg, how, given.get("discriminator") == "projected")
    busy = any(job.active for job in resources.queue().jobs()[0])
    # Not a callback: its arguments would be those of the last run, without a number typed just before the click.
    if (
        st.button(
            "Add to the queue" if busy else "Start fine-tuning",
            key="finetune-begin",
            type="primary",
            icon=":material/playlist_add:" if busy else ":material/play_arrow:",
            disabled=bool(problem),
        )
        and chosen is not None
        and not problem
    ):
        words = (
            method.command(start, chosen, result, kimg, given)
            if how == RECONSTRUCTION
            else command(start, chosen, result, {"kimg": kimg, **given})
        )
        _begin(result, words)
        st.rerun()
    if problem:
        blocks.note(problem)


def _automatic(given: dict[str, Any], resolution: int) -> Settings:
    return automatic(given, resolution, "cuda" if torch.cuda.is_available() else "cpu", 1, True)


def _length_and_name(start: Start, chosen: TrainingSet | None, how: str, default: float) -> tuple[float, str]:
    left, right = st.columns(2, gap="medium")
    key, explanation = "finetune-kimg", LENGTH_HELP
    if how == RECONSTRUCTION:
        key, explanation = "finetune-warm-kimg", method.LENGTH_HELP
        default = SCRATCH_KIMG["projected"] if torch.cuda.is_available() else FINETUNE_CPU_KIMG
    kimg = left.number_input(
        "Length (thousand images)", 0.1, 1e6, default, step=1.0, format="%g", key=key, help=explanation
    )
    base = f"{start.name}-{chosen.name}"[:60] if chosen else ""
    numbered = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    proposed = next(name for name in numbered if not _taken(name)) if chosen else ""
    name = right.text_input(
        "Name of the result",
        proposed,
        max_chars=64,
        key=f"finetune-name-{proposed}",
        help="The name of the new face model. Nothing that exists is replaced.",
    )
    return float(kimg), name


def _taken(name: str) -> bool:
    places = (resources.checkpoints_root() / name, runs.finetune_root() / name)
    queued = any(runs.run_of(job) == name for job in resources.queue().jobs()[0] if trains(job))
    return queued or any(path.exists() for path in places)


def _settings(defaults: Settings, fittable: bool) -> dict[str, Any]:
    """Settings that differ from the command's defaults."""
    side, published = defaults.resolution, defaults.batch
    chosen: dict[str, Any] = {}
    first, second, third = st.columns(3, gap="large")
    with first:
        batch = st.selectbox(
            "Batch", BATCHES, index=BATCHES.index(defaults.batch), key=f"finetune-batch-{side}", help=HELP["batch"]
        )
    with second:
        discriminator = st.selectbox(
            "Discriminator",
            list(DISCRIMINATORS),
            format_func=DISCRIMINATORS.__getitem__,
            key="finetune-discriminator",
            help=HELP["discriminator"],
        )
    asked: dict[str, Any] = {} if batch == published else {"batch": batch}
    asked |= {} if discriminator == defaults.discriminator else {"discriminator": discriminator}
    defaults = _automatic(asked, side) if asked else defaults
    with first:
        chosen["learning_rate"] = _number("Learning rate", "learning_rate", defaults, 1e-6, 0.1, 0.0005, "%.4g")
        if discriminator == "stylegan2":
            chosen["gamma"] = _number("R1 weight (gamma)", "gamma", defaults, 0.0, 1000.0, 0.01, "%.4g")
            layers = 3 * round(math.log2(side / 4)) + 1  # one from RGB, three convolutions a block down to 8 px
            frozen = _number("Frozen layers of the discriminator", "freeze_d", defaults, 0, layers, 1)
            chosen["freeze_d"] = int(frozen)
    with second:
        chosen |= _augmentation(defaults) if discriminator == "stylegan2" else {}
        chosen["mirror"] = st.checkbox("Mirror the photos", defaults.mirror, key="finetune-mirror", help=HELP["mirror"])
        if fittable:
            chosen["fit_mapping"] = st.checkbox(
                "Start from the photos' face codes",
                defaults.fit_mapping,
                key="finetune-mapping",
                help=HELP["fit_mapping"],
            )
    with third:
        precision = st.selectbox("Precision", PRECISIONS, key="finetune-precision", help=HELP["precision"])
        chosen["precision"] = defaults.precision if precision == "auto" else precision
        chosen["seed"] = int(_number("Seed", "seed", defaults, 0, 2**31 - 1, 1))
        chosen["tick_kimg"] = _number("Report every (thousand images)", "tick_kimg", defaults, 0.01, 1000.0, 0.5, "%g")
        measure = st.checkbox("Measure the distance", key="finetune-frechet", help=HELP["frechet"], wrap=True)
        chosen["frechet"] = DISTANCE_SAMPLES if measure else 0
    changed = {name: value for name, value in chosen.items() if value != getattr(defaults, name)}
    return asked | changed


def _augmentation(defaults: Settings) -> dict[str, Any]:
    """What is done to the pictures before the discriminator sees them."""
    kind = st.selectbox(
        "Augmentation",
        list(AUGMENTATIONS),
        format_func=AUGMENTATIONS.__getitem__,
        key="finetune-augment",
        help=HELP["augment"],
    )
    chosen: dict[str, Any] = {"augment": kind}
    if kind == "ada":
        chosen["target"] = _number("Target of the adaptation", "target", defaults, 0.0, 1.0, 0.05, "%.2f")
    elif kind == "fixed":
        chosen["p"] = _number("Strength", "p", defaults, 0.0, 1.0, 0.05, "%.2f")
    return chosen


def _number(label: str, name: str, defaults: Settings, low: float, high: float, step: float, form: str = "%d") -> float:
    """A number of the settings; its key holds the default, so that another default is shown as such."""
    value = getattr(defaults, name)
    kind = int if form == "%d" else float
    key = f"finetune-{name}-{defaults.resolution}-{value:g}"
    return st.number_input(
        trusted(label), kind(low), kind(high), kind(value), step=kind(step), format=form, key=key, help=HELP[name]
    )


def _problem(start: Start, chosen: TrainingSet | None, name: str, how: str, given: dict[str, Any]) -> str:
    """Why it cannot start, in a sentence; '' where it can."""
    if chosen is None:
        return "Choose a training set above, or make one first."
    if chosen.size % start.resolution:
        return (
            f"The faces of {chosen.name} are {chosen.size} px wide, {start.name} draws {start.resolution} px: make "
            f"the set with a side of {start.resolution} px or a multiple of it, or choose another start."
        )
    if chosen.to_train_on < FEWEST:
        return f"{chosen.name} has {chosen.to_train_on} faces to train on; at least {FEWEST} are needed."
    if not runs.NAME.fullmatch(name):
        return "The name may contain letters, digits, dots, dashes and underscores, and begins with a letter or digit."
    if _taken(name):
        return f"{name} is already taken by a face model or a run: choose another name, or resume that run below."
    if how == RECONSTRUCTION:
        return method.problem(given)
    try:
        _automatic(given, start.resolution)
    except LatentError as error:
        return str(error)
    return ""


def _facts(start: Start, chosen: TrainingSet | None, kimg: float, how: str, projected: bool) -> None:
    length = kimg + discriminator_kimg(kimg) if how == RECONSTRUCTION else kimg
    if how == RECONSTRUCTION:
        beginning = "generator and encoder are trained further, against a new projected discriminator"
    elif projected:
        beginning = "the generator is trained further, against a new projected discriminator that is not kept"
    elif start.discriminator:
        beginning = "generator and discriminator are trained further"
    else:
        beginning = "it has no discriminator, so a new one is trained: expect worse pictures at first"
    side = f"{start.resolution} × {start.resolution} px"
    rows: list[tuple[str, str] | tuple[str, str, str]] = [("Start", f"{start.name}, {side}", beginning)]
    if chosen is not None and chosen.to_train_on:
        rounds = kimg * 1000 / chosen.to_train_on
        rows.append(("Each face is seen", f"about {rounds:,.0f} times" if rounds >= 1.5 else "about once"))
    speed = runs.measured_speed(start.resolution, how)
    if speed is None:
        time = ("not known yet", f"this is the first such run at {start.resolution} px here; its progress will show it")
    else:
        time = (
            f"about {duration(length * 1000 / speed[0])}",
            f"at {speed[0]:.1f} images/s, as measured in the run {speed[1]}",
        )
    blocks.facts([*rows, ("Time", *time)])


def command(start: Start, chosen: TrainingSet, name: str, given: dict[str, Any]) -> list[str]:
    """`python -m` of these words makes the run."""
    run, out = runs.finetune_root() / name, resources.checkpoints_root() / name
    words = ["latent", "finetune", command_path(chosen.folder), "--run", command_path(run)]
    words += ["--start", command_path(start.folder), "--out", command_path(out)]
    for key, value in given.items():
        flag, shown = f"--{key.replace('_', '-')}", f"{value:.8g}" if isinstance(value, float) else str(value)
        words += ([flag] if value else []) if isinstance(value, bool) else [flag, shown]
    return words


def _begin(name: str, words: list[str]) -> None:
    """Queue the run and look at it."""
    with message.left_by(QueueError):
        resources.queue().add(f"Fine-tune {name}", words, grace=GRACE)
        session.choose("finetune-run", name)
