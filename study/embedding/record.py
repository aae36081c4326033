"""What shaped a study's codes: two codes may stand in one file only if all of this is the same."""

from __future__ import annotations

import json
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
    """The inversion settings that all codes of this study are made with."""
    return PRESETS[study.settings.preset]


def encoder_sha256(checkpoint: Checkpoint) -> str:
    """Digest of the encoder's weights, "" without one: where the search starts shapes the code it finds."""
    return str(checkpoint.config.get("files", {}).get("encoder.safetensors", {}).get("sha256", ""))


def record_of(checkpoint: Checkpoint, settings: InversionSettings, preset: str, aligned: bool) -> Embedding:
    """The record of codes that this checkpoint gives on this machine."""
    # The perceptual distance is the one this machine has, and shapes the codes.
    extra: dict[str, Any] = {
        "aligned": aligned,
        "perceptual_name": load_perceptual(checkpoint.device).name,
        "encoder_sha256": encoder_sha256(checkpoint),
    }
    if (size := target_size(checkpoint)) != ALIGNED_SIZE:
        extra["aligned_px"] = size  # absent for the default size, so that earlier codes stay valid
    shape = (checkpoint.num_ws, checkpoint.w_dim)
    return Embedding(checkpoint.name, checkpoint.sha256, preset, *shape, settings={**settings.as_dict(), **extra})


def inversion_settings(record: Embedding) -> InversionSettings:
    """The settings inside a record."""
    return InversionSettings(**{f.name: record.settings[f.name] for f in fields(InversionSettings)})


def fingerprint(record: Embedding) -> str:
    """Digest of everything that shapes a code; a checkpoint's folder may be renamed."""
    same = {**asdict(record), "checkpoint": "", "latents_sha256": ""}
    return sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()


def index_row(patient: str, photo: Path, digest: str, inversion: Inversion, flags: tuple[Flag, ...]) -> dict[str, Any]:
    """One row of index.parquet."""
    m = inversion.metrics
    values = (patient, photo.stem, digest, inversion.checkpoint_sha256, str(m["perceptual_name"]), flags_text(flags))
    numbers = (*(float(m[key]) for key in ("perceptual", "psnr", "ssim", "identity")), float(inversion.seconds))
    return dict(zip(INDEX_COLUMNS, (*values, *numbers), strict=True))
