"""Which checkpoint belongs to which study: codes and models mean something only beside the generator that made them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

from common.parsing import json_value
from ui.elements.escaping import plain
from ui.shell import resources, session

MAX_BYTES = 2**20  # of the files that are read here


def label(study: str | None, checkpoint: str) -> str:
    """A checkpoint's name, and whether it made the codes of the chosen study (nothing where there are no codes)."""
    made = made_with(study)
    if not made:
        return checkpoint
    return f"{checkpoint} (fits {study})" if sha256_of(checkpoint) == made else f"{checkpoint} (other codes)"


def fitting(study: str | None) -> list[str]:
    """Checkpoints of this installation that made the study's codes."""
    made = made_with(study)
    return [name for name in resources.checkpoint_names() if made and sha256_of(name) == made]


def misfit(study: str | None, checkpoint: str | None) -> str:
    """A sentence where the chosen checkpoint did not make the study's codes, else nothing."""
    if checkpoint is None or not made_with(study) or sha256_of(checkpoint) == made_with(study):
        return ""
    fits = fitting(study)
    wants = f"choose {fits[0]}" if fits else "no checkpoint here did, so the codes have to be made again"
    return (
        f"{checkpoint} did not make the codes of {study}: for Portrait and Health direction {wants}. Home and "
        f"Fine-tune can show {checkpoint}."
    )


def advise() -> None:
    """Below the picker: what is wrong with the choice, and a button that puts it right."""
    study, chosen = session.pick_study(), session.pick_checkpoint()
    if told := misfit(study, chosen):
        st.warning(plain(told), icon=":material/link_off:")
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
        on_click=_choose,
        args=(fits[0],),
    )
    return True


def _choose(name: str) -> None:
    """Choose a checkpoint (runs before the picker is drawn)."""
    st.session_state["checkpoint-wanted"] = name


def made_with(study: str | None) -> str:
    """sha256 of the generator that made a study's codes; "" where there are none or this cannot be read."""
    if study is None:
        return ""
    folder = resources.studies_root() / study
    index = folder / "index.parquet"
    return _made_with(folder, _time(folder / "embedding.json"), _time(index)) if index.is_file() else ""


@lru_cache(maxsize=64)
def _made_with(folder: Path, record_time: int, index_time: int) -> str:
    found = _read(folder / "embedding.json").get("checkpoint_sha256")
    if isinstance(found, str):
        return found
    from study.disk.latents import read_embedding
    from study.errors import StudyError

    try:
        return read_embedding(folder).checkpoint_sha256
    except StudyError:
        return ""


def sha256_of(checkpoint: str) -> str:
    """sha256 of a checkpoint's generator as its config.json names it; "" where it cannot be read."""
    path = resources.checkpoints_root() / checkpoint / "config.json"
    return _sha256_of(path, _time(path))


@lru_cache(maxsize=256)
def _sha256_of(path: Path, time: int) -> str:
    files = _read(path).get("files")
    generator = files.get("generator.safetensors") if isinstance(files, dict) else None
    found = generator.get("sha256") if isinstance(generator, dict) else None
    return found if isinstance(found, str) else ""


def _time(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        found = json_value(data) if len(data) <= MAX_BYTES else None
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
