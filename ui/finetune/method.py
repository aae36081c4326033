"""How a face model is trained further: with reconstructions, or against a discriminator alone."""

from __future__ import annotations

from typing import Any

import streamlit as st

from jobs.queue import command_path
from latent.errors import LatentError
from latent.training.reconstruction.settings import Settings, check
from ui.elements import blocks
from ui.elements.escaping import labelled
from ui.finetune import runs
from ui.finetune.runs import ADVERSARIAL, RECONSTRUCTION, Start, TrainingSet
from ui.shell import resources

LABELS = {RECONSTRUCTION: "With reconstructions", ADVERSARIAL: "Adversarial (StyleGAN2, ADA)"}
BATCHES = (4, 8, 16, 32, 64, 128)
PRECISIONS = ("auto", "fp32", "bf16")
EXPLAINED = {
    RECONSTRUCTION: "The face model learns to reproduce your photos, while a projected discriminator (Sauer et al. "
    "2021) keeps the pictures sharp. Works with few photos and without a graphics card, and the result can be fitted "
    "to new photos at once.",
    ADVERSARIAL: "StyleGAN2 as published: generator against discriminator, with adaptive augmentation. Needs many "
    "photos and a graphics card, and the result cannot be fitted to new photos as quickly.",
}
NOT_HERE = (
    " The other method, with reconstructions, needs a start that was trained here: with this project's encoder and a "
    "mapping network of two layers."
)
LENGTH_HELP = (
    "Photos shown in the main phase, repeats included, in thousands. Afterwards a discriminator is trained on a sixth "
    "as many, at least 1 thousand. You can stop at any time and resume; the result is written at the end."
)
HELP = {
    "batch": "Photos per step. More is more stable and slower; memory limits it.",
    "precision": "Number format of the networks; automatic uses bf16 if the hardware supports it.",
    "seed": "The same seed, settings and photos give the same run.",
}


def choose(start: Start) -> str:
    """The method: RECONSTRUCTION where the start allows it, unless the person chooses otherwise."""
    if not start.reconstructs:
        blocks.note(EXPLAINED[ADVERSARIAL] + NOT_HERE)
        return ADVERSARIAL
    method = st.radio(
        "Method",
        list(LABELS),
        format_func=labelled(LABELS.__getitem__),
        key="finetune-method",
        horizontal=True,
        persist_state="session",
    )
    blocks.note(EXPLAINED[method])
    return method


def settings() -> dict[str, Any]:
    """Settings of a run with reconstructions that differ from the command's defaults."""
    default = Settings()
    first, second, third = st.columns(3, gap="large")
    batch = first.selectbox(
        "Batch", BATCHES, index=BATCHES.index(default.batch), key="finetune-warm-batch", help=HELP["batch"]
    )
    precision = second.selectbox("Precision", PRECISIONS, key="finetune-warm-precision", help=HELP["precision"])
    seed = third.number_input(
        "Seed", 0, 2**31 - 1, default.seed, step=1, format="%d", key="finetune-warm-seed", help=HELP["seed"]
    )
    chosen = {"batch": batch, "precision": precision, "seed": int(seed)}
    automatic = {"batch": default.batch, "precision": "auto", "seed": default.seed}
    return {name: value for name, value in chosen.items() if value != automatic[name]}


def problem(given: dict[str, Any]) -> str:
    """Why settings of a run with reconstructions are refused, a sentence; '' where they are fine."""
    try:
        check(Settings(**{name: value for name, value in given.items() if name in HELP and value != "auto"}))
    except LatentError as error:
        return str(error)
    return ""


def command(start: Start, chosen: TrainingSet, name: str, kimg: float, given: dict[str, Any]) -> list[str]:
    """`python -m` of these words makes a run with reconstructions."""
    run, out = runs.finetune_root() / name, resources.checkpoints_root() / name
    words = ["latent", "finetune", command_path(chosen.folder), "--method", RECONSTRUCTION, "--run", command_path(run)]
    words += ["--start", command_path(start.folder), "--out", command_path(out), "--projected-kimg", f"{kimg:.8g}"]
    for key, value in given.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    return words
