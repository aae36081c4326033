"""A new photo against a study: aligned, inverted with the study's preset, scored by its model."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from faces.align import AlignedFace
from faces.flags import Flag
from faces.photo import Photo
from latent.checkpoints import Checkpoint
from latent.inversion.invert import Inversion, Progress
from latent.inversion.settings import InversionSettings
from study.disk.models import fingerprint
from study.disk.store import Study
from study.embedding.record import encoder_sha256, study_preset
from study.errors import StudyError
from study.photos.prepare import invert_faces, prepare, target_size
from study.scoring.face_evidence import doubt, draws_faces, ground, implausibility_bound, no_figures

if TYPE_CHECKING:
    from survival.models.fitted import FittedModel

OTHER_DISTANCE, OTHER_ENCODER = "other distance", "other encoder"  # kinds of flags of a score
OPENED_AT_MOST = 3  # times, where the model is replaced while it is read
EXTRAPOLATED = "The score is {} than that of every patient of the cohort: hazard and survival are extrapolated."


@dataclass(frozen=True, eq=False)
class Risk:
    """What a model says of one code.

    log_hr: log hazard ratio relative to the cohort's median. hr: its exponential. percentile: 0-100, among the
    cohort's out-of-fold scores. horizons: survival probability at those of the study's horizons that the follow-up of
    the model's patients carries. times, survival: (T,) the curve. left_out: why there is no figure at the other
    horizons, sentences. extrapolated: -1 or 1 where the score lies below or above every patient's, 0 among them.
    """

    log_hr: float
    hr: float
    percentile: float
    horizons: dict[float, float]
    times: NDArray[np.float64]
    survival: NDArray[np.float64]
    left_out: tuple[str, ...] = ()
    extrapolated: int = 0

    @property
    def extrapolation(self) -> str:
        """A sentence where the score lies outside the cohort's, else nothing."""
        return {-1: EXTRAPOLATED.format("lower"), 1: EXTRAPOLATED.format("higher")}.get(self.extrapolated, "")


@dataclass(frozen=True, eq=False)
class Score:
    """A photo's inversion, risk and flags. stamp: of the scorer that made it; ground: why it counts as a face."""

    inversion: Inversion
    risk: Risk
    flags: tuple[Flag, ...]
    stamp: str
    ground: str = ""

    @property
    def log_hr(self) -> float:
        return self.risk.log_hr

    @property
    def hr(self) -> float:
        return self.risk.hr

    @property
    def percentile(self) -> float:
        return self.risk.percentile

    @property
    def survival_at(self) -> dict[float, float]:
        return self.risk.horizons

    @property
    def curve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(times, survival)."""
        return self.risk.times, self.risk.survival


@dataclass(frozen=True, eq=False)
class Withheld:
    """A photo whose code is too far from any face to be scored: its inversion and flags, and the reason."""

    inversion: Inversion
    reason: str
    flags: tuple[Flag, ...]
    ground: str = ""


@dataclass(frozen=True)
class Refused:
    """Why a photo of a folder has no score."""

    reason: str


def risk_of(study: Study, model: FittedModel, ws: NDArray[np.float32]) -> list[Risk]:
    """Risks of codes (n, num_ws, w_dim)."""
    log_hr = np.asarray(model.predict(ws), float)
    percentile = np.asarray(model.percentile(log_hr), float)
    times, curves = model.survival(log_hr)
    horizons = model.horizons(study.horizons)
    left_out = horizons.sentences(study.time_unit)
    at = model.survival(log_hr, np.asarray(horizons.carried))[1]
    return [
        Risk(
            log_hr=float(lp),
            hr=float(np.exp(lp)),
            percentile=float(p),
            horizons=dict(zip(horizons.carried, map(float, h), strict=True)),
            times=times,
            survival=s,
            left_out=left_out,
            extrapolated=int(outside),
        )
        for lp, p, h, s, outside in zip(log_hr, percentile, at, curves, model.extrapolated(log_hr), strict=True)
    ]


@dataclass(frozen=True, eq=False)
class Scorer:
    """One model of a study with its checkpoint, opened once: whatever is scored or drawn with it is of one model, even
    if another one takes its place on disk meanwhile.

    name: folder of the model under models/. report: what was written of it when it was fitted. stamp: digest of
    study, model and checkpoint; results with different stamps do not belong together.
    """

    study: Study
    checkpoint: Checkpoint
    name: str
    model: FittedModel
    report: dict[str, Any]
    stamp: str

    @classmethod
    def open(cls, study: Study, checkpoint: Checkpoint, model: str | None = None) -> Scorer:
        """model: None for the study's own. Raises StudyError where there is none, it is damaged, or it was fitted on
        codes of another checkpoint."""
        name = model or study.chosen_model
        for _ in range(OPENED_AT_MOST):
            before = fingerprint(study.path, name)
            report = study.report(name)
            if report.get("checkpoint_sha256") != checkpoint.sha256:
                raise StudyError(
                    f"The model of {study.name} was fitted with another checkpoint than {checkpoint.name}: choose that "
                    "one, or make the codes again and fit the model again.",
                    ("embed", study.name),
                )
            fitted = study.model(name)
            if fingerprint(study.path, name) == before:
                identity = [study.name, name, before, checkpoint.sha256, study.time_unit, study.horizons]
                return cls(study, checkpoint, name, fitted, report, sha256(json.dumps(identity).encode()).hexdigest())
        raise StudyError(f"Model {name!r} of {study.name} is being replaced just now. Try again in a moment.")

    @cached_property
    def cohort(self) -> tuple[NDArray[np.float32], pd.DataFrame]:
        """Codes (n, num_ws, w_dim) and table rows of the patients that the model was fitted on. Raises StudyError where
        a code is missing."""
        return self.study.fitted(self.name)

    def risks(self, ws: NDArray[np.float32]) -> list[Risk]:
        """Risks of codes (n, num_ws, w_dim)."""
        return risk_of(self.study, self.model, ws)

    def score_faces(
        self,
        faces: list[AlignedFace],
        settings: InversionSettings | None = None,
        on_step: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        confirmed: str = "",
    ) -> list[Score | Withheld | Refused]:
        """Scores of aligned faces, inverted together. settings: None for the study's own preset, which the model knows.
        confirmed: the words in which a person said that squares without a certain face show one; "" for none, which
        refuses these.

        Raises latent.Cancelled when stopped.
        """
        settings = settings or study_preset(self.study)
        doubts = [doubt(face) if not confirmed.strip() else "" for face in faces]
        taken = [face for face, why in zip(faces, doubts, strict=True) if not why]
        found = iter(invert_faces(self.checkpoint, taken, settings, on_step, cancelled) if taken else [])
        results: list[Score | Withheld | Refused] = []
        for face, why in zip(faces, doubts, strict=True):
            inversion = why or next(found)
            if isinstance(inversion, Inversion):
                results.append(self.score_inversion(inversion, face, confirmed))
            else:
                results.append(Refused(str(inversion)))
        return results

    def score(
        self,
        face: AlignedFace | Photo | Path,
        settings: InversionSettings | None = None,
        on_step: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        confirmed: str = "",
    ) -> Score:
        """The score of a photo, or of a face aligned before. Raises PhotoError, NoFaceError, StudyError, Cancelled."""
        if not isinstance(face, AlignedFace):
            face = prepare(face, self.study.settings.aligned, target_size(self.checkpoint))
        result = self.score_faces([face], settings, on_step, cancelled, confirmed)[0]
        if not isinstance(result, Score):
            raise StudyError(result.reason)
        return result

    @cached_property
    def _limits(self) -> tuple[float | None, str, str, bool]:
        """Bound on the implausibility of codes, preset and perceptual distance that it holds for, and whether the
        generator's average picture is taken for a face."""
        bound, preset, distance = None, "", ""
        if self.study.has_latents:
            ws, index = self.study.latents(self.checkpoint.sha256)
            names = set(index["perceptual_name"])
            preset, distance = self.study.embedding.preset, names.pop() if len(names) == 1 else ""
            bound = implausibility_bound(self.checkpoint, ws)
        return bound, preset, distance, draws_faces(self.checkpoint)

    def no_figures(self, inversion: Inversion) -> str:
        """Why a code gets no figures, a sentence; "" where it does. The cohort's codes are compared with only where
        they were searched with the same settings and perceptual distance."""
        bound, preset, distance, draws = self._limits
        alike = (inversion.settings.name, inversion.metrics["perceptual_name"]) == (preset, distance)
        implausibility = float(inversion.metrics["plausibility"])
        return no_figures(inversion.reconstruction, implausibility, bound if alike else None, draws)

    def score_inversion(self, inversion: Inversion, face: AlignedFace, confirmed: str = "") -> Score | Withheld:
        """The score of a code that was searched before. Raises StudyError where it is of another checkpoint."""
        if inversion.checkpoint_sha256 != self.checkpoint.sha256:
            raise StudyError(f"This code was made with another checkpoint than {self.checkpoint.name}: score it again.")
        flags, why = face.quality.flags + self._notes(inversion), self.no_figures(inversion)
        if why:
            return Withheld(inversion, why, flags, ground(face, confirmed))
        (risk,) = self.risks(inversion.ws[None])
        return Score(inversion, risk, flags, self.stamp, ground(face, confirmed))

    def _notes(self, inversion: Inversion) -> tuple[Flag, ...]:
        """Flags where the code was not found in the way the cohort's codes were."""
        notes = []
        used, cohorts = inversion.metrics["perceptual_name"], self.report.get("perceptual_name")
        if cohorts and used != cohorts:
            sentence = f"The code was found with {used}, the cohort's codes with {cohorts}: the score may be off."
            notes.append(Flag(OTHER_DISTANCE, float("nan"), sentence))
        known = self.report.get("encoder_sha256")
        if known and known != encoder_sha256(self.checkpoint):
            sentence = "The checkpoint's encoder changed since the cohort was embedded: the score may be off."
            notes.append(Flag(OTHER_ENCODER, float("nan"), sentence))
        return tuple(notes)


def share_closer(study: Study, inversion: Inversion) -> float | None:
    """Share, 0 to 1, of the cohort's photos whose codes draw them more closely than this one's does, by perceptual
    distance; None where the cohort was measured with another distance."""
    _, index = study.latents()
    distances = index["perceptual"].to_numpy(float)
    if distances.size == 0 or (index["perceptual_name"] != inversion.metrics["perceptual_name"]).any():
        return None
    return float((distances < inversion.metrics["perceptual"]).mean())
