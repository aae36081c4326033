"""One model of a study with its checkpoint: scores photos, and moves a face along the model's health direction."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.text import count
from faces.align import AlignedFace
from faces.flags import Flag
from latent.checkpoints import Checkpoint
from latent.editing.directions import Direction, direction_from_gradient, pattern_direction
from latent.editing.render import synthesize
from latent.errors import LatentError
from latent.inversion.invert import Inversion, Progress
from latent.inversion.settings import InversionSettings
from study.disk.latents import mean_over_views
from study.disk.models import fingerprint
from study.disk.store import Study
from study.embedding.record import code_settings, encoder_sha256
from study.errors import StudyError
from study.photos.prepare import PhotoCode, invert_faces
from study.scoring.face_evidence import doubt, draws_faces, ground, implausibility_bound, no_figures
from study.scoring.results import LeftOut, Refused, Risk, Score, Withheld, left_out, risk_of
from study.scoring.status import model_status
from study.scoring.strip import (
    BATCH,
    CURVE_POINTS,
    KINDS,
    Draw,
    Kind,
    OnFrames,
    Strip,
    largest_ratio,
    log_hr_steps,
    stack,
)
from survival.curves import Curve, quartile_curves

if TYPE_CHECKING:
    from survival.models.fitted import FittedModel

# kinds of flags of a score
OTHER_DISTANCE, OTHER_ENCODER, OTHER_VIEWS = "other distance", "other encoder", "other views"
OPENED_AT_MOST = 3  # times, where the model is replaced while it is read


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
                    f"The model of {study.name} was fitted with another checkpoint than {checkpoint.name}: choose "
                    "that one, or embed the photos and fit the model again.",
                    ("embed", study.name),
                )
            fitted = study.model(name)
            if fingerprint(study.path, name) == before:
                identity = [study.name, name, before, checkpoint.sha256, study.time_unit, study.horizons]
                return cls(study, checkpoint, name, fitted, report, sha256(json.dumps(identity).encode()).hexdigest())
        raise StudyError(f"Model {name!r} of {study.name} is being replaced just now. Try again in a moment.")

    @cached_property
    def _fitted(self) -> tuple[NDArray[np.float32], pd.DataFrame]:
        return self.study.fitted(self.name)

    @property
    def codes(self) -> NDArray[np.float32]:
        """Features (n, num_ws, w_dim) of the patients that the model was fitted on. Raises StudyError where one is
        missing."""
        return self._fitted[0]

    @property
    def patients(self) -> pd.DataFrame:
        """Their rows of the patient table. Raises StudyError like `codes`."""
        return self._fitted[1]

    @property
    def cohort_log_hr(self) -> NDArray[np.float64]:
        """(n,) out-of-fold log-HR of the patients, against their median."""
        return np.asarray(self.model.cohort_["log_hr"], float)

    @cached_property
    def quarters(self) -> dict[int, Curve]:
        """Kaplan-Meier curves of the patients' quarters by out-of-fold risk, 0 (lowest) to 3."""
        rows = self.model.cohort_
        entry = rows["entry"].to_numpy() if "entry" in rows else None
        return quartile_curves(rows["time"].to_numpy(), rows["event"].to_numpy(), rows["quartile"].to_numpy(), entry)

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """What changed in the study since the model was fitted, in sentences."""
        return model_status(self.study, self.name).reasons

    @property
    def views(self) -> int:
        """Of each photo, in the cohort that the model was fitted on."""
        return int(self.report.get("views", 1))

    def risks(
        self, ws: NDArray[np.float32], times: NDArray[np.float64] | None = None, intervals: bool = False
    ) -> list[Risk]:
        """Risks of features (n, num_ws, w_dim). times: (T,) of their survival curves; None: those of the model.
        intervals: whether each gets its interval."""
        return risk_of(self.study, self.model, ws, times, intervals)

    def left_out(self, patient: str) -> LeftOut | None:
        """What a model that was fitted without this patient says of the patient; None for anyone not in the cohort."""
        return left_out(self.study, self.model, patient)

    def direction(self, kind: Kind = "coefficients", band: tuple[int, int] | None = None) -> Direction:
        """The model's health direction in W+, one unit of log-HR a step.

        kind: "coefficients" (the model's gradient), "pattern" (covariance of the codes that the model was fitted on,
        times the gradient). band: move only the layers low..high-1; the step stays exact. Raises StudyError when the
        model's hazard is not linear in the code.
        """
        name = self.study.name
        if not self.model.linear:
            raise StudyError(
                f"The model of {name} is not linear in the code: no single direction changes its hazard by the same "
                "factor everywhere. Choose a Cox model on the Survival model page."
            )
        gradient = np.asarray(self.model.log_hr_gradient())
        try:
            if kind == "coefficients":
                direction = direction_from_gradient(gradient)
            elif kind == "pattern":
                direction = pattern_direction(gradient, self.codes)
            else:
                raise StudyError(f"{kind!r} is not a kind of direction; use {' or '.join(KINDS)}.")
            return direction.restricted(band)
        except LatentError as error:
            raise StudyError(f"The model of {name}: {error}") from error

    def steps(self, a_side: int) -> NDArray[np.float64]:
        """(2 a_side + 1,) even steps in log-HR, as far as scores of the cohort spread."""
        return log_hr_steps(float(np.log(largest_ratio(self.cohort_log_hr))), 2 * a_side + 1)

    def strip(
        self,
        ws: NDArray[np.float32],
        direction: Direction,
        steps: NDArray[np.float64],
        draw: Draw | None = None,
        on_frames: OnFrames | None = None,
        batch: int = BATCH,
        features: NDArray[np.float32] | None = None,
    ) -> Strip:
        """The face of code `ws` (num_ws, w_dim) moved by each of `steps` (K,) log-HR, with its risk at each.

        features: (num_ws, w_dim) of the face, moved by the same steps, of which the risks are; None: of `ws`. The risks
        are those the model gives to what was moved, not step arithmetic. draw: makes the frames in
        place of the checkpoint's generator, for display; nothing else is asked of it, so no number can depend on it.
        on_frames: called after every `batch` frames; what it raises ends the work. Reads no file.
        """
        steps = np.asarray(steps, float)
        codes = direction.apply(ws, steps)
        unmoved = ws if features is None else features
        times = np.linspace(0.0, float(self.model.baseline.last_time), CURVE_POINTS)
        risks = self.risks(direction.apply(unmoved, steps), times)
        (unedited,) = self.risks(unmoved[None], times, intervals=True)
        parts: list[NDArray[np.uint8]] = []
        for start in range(0, len(codes), batch):
            some = codes[start : start + batch]
            parts.append(synthesize(self.checkpoint, some) if draw is None else draw(self.checkpoint, some))
            if on_frames is not None:
                on_frames(start + len(some), len(codes), parts[-1][-1])
        return Strip(steps, np.concatenate(parts), codes, **stack(risks), interval=unedited.interval)

    def score_faces(
        self,
        faces: list[AlignedFace],
        settings: InversionSettings | None = None,
        on_step: Callable[[Progress], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        confirmed: str = "",
    ) -> list[Score | Withheld | Refused]:
        """Scores of aligned faces, all their views inverted together. settings: None for those of the study's codes.
        confirmed: the words in which a person said that squares without a certain face show one; "" for none, which
        refuses these.

        Raises latent.Cancelled when stopped.
        """
        settings = settings or code_settings(self.study)
        doubts = ["" if confirmed.strip() else doubt(face) for face in faces]
        taken = [face for face, why in zip(faces, doubts, strict=True) if not why]
        made = invert_faces(self.checkpoint, taken, settings, self.views, on_step, cancelled) if taken else []
        codes, results = iter(made), list[Score | Withheld | Refused]()
        for face, why in zip(faces, doubts, strict=True):
            code = why or next(codes)
            if isinstance(code, PhotoCode):
                results.append(self.score_inversion(code.inversion, face, confirmed, code.views))
            else:
                results.append(Refused(str(code)))
        return results

    @cached_property
    def _index(self) -> pd.DataFrame:
        """Index of the cohort's codes, one row per photo."""
        return self.study.latents().index

    @cached_property
    def _limits(self) -> tuple[float | None, str, str, bool]:
        """Bound on the implausibility of codes, preset and perceptual distance that it holds for, and whether the
        generator's average picture is taken for a face."""
        bound, preset, distance = None, "", ""
        if self.study.has_latents:
            latents = self.study.latents(self.checkpoint.sha256)
            names = set(latents.index["perceptual_name"])
            preset, distance = self.study.embedding.preset, names.pop() if len(names) == 1 else ""
            bound = implausibility_bound(self.checkpoint, latents.ws)
        return bound, preset, distance, draws_faces(self.checkpoint)

    def no_figures(self, inversion: Inversion) -> str:
        """Why a code gets no values, a sentence; "" where it does. The cohort's codes are compared with only where
        they were searched with the same settings and perceptual distance."""
        bound, preset, distance, draws = self._limits
        alike = (inversion.settings.name, inversion.metrics["perceptual_name"]) == (preset, distance)
        implausibility = float(inversion.metrics["plausibility"])
        return no_figures(inversion.reconstruction, implausibility, bound if alike else None, draws)

    def score_inversion(
        self,
        inversion: Inversion,
        face: AlignedFace,
        confirmed: str = "",
        views: NDArray[np.float32] | None = None,
    ) -> Score | Withheld:
        """The score of a photo whose code was searched before. views: float32 (views, num_ws, w_dim), the codes of its
        views; None: the photo's alone. Raises StudyError where it is of another checkpoint."""
        if inversion.checkpoint_sha256 != self.checkpoint.sha256:
            raise StudyError(f"This code was made with another checkpoint than {self.checkpoint.name}: score it again.")
        views = inversion.ws[None] if views is None else views
        flags, why = face.quality.flags + self._notes(inversion, len(views)), self.no_figures(inversion)
        if why:
            return Withheld(inversion, why, flags, ground(face, confirmed))
        (risk,) = self.risks(mean_over_views(views)[None].astype(np.float32), intervals=True)
        return Score(inversion, views, risk, flags, self.stamp, ground(face, confirmed))

    def _notes(self, inversion: Inversion, views: int) -> tuple[Flag, ...]:
        """Flags where the code was not searched in the way the cohort's codes were."""
        notes = []
        used, cohorts = inversion.metrics["perceptual_name"], self.report.get("perceptual_name")
        if cohorts and used != cohorts:
            sentence = f"The code was fitted with {used}, the cohort's codes with {cohorts}: the score may be off."
            notes.append(Flag(OTHER_DISTANCE, float("nan"), sentence))
        if views != self.views:
            sentence = f"The code rests on {count(views, 'view')}, the cohort's on {self.views}: the score may be off."
            notes.append(Flag(OTHER_VIEWS, float(views), sentence))
        encoder = self.report.get("encoder_sha256")
        if encoder and encoder != encoder_sha256(self.checkpoint):
            sentence = "The checkpoint's encoder has changed since the cohort was embedded: the score may be off."
            notes.append(Flag(OTHER_ENCODER, float("nan"), sentence))
        return tuple(notes)

    def share_closer(self, inversion: Inversion) -> float | None:
        """Share, 0 to 1, of the cohort's photos that their codes reproduce more closely than this one's does, by
        perceptual distance; None where the cohort was measured with another distance."""
        index = self._index
        if index.empty or (index["perceptual_name"] != inversion.metrics["perceptual_name"]).any():
            return None
        return float((index["perceptual"].to_numpy(float) < inversion.metrics["perceptual"]).mean())

    def record(self, score: Score) -> dict[str, Any]:
        """A score as plain values (None where there is no number), with everything needed to compute it again."""
        risk = score.risk
        metrics = {k: (v if isinstance(v, str) else float(v)) for k, v in score.inversion.metrics.items()}
        return {
            "study": self.study.name,
            "simulated": self.study.simulated,
            "checkpoint": self.checkpoint.name,
            "checkpoint_sha256": self.checkpoint.sha256,
            "model": self.name,
            "time_unit": self.study.time_unit,
            "log_hr": risk.log_hr,
            "hr": risk.hr,
            "percentile": risk.percentile,
            "survival_at": {f"{t:g}": _plain(s) for t, s in risk.horizons.items()},
            "survival_left_out": list(risk.left_out),
            "competing_events": self.study.competing_note,
            "extrapolated": risk.extrapolation,
            "interval": None if risk.interval is None else risk.interval.record(),
            "curve": {"time": risk.times.tolist(), "survival": [_plain(s) for s in risk.survival]},
            "quality_flags": [{"kind": f.kind, "value": _plain(f.value), "sentence": f.sentence} for f in score.flags],
            "face": score.ground,
            "inversion": {
                "metrics": metrics,
                "settings": score.inversion.settings.as_dict(),
                "views": len(score.views),
            },
            "seconds": score.inversion.seconds,
            "notice": "Research use only. Association, not cause.",
        }


def _plain(value: float) -> float | None:
    """A number that JSON has; None for nan."""
    return None if np.isnan(value) else float(value)
