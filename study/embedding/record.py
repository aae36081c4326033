"""What shaped a study's codes: two codes may stand in one file only if all of this is the same."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from faces.flags import Flag, flags_text
from latent.checkpoints import Checkpoint
from latent.features.perceptual import load_perceptual
from latent.inversion.invert import Inversion
from latent.inversion.settings import PRESETS, InversionSettings
from study.disk.latents import INDEX_COLUMNS, Embedding
from study.disk.store import Study
from study.photos.prepare import ALIGNED_SIZE, target_size


def study_preset(study: Study) -> InversionSettings:
    """The inversion settings that a study is embedded with from now on."""
    return PRESETS[study.settings.preset]


def code_settings(study: Study) -> InversionSettings:
    """The inversion settings of a code that is compared with the study's: those on record, where there are codes of
    the study's preset, since a preset's values may have changed since then."""
    record = study.embedding if study.has_latents else None
    if record is None or record.preset != study.settings.preset or "steps" not in record.settings:
        return study_preset(study)
    return inversion_settings(record)


def encoder_sha256(checkpoint: Checkpoint) -> str:
    """Digest of the encoder's weights, "" without one: where the search starts shapes the code it finds."""
    return str(checkpoint.config.get("files", {}).get("encoder.safetensors", {}).get("sha256", ""))


def record_of(
    checkpoint: Checkpoint, settings: InversionSettings, preset: str, aligned: bool, views: int = 1
) -> Embedding:
    """The record of codes that this checkpoint gives on this machine. views: of each photo (`faces.views`)."""
    # The perceptual distance is the one this machine has, and shapes the codes.
    extra: dict[str, Any] = {
        "aligned": aligned,
        "perceptual_name": load_perceptual(checkpoint.device).name,
        "encoder_sha256": encoder_sha256(checkpoint),
    }
    if (size := target_size(checkpoint)) != ALIGNED_SIZE:
        extra["aligned_px"] = size  # absent for the default size, so that earlier codes stay valid
    if views != 1:
        extra["views"] = views  # absent for the photo alone, for the same reason
    shape = (checkpoint.num_ws, checkpoint.w_dim)
    return Embedding(checkpoint.name, checkpoint.sha256, preset, *shape, settings={**settings.as_dict(), **extra})


def inversion_settings(record: Embedding) -> InversionSettings:
    """The settings inside a record."""
    names = {f.name for f in fields(InversionSettings)}
    return InversionSettings(**{name: value for name, value in record.settings.items() if name in names})


def fingerprint(record: Embedding) -> str:
    """Digest of everything that shapes a code; a checkpoint's folder may be renamed."""
    same = {**asdict(record), "checkpoint": "", "latents_sha256": ""}
    return sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def index_row(patient: str, photo: Path, digest: str, inversion: Inversion, flags: tuple[Flag, ...]) -> dict[str, Any]:
    """One row of index.parquet."""
    m = inversion.metrics
    values = (patient, photo.stem, digest, inversion.checkpoint_sha256, str(m["perceptual_name"]), flags_text(flags))
    numbers = [float(m[key]) for key in ("perceptual", "psnr", "ssim", "identity")]
    witness = float(m.get("st_lpips", math.nan))
    return dict(zip(INDEX_COLUMNS, (*values, *numbers, float(inversion.seconds), witness), strict=True))
