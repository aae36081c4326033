"""Whether a study has codes and a model, and whether they still match what is on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from common.text import count
from latent.checkpoints import Checkpoint
from latent.errors import LatentError
from study.description.flow import embedding_failures
from study.disk.exclusions import changes_since
from study.disk.latents import INDEX, Embedding, has_latents, read_index
from study.disk.store import Study
from study.embedding.command import study_record
from study.embedding.parts import PARTS
from study.embedding.record import fingerprint
from study.errors import StudyError

State = Literal["none", "done", "stale"]


@dataclass(frozen=True)
class Status:
    """state: "none" (there are none), "done", "stale" (of something else; `reasons` says of what).

    done, total: photos with a usable code, photos of patients who are not excluded. begun: an earlier run was stopped
    and left blocks to take over. facts: how it was made.
    """

    state: State
    reasons: tuple[str, ...] = ()
    done: int = 0
    total: int = 0
    begun: bool = False
    facts: dict[str, Any] = field(default_factory=dict)


def codes_status(study: Study, checkpoint: Checkpoint) -> Status:
    """Whether the codes are those that `python -m study embed` would make now. checkpoint: the study's own.

    Changed photos are recognised by their time of change: contents are hashed when codes are used.
    """
    photos = study.included_photos
    several = len(study.included_files) > len(photos)
    begun = any((study.path / PARTS).rglob("*.npz"))
    if not has_latents(study.path):
        return Status("none", (), 0, len(photos), begun)
    try:
        index, record = read_index(study.path)
        reasons = _differences(study_record(study, checkpoint), record)
    except (StudyError, LatentError) as error:
        return Status("stale", (str(error),), 0, len(photos), begun)
    coded = set(index["patient_id"]) & photos.keys()
    embedded = (study.path / INDEX).stat().st_mtime
    times = [photos[patient].stat() for patient in coded]
    changed = sum(max(t.st_mtime, t.st_ctime) > embedded for t in times)
    # A checkout gives every file the time of its arrival: only some being newer means that these were changed.
    if 0 < changed < len(times):
        reasons.append(f"{count(changed, 'photo')} may have changed since.")
    waiting = len(photos.keys() - coded - embedding_failures(study).keys())
    if several:
        stems = set(index["photo_id"])
        waiting = sum(p not in embedding_failures(study) and f.stem not in stems for p, f in study.included_files)
    if waiting:
        reasons.append(f"{waiting} photos have no code yet.")
    facts = {"checkpoint": record.checkpoint, "preset": record.preset, **record.settings}
    return Status("stale" if reasons else "done", tuple(reasons), len(coded), len(photos), begun, facts)


def _differences(now: Embedding, then: Embedding) -> list[str]:
    """Why two records of codes are not one, in sentences."""
    if fingerprint(now) == fingerprint(then):
        return []
    reasons = []
    if now.checkpoint_sha256 != then.checkpoint_sha256:
        reasons.append(
            f"They were made with the checkpoint {then.checkpoint}, which is not the one that study.toml names."
        )
    if now.preset != then.preset:
        reasons.append(f"They were made with the effort “{then.preset}”, but study.toml says “{now.preset}”.")
    if now.views != then.views:
        reasons.append(f"They rest on {count(then.views, 'view')} of each photo, but study.toml says {now.views}.")
    names = {"aligned": "alignment", "encoder_sha256": "encoder", "perceptual_name": "perceptual distance"}
    for key, name in names.items():
        if now.settings.get(key) != then.settings.get(key) and now.checkpoint_sha256 == then.checkpoint_sha256:
            reasons.append(f"The {name} is not the one they were made with.")
    return reasons or ["The settings of the search have changed since."]


def model_status(study: Study, name: str = "photo") -> Status:
    """Whether the model is of the codes and exclusions as they are now."""
    try:
        report = study.report(name)
        _, record = read_index(study.path)
    except StudyError as error:
        return Status("none", (str(error),))
    reasons = []
    if report.get("latents_sha256") != record.latents_sha256:
        reasons.append("The photos were embedded again after it was fitted.")
    rule = study.settings.photo_rule
    if report.get("photo_rule", rule) != rule:
        reasons.append(f"For patients with several photos, a different one counts now (rule {rule} in study.toml).")
    patients = set(study.patients["patient_id"])
    reasons += changes_since(study.excluded.keys() & patients, report.get("excluded", []))
    facts = {"harrell": report["harrell"]} if isinstance(report.get("harrell"), dict) else {}
    return Status(
        "stale" if reasons else "done", tuple(reasons), int(report.get("patients", 0)), len(patients), facts=facts
    )
