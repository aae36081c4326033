"""A new photo against a study: aligned, inverted with the study's preset, scored by its model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from common.command import file_argument, path_argument
from faces.align import AlignedFace
from faces.errors import FaceError
from faces.flags import Flag, sentences
from faces.photo import EXTENSIONS, Photo
from latent.checkpoints import Checkpoint
from latent.inversion import Inversion, InversionSettings, Progress
from study.console import Pace, progress_line
from study.embed import BATCH
from study.embedding.record import encoder_sha256, study_preset
from study.errors import StudyError
from study.evidence import doubt, draws_faces, ground, implausibility_bound, no_figures
from study.files import csv_text, safe_cell, write_text
from study.models import fingerprint
from study.prepare import invert_faces, prepare, target_size
from study.store import Study

if TYPE_CHECKING:
    from study.models import StudyModel

MAX_PHOTOS = 100_000
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


def risk_of(study: Study, model: StudyModel, ws: NDArray[np.float32]) -> list[Risk]:
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
    model: StudyModel
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


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(0, int(p), "") if p.isascii() and p.isdigit() else (1, 0, p) for p in parts]


def photos_in(path: Path) -> list[Path]:
    """The photo itself, or the photos directly in a folder, in natural order."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise StudyError(f"There is no photo or folder {str(path)!r}.")
    found = [p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file() and not p.name.startswith(".")]
    if not found:
        raise StudyError(f"There is no photo in {str(path)!r} ({', '.join(EXTENSIONS)}).")
    if len(found) > MAX_PHOTOS:
        raise StudyError(f"{str(path)!r} holds more than {MAX_PHOTOS} photos; score them in several folders.")
    return sorted(found, key=lambda p: natural_key(p.name))


def score_files(
    scorer: Scorer,
    paths: list[Path],
    batch: int = BATCH,
    on_progress: Callable[[float, int, float | None], None] | None = None,
    confirmed: str = "",
) -> Iterator[tuple[Path, Score | Withheld | Refused]]:
    """Scores photo files in batches of the size that embeds a cohort, in the order given; a photo that cannot be used
    yields its reason.

    on_progress : called at every step of a search with photos done (fractions of a batch included), photos in all and
    seconds left, None while unknown.
    confirmed : as for `Scorer.score_faces`, of all of them.
    """
    size = target_size(scorer.checkpoint)
    pace = Pace()

    def tell(done: float) -> None:
        if on_progress is not None:
            on_progress(done, len(paths), pace.seconds_left(done, len(paths) - done))

    tell(0.0)
    for start in range(0, len(paths), batch):
        results: dict[Path, Score | Withheld | Refused] = {}
        faces: dict[Path, AlignedFace] = {}
        for path in paths[start : start + batch]:
            try:
                faces[path] = prepare(path, scorer.study.settings.aligned, size)
            except FaceError as error:
                results[path] = Refused(str(error))
        if faces:
            before, share = start + len(results), len(faces)

            def on_step(at: Progress, before: int = before, share: int = share) -> None:
                tell(before + share * at.step / max(at.steps, 1))

            scores = scorer.score_faces(list(faces.values()), on_step=on_step, confirmed=confirmed)
            results.update(zip(faces, scores, strict=True))
        tell(start + len(results))
        yield from ((path, results[path]) for path in paths[start : start + batch])


def score_table(study: Study, results: Sequence[tuple[Path, Score | Withheld | Refused]]) -> pd.DataFrame:
    """One row a photo, texts made safe for spreadsheets. Survival at the horizons that follow-up carries only."""
    unit = study.time_unit
    carried = {t for _, result in results if isinstance(result, Score) for t in result.risk.horizons}
    rows = []
    for path, result in results:
        row: dict[str, Any] = {"photo": safe_cell(path.name), "status": "scored", "reason": ""}
        if isinstance(result, Refused):
            rows.append({**row, "status": "refused", "reason": safe_cell(result.reason)})
            continue
        m = result.inversion.metrics
        row |= {
            "quality": safe_cell(sentences(result.flags, "; ")),
            "face": safe_cell(result.ground),
            "perceptual_distance": safe_cell(str(m["perceptual_name"])),
        }
        row |= {key: round(float(m[key]), 4) for key in ("perceptual", "psnr", "ssim", "identity")}
        if isinstance(result, Withheld):
            rows.append({**row, "status": "no figures", "reason": safe_cell(result.reason)})
            continue
        risk = result.risk
        row |= {"log_hr": round(risk.log_hr, 4), "hr": round(risk.hr, 4), "percentile": round(risk.percentile, 1)}
        row |= {f"survival_{t:g}_{unit}": round(s, 4) for t, s in risk.horizons.items()}
        row["extrapolated"] = {-1: "below the cohort", 1: "above the cohort"}.get(risk.extrapolated, "")
        rows.append(row)
    names = ["photo", "status", "reason", "log_hr", "hr", "percentile"]
    names += [*(f"survival_{t:g}_{unit}" for t in study.horizons if t in carried), "extrapolated"]
    names += ["quality", "face", "perceptual_distance", "perceptual", "psnr", "ssim", "identity"]
    return pd.DataFrame(rows, columns=names)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("photos", type=path_argument, help="a photo, or a folder of photos")
    parser.add_argument("--out", type=file_argument, required=True, help="CSV file to write, one row a photo")
    parser.add_argument("--model", default=None, help="folder under models/ (default: the study's own)")
    parser.add_argument(
        "--checkpoint",
        type=path_argument,
        default=None,
        help="folder or name under checkpoints/ (default: as in study.toml)",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--confirm",
        metavar="WORDS",
        default="",
        help="say in words that photos in which the detector is not certain of a face show one; kept with their scores",
    )


def run(args: Any) -> int:
    from study.prepare import study_checkpoint

    study = Study.open(args.study)
    paths = photos_in(args.photos)
    if args.out.is_dir():
        raise StudyError(f"--out {args.out} is a folder; give the name of a CSV file.")
    scorer = Scorer.open(study, study_checkpoint(study, args.checkpoint, args.device), args.model)
    results = list(score_files(scorer, paths, on_progress=progress_line("photos"), confirmed=args.confirm))
    write_text(args.out, csv_text(score_table(study, results)))
    refused = sum(isinstance(r, Refused) for _, r in results)
    withheld = sum(isinstance(r, Withheld) for _, r in results)
    without = f", {withheld} too far from a face for figures" if withheld else ""
    print(
        f"{len(results) - refused - withheld} of {len(results)} photos scored, {refused} refused{without}: {args.out}"
    )
    scores = [result for _, result in results if isinstance(result, Score)]
    if scores and (told := study.competing_note):
        print(told)
    for sentence in scores[0].risk.left_out if scores else ():
        print(f"Survival: {sentence}")
    if outside := sum(score.risk.extrapolated != 0 for score in scores):
        print(f"{outside} with a score outside the cohort's: their figures are extrapolated (column extrapolated).")
    if study.simulated:
        print(f"{study.name} is a simulated study: the scores say nothing about a real person.")
    return 0 if refused < len(results) else 1
