"""Which photos stay in a training set, and the sentences with which the others are refused."""

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from latent.datasets.parts import Parts
from latent.datasets.patients import NO_FOLDER, NO_ROW, patients_from, patients_from_table
from latent.datasets.sources import Source
from latent.errors import LatentError

DUPLICATE = "the same photo as another one"
BOUNDS = {  # option: measure, sign (+1: the measure must be at least the bound), help
    "min_face": ("face_px", 1, "least side, in pixels of the photo, of the square around the face"),
    "min_sharpness": ("sharpness", 1, "least sharpness as the app measures it (it calls under 40 blurred)"),
    "max_yaw": ("yaw", -1, "largest turn of the head to a side, degrees"),
    "max_pitch": ("pitch", -1, "largest tilt of the head, degrees"),
    "max_outside": ("outside", -1, "largest share (0-1) of the square that lies outside the photo"),
}


@dataclass(frozen=True)
class Choices:
    """Which photos are in the set. bounds: limits by the names in BOUNDS; no_flags: leave out all with a quality
    flag."""

    patients: Path | None = None
    photo_column: str = "photo"
    patient_column: str = "patient_id"
    patient_from: str | None = None
    separator: str = "_"
    hold_out: float | None = None
    seed: int = 0
    bounds: dict[str, float] = field(default_factory=dict)
    no_flags: bool = False

    def check(self) -> None:
        """Raises LatentError for settings that cannot be."""
        if not self.separator and self.patient_from == "name":
            raise LatentError("--separator must be at least one character.")
        if self.hold_out is not None and not 0 < self.hold_out < 1:
            raise LatentError(f"--hold-out must be a share between 0 and 1, not {self.hold_out}.")
        for name, bound in self.bounds.items():
            if not math.isfinite(bound):
                raise LatentError(f"--{name.replace('_', '-')} must be a number, not {bound}.")


EVERY_FACE = Choices()


@dataclass(frozen=True)
class Refusal:
    """One photo left out: the sentence for it, and the heading it is counted under."""

    source: Source
    reason: str
    heading: str


def photo_patients(sources: list[Source], choices: Choices) -> list[str | None] | None:
    """Patient of each photo; None where patients were not asked for. Raises LatentError if no photo has one."""
    if choices.patients is not None:
        patients = patients_from_table(sources, choices.patients, choices.photo_column, choices.patient_column)
    elif choices.patient_from is not None:
        patients = patients_from(sources, choices.patient_from, choices.separator)
    else:
        return None
    if not any(patients):
        raise LatentError("No photo belongs to a patient: check the table's paths, or how the folders are named.")
    return patients


def choose(
    sources: list[Source], digests: list[str], patients: list[str | None] | None, parts: Parts, choices: Choices
) -> tuple[dict[str, int], list[Refusal]]:
    """Photos that stay, sha256 -> position in `sources`, in that order; and all others. A digest that is no key of
    the parts is the sentence of a photo that could not even be read."""
    accepted: dict[str, int] = {}
    refused = []
    for position, (source, digest) in enumerate(zip(sources, digests, strict=True)):
        facts = parts.facts.get(digest, {"reason": digest})
        if "reason" in facts:
            refused.append(Refusal(source, facts["reason"], facts["reason"]))
        elif patients is not None and patients[position] is None:
            reason = NO_ROW if choices.patients else NO_FOLDER
            refused.append(Refusal(source, reason, reason))
        elif digest in accepted:
            first = sources[accepted[digest]]
            whose = "" if patients is None else f" of patient {patients[accepted[digest]]}"
            refused.append(Refusal(source, f"The same photo as {first.folder}/{first.file}{whose}.", DUPLICATE))
        elif bound := _out_of_bounds(facts, choices):
            refused.append(Refusal(source, *bound))
        else:
            accepted[digest] = position
    return accepted, refused


def _out_of_bounds(facts: dict[str, Any], choices: Choices) -> tuple[str, str] | None:
    """Sentence and heading for the first bound that a photo breaks, else None."""
    for name, bound in choices.bounds.items():
        measure, sign, _ = BOUNDS[name]
        value = facts[f"quality_{measure}"]
        if sign * (value if sign > 0 else abs(value)) < sign * bound:
            option = f"--{name.replace('_', '-')} {bound:g}"
            return f"Left out by {option}: {measure} is {value:.3g}.", f"left out by {option}"
    if choices.no_flags and facts["quality_flags"]:
        return f"Left out by --no-flags: {facts['quality_flags']}", "left out by --no-flags"
    return None


def reasons(refused: list[Refusal]) -> dict[str, int]:
    """How many photos were refused for each reason, the most frequent first; numbers of one photo are left out."""
    return dict(Counter(re.sub(r"only \d+ x \d+ pixels", "too few pixels", r.heading) for r in refused).most_common())
