"""Which face model belongs to which study: codes and risk models mean something only with their own generator."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import streamlit as st

from latent.checkpoint_config import CONFIG, read_config
from latent.errors import LatentError
from study.disk import places
from study.errors import StudyError
from ui.elements.escaping import plain
from ui.shell import resources, session


def label(study: str | None, checkpoint: str) -> str:
    """A checkpoint's name, and whether it made the codes of the chosen study (nothing where there are no codes)."""
    made = made_with(study)
    if not made:
        return checkpoint
    return f"{checkpoint} (fits {study})" if sha256_of(checkpoint) == made else f"{checkpoint} (not for {study})"


def fitting(study: str | None) -> list[str]:
    """Checkpoints of this installation that made the study's codes."""
    made = made_with(study)
    return [name for name in resources.checkpoint_names() if made and sha256_of(name) == made]


def misfit(study: str | None, checkpoint: str | None) -> str:
    """A sentence where the chosen checkpoint did not make the study's codes, else nothing."""
    if checkpoint is None or not made_with(study) or sha256_of(checkpoint) == made_with(study):
        return ""
    fits = fitting(study)
    wants = f"choose {fits[0]}" if fits else "embed the photos again, as no face model here fits"
    return (
        f"The photos of {study} were embedded with another face model than {checkpoint}. For Portrait and Health "
        f"direction, {wants}. Home and Fine-tune can show {checkpoint}."
    )


def advise() -> None:
    """Below the picker: what is wrong with the choice, and a button that puts it right."""
    study, chosen = session.pick_study(), session.pick_checkpoint()
    if sentence := misfit(study, chosen):
        st.warning(plain(sentence), icon=":material/link_off:")
        use_fitting(study, "picker")


def use_fitting(study: str | None, key: str) -> bool:
    """A button that chooses the study's checkpoint, where another one is chosen; whether there is one."""
    fits = fitting(study)
    if not fits or session.pick_checkpoint() in fits:
        return False
    st.button(
        plain(f"Use {fits[0]}"),
        key=f"use-fitting-{key}",
        icon=":material/swap_horiz:",
        on_click=session.choose,
        args=("checkpoint", fits[0]),
    )
    return True


def made_with(study: str | None) -> str:
    """sha256 of the generator that made a study's codes; "" where there are none or this cannot be read."""
    if study is None:
        return ""
    folder = resources.studies_root() / study
    time = places.codes_time(folder)
    return _made_with(folder, time) if time else ""


@lru_cache(maxsize=64)
def _made_with(folder: Path, time: tuple[int, ...]) -> str:
    if recorded := places.recorded_checkpoint(folder):
        return recorded
    from study.disk.latents import read_embedding

    try:
        return read_embedding(folder).checkpoint_sha256
    except StudyError:
        return ""


def sha256_of(checkpoint: str) -> str:
    """sha256 of a checkpoint's generator as its config.json names it; "" where it cannot be read."""
    folder = resources.checkpoints_root() / checkpoint
    try:
        return _sha256_of(folder, (folder / CONFIG).stat().st_mtime_ns)
    except OSError:
        return ""


@lru_cache(maxsize=256)
def _sha256_of(folder: Path, time: int) -> str:
    try:
        return str(read_config(folder)["files"]["generator.safetensors"]["sha256"])
    except LatentError:
        return ""
