"""`python -m study score`: photo files against a study's model, as one table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from common.command import file_argument, path_argument
from common.console import ProgressLine
from common.files import safe_cell
from faces.align import AlignedFace
from faces.errors import FaceError
from faces.flags import sentences
from faces.photo import EXTENSIONS
from latent.inversion.invert import Progress
from study.disk.places import CHECKPOINT_HELP
from study.disk.store import Study
from study.embedding.command import BATCH
from study.errors import StudyError
from study.files import check_writable, csv_text, write_text
from study.photos.prepare import prepare, target_size
from study.scoring.interval import why_no_interval
from study.scoring.results import Refused, Score, Withheld
from study.scoring.scorer import Scorer

MAX_PHOTOS = 100_000
MEASURES = ("perceptual", "psnr", "ssim", "identity", "st_lpips")  # of the reconstruction, as columns


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
    photos = [
        p for p in path.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file() and not p.name.startswith(".")
    ]
    if not photos:
        raise StudyError(f"There is no photo in {str(path)!r} ({', '.join(EXTENSIONS)}).")
    if len(photos) > MAX_PHOTOS:
        raise StudyError(f"{str(path)!r} holds more than {MAX_PHOTOS} photos; score them in several folders.")
    return sorted(photos, key=lambda p: natural_key(p.name))


def score_files(
    scorer: Scorer,
    paths: list[Path],
    batch: int = BATCH,
    on_progress: Callable[[float, int], None] | None = None,
    confirmed: str = "",
) -> Iterator[tuple[Path, Score | Withheld | Refused]]:
    """Scores photo files in batches of the size that embeds a cohort, in the order given; a photo that cannot be used
    yields its reason.

    on_progress : called at every step of a search with photos done (fractions of a batch included) and photos in all.
    confirmed : as for `Scorer.score_faces`, of all of them.
    """
    size = target_size(scorer.checkpoint)

    report = on_progress or (lambda done, total: None)
    report(0.0, len(paths))
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
                report(before + share * at.step / max(at.steps, 1), len(paths))

            scores = scorer.score_faces(list(faces.values()), on_step=on_step, confirmed=confirmed)
            results.update(zip(faces, scores, strict=True))
        report(start + len(results), len(paths))
        yield from ((path, results[path]) for path in paths[start : start + batch])


def score_table(study: Study, results: Sequence[tuple[Path, Score | Withheld | Refused]]) -> pd.DataFrame:
    """One row per photo, texts made safe for spreadsheets. Survival only at horizons that the follow-up supports;
    limits (NAME_low, NAME_high) only where the scores have an interval."""
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
        row |= {key: round(float(m.get(key, math.nan)), 4) for key in MEASURES}
        if isinstance(result, Withheld):
            rows.append({**row, "status": "no figures", "reason": safe_cell(result.reason)})
            continue
        risk = result.risk
        values = {"log_hr": risk.log_hr, "hr": risk.hr, "percentile": risk.percentile}
        values |= {f"survival_{t:g}_{unit}": s for t, s in risk.horizons.items()}
        if (interval := risk.interval) is not None:
            limits = {"log_hr": interval.log_hr, "hr": interval.hr, "percentile": interval.percentile}
            limits |= {f"survival_{t:g}_{unit}": each for t, each in interval.horizons.items()}
            values |= {f"{name}_low": float(each.low) for name, each in limits.items()}
            values |= {f"{name}_high": float(each.high) for name, each in limits.items()}
        row |= {name: round(value, 1 if name.startswith("percentile") else 4) for name, value in values.items()}
        row["extrapolated"] = {-1: "below the cohort", 1: "above the cohort"}.get(risk.extrapolated, "")
        rows.append(row)
    numbers = ["log_hr", "hr", "percentile", *(f"survival_{t:g}_{unit}" for t in study.horizons if t in carried)]
    if any(f"{numbers[0]}_low" in row for row in rows):
        numbers = [f"{name}{end}" for name in numbers for end in ("", "_low", "_high")]
    names = ["photo", "status", "reason", *numbers, "extrapolated"]
    names += ["quality", "face", "perceptual_distance", *MEASURES]
    return pd.DataFrame(rows, columns=names)


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("photos", type=path_argument, help="a photo, or a folder of photos")
    parser.add_argument("--out", type=file_argument, required=True, help="CSV file to write, one row per photo")
    parser.add_argument("--model", default=None, help="folder under models/ (default: the study's own)")
    parser.add_argument("--checkpoint", type=path_argument, help=CHECKPOINT_HELP)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--confirm",
        metavar="WORDS",
        default="",
        help="describe in words the faces in photos where the detector is not certain of one; stored with their scores",
    )


def run(args: Any) -> int:
    from study.photos.prepare import study_checkpoint

    study = Study.open(args.study)
    paths = photos_in(args.photos)
    check_writable(args.out)
    scorer = Scorer.open(study, study_checkpoint(study, args.checkpoint, args.device), args.model)
    results = list(score_files(scorer, paths, on_progress=ProgressLine("photos"), confirmed=args.confirm))
    write_text(args.out, csv_text(score_table(study, results)))
    refused, withheld = (sum(isinstance(r, kind) for _, r in results) for kind in (Refused, Withheld))
    without = f", {withheld} too far from a face for figures" if withheld else ""
    print(
        f"{len(results) - refused - withheld} of {len(results)} photos scored, {refused} refused{without}: {args.out}"
    )
    scores = [result for _, result in results if isinstance(result, Score)]
    if scores and (note := study.competing_note):
        print(note)
    for sentence in scores[0].risk.left_out if scores else ():
        print(f"Survival: {sentence}")
    if scores:
        interval = scores[0].risk.interval
        print(why_no_interval(scorer.model) if interval is None else interval.words)
    if outside := sum(score.risk.extrapolated != 0 for score in scores):
        print(f"{outside} with a score outside the cohort's: their values are extrapolated (column extrapolated).")
    if study.simulated:
        print(f"{study.name} is a simulated study: the scores say nothing about a real person.")
    return 0 if refused < len(results) else 1
