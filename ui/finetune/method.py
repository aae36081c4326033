"""How a checkpoint is fine-tuned: by reconstructions, or against a discriminator alone."""

from __future__ import annotations

from typing import Any

import streamlit as st

from latent.errors import LatentError
from ui.elements import page
from ui.elements.escaping import labelled
from ui.finetune import runs as files
from ui.finetune.runs import ADVERSARIAL, RECONSTRUCTION, Start, TrainingSet
from ui.shell import resources

LABELS = {RECONSTRUCTION: "With reconstructions", ADVERSARIAL: "Adversarial (StyleGAN2, ADA)"}
BATCHES = (4, 8, 16, 32, 64, 128)
PRECISIONS = ("auto", "fp32", "bf16")
EXPLAINED = {
    RECONSTRUCTION: "The start's encoder reads the photos, and pictures are held to them while a projected "
    "discriminator sharpens the details: this works with few photos and without a graphics card, and the result has an "
    "encoder.",
    ADVERSARIAL: "As published: generator against discriminator, with adaptive augmentation. It wants many photos and "
    "a graphics card, and the result has no encoder.",
}
NOT_HERE = (
    " The other method, with reconstructions, needs a start with an encoder that was trained here and a mapping "
    "network of two layers."
)
LENGTH_HELP = (
    "Photos shown while pictures are held to them, repeats included, in thousands. A discriminator is trained after it "
    "on a sixth as many, at least 1 thousand. You can stop at any time and resume; the result is written at the end."
)
HELP = {
    "batch": "Photos a step. More is steadier and slower; memory bounds it.",
    "precision": "Numbers of generator and encoder; automatic takes bf16 where the hardware multiplies it.",
    "seed": "Of the random draws.",
}


def choose(start: Start) -> str:
    """The method: RECONSTRUCTION where the start allows it, unless the person chooses otherwise."""
    if not start.reconstructs:
        page.note(EXPLAINED[ADVERSARIAL] + NOT_HERE)
        return ADVERSARIAL
    method = st.radio(
        "Method",
        list(LABELS),
        format_func=labelled(LABELS.__getitem__),
        key="finetune-method",
        horizontal=True,
        persist_state="session",
    )
    page.note(EXPLAINED[method])
    return method


def default_kimg() -> float:
    """Proposed length of phase 2 in thousand images on this machine."""
    import torch

    from latent.training.reconstruction.run import FINETUNE_CPU_KIMG, SCRATCH_KIMG

    return SCRATCH_KIMG["projected"] if torch.cuda.is_available() else FINETUNE_CPU_KIMG


def whole_length(kimg: float) -> float:
    """Thousand images of the whole run."""
    from latent.training.reconstruction.run import discriminator_kimg

    return kimg + discriminator_kimg(kimg)


def settings() -> dict[str, Any]:
    """Settings of a run with reconstructions that differ from what the command would choose."""
    from latent.training.reconstruction.settings import Settings

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
    proposed = {"batch": default.batch, "precision": "auto", "seed": default.seed}
    return {name: value for name, value in chosen.items() if value != proposed[name]}


def problem(given: dict[str, Any]) -> str:
    """Why settings of a run with reconstructions cannot be, in a sentence; '' where they can."""
    from latent.training.reconstruction.settings import Settings, check

    try:
        check(Settings(**{name: value for name, value in given.items() if name in HELP and value != "auto"}))
    except LatentError as error:
        return str(error)
    return ""


def command(start: Start, chosen: TrainingSet, name: str, kimg: float, given: dict[str, Any]) -> list[str]:
    """`python -m` of these words makes a run with reconstructions."""
    run, out = files.finetune_root() / name, resources.checkpoints_root() / name
    words = ["latent", "finetune", files.shown(chosen.folder), "--method", RECONSTRUCTION, "--run", files.shown(run)]
    words += ["--start", files.shown(start.folder), "--out", files.shown(out), "--projected-kimg", f"{kimg:.8g}"]
    for key, value in given.items():
        words += [f"--{key.replace('_', '-')}", str(value)]
    return words
