"""`python -m bench repeatability RENDERER`: does a face's interval hold the score of another photo of the person?

Rendered persons whom neither the checkpoint nor the study has seen, two photos each: another scene of light, the head
turned by at most 10 degrees. Both photos, and the first one's mirror image, are aligned, searched and scored as the
study scores a new photo. Held: of the pairs both ways round, the share in which one photo's interval holds the other's
score. Differences are of log hazard ratios; ICC(2,1) of the two photos with its 95 % bootstrap interval over persons.

Options: `RENDERER --python INTERPRETER --persons 50 --seed 22 --study demo --model NAME --checkpoint FOLDER
--photos FOLDER --out FILE`. RENDERER is the folder of the portrait renderer, INTERPRETER a Python that has what it
needs. Photos are kept in --photos and scores in --out; the same command resumes where it was stopped.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from bench.parts.common import RESULTS, Results, print_table
from bench.repeatability import render_pairs
from common.command import Parser, file_argument, folder_argument, path_argument
from common.console import ProgressLine
from faces.align import AlignedFace
from study.disk.store import Study
from study.errors import StudyError
from study.files import sha256_of
from study.photos.prepare import prepare, study_checkpoint, target_size
from study.scoring.interval import why_no_interval
from study.scoring.results import Score
from study.scoring.scorer import Scorer
from survival.metrics.agreement import intraclass_ci
from survival.uncertainty.limits import LEVEL

WANTED = 0.80  # of the pairs, at the nominal LEVEL
MIRROR_AT_MOST = 0.02  # log hazard ratio between a photo and its mirror image
FIRST, OTHER, MIRROR = "a", "b", "mirror"


def draw(options: argparse.Namespace) -> list[tuple[Path, Path]]:
    """The photos of each person, drawn where they are absent."""
    script = [options.python, render_pairs.__file__, str(options.renderer), str(options.seed), str(options.persons)]
    subprocess.run([*script, str(options.photos)], check=True, stdout=subprocess.DEVNULL)
    names = [options.photos / f"{person:03d}" for person in range(options.persons)]
    return [(Path(f"{name}-{FIRST}.jpg"), Path(f"{name}-{OTHER}.jpg")) for name in names]


def mirrored(face: AlignedFace) -> AlignedFace:
    return replace(face, pixels=np.ascontiguousarray(face.pixels[:, ::-1]))


def score_all(
    scorer: Scorer, pairs: Sequence[tuple[Path, Path]], results: Results
) -> list[dict[str, dict[str, float]]]:
    """log_hr and its limits of the photos of each person who could be scored in all of them."""
    progress, people, size = ProgressLine("persons", len(pairs)), [], target_size(scorer.checkpoint)
    for done, (first, other) in enumerate(pairs, 1):
        key = sha256_of(first)
        if not results.of(key):
            face = prepare(first, scorer.study.settings.aligned, size)
            faces = {FIRST: face, OTHER: prepare(other, scorer.study.settings.aligned, size), MIRROR: mirrored(face)}
            scores = dict(zip(faces, scorer.score_faces(list(faces.values())), strict=True))
            results.add(key, {name: _plain(score) for name, score in scores.items()})
            results.write()
        record = results.of(key)
        if all(record.values()):
            people.append(record)
        progress(done)
    return people


def _plain(score: object) -> dict[str, float]:
    """{} for a photo without a score."""
    if not isinstance(score, Score) or score.risk.interval is None:
        return {}
    limits = score.risk.interval.log_hr
    return {"log_hr": score.risk.log_hr, "low": float(limits.low), "high": float(limits.high)}


def report(people: Sequence[Mapping[str, Mapping[str, float]]], seed: int) -> dict[str, Any]:
    """Coverage, differences and agreement of scored persons."""
    first, other, mirror = (np.array([[p[n][k] for k in ("log_hr", "low", "high")] for p in people]) for n in NAMES)
    held = [(a[:, 1] <= b[:, 0]) & (b[:, 0] <= a[:, 2]) for a, b in ((first, other), (other, first))]
    share = float(np.mean(held))
    # the two ways round of a person go together, so the interval counts persons
    wilson = binomtest(round(share * len(people)), len(people)).proportion_ci(method="wilson")
    light, turned = other[:, 0] - first[:, 0], mirror[:, 0] - first[:, 0]
    icc = intraclass_ci(np.stack([first[:, 0], other[:, 0]], axis=1), seed=seed)
    rows = [
        {"": f"interval holds the other photo's score (nominal {100 * LEVEL:.0f} %)", "value": share}
        | {"low": float(wilson.low), "high": float(wilson.high)},
        {"": "mean absolute difference, other light and pose", "value": float(np.abs(light).mean())},
        {"": "standard deviation of that difference", "value": float(np.sqrt(np.mean(light**2)))},
        {"": "mean absolute difference, mirror image", "value": float(np.abs(turned).mean())},
        {"": "largest absolute difference, mirror image", "value": float(np.abs(turned).max())},
        {"": "mean width of the interval", "value": float(np.mean(first[:, 2] - first[:, 1]))},
        {"": "standard deviation of the scores", "value": float(first[:, 0].std(ddof=1))},
        {"": "ICC(2,1) of the two photos", "value": icc.value, "low": icc.low, "high": icc.high},
    ]
    targets = [
        {"target": "interval holds the other photo's score", "wanted": f">= {WANTED}", "found": share}
        | {"met": share >= WANTED},
        {"target": "mirror image, largest difference", "wanted": f"< {MIRROR_AT_MOST}", "found": rows[4]["value"]}
        | {"met": rows[4]["value"] < MIRROR_AT_MOST},
    ]
    return {"persons": len(people), "rows": rows, "targets": targets}


NAMES = (FIRST, OTHER, MIRROR)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m bench repeatability", description=__doc__)
    parser.add_argument("renderer", type=folder_argument, help="folder of the portrait renderer")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has what the renderer needs")
    parser.add_argument("--persons", type=int, default=50)
    parser.add_argument("--seed", type=int, default=22, help="of the renderer; no seed that anything was trained on")
    parser.add_argument("--study", default="demo")
    parser.add_argument("--model", default=None, help="folder under models/ (default: the study's own)")
    parser.add_argument("--checkpoint", type=folder_argument, default=None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--photos", type=path_argument, default=None, help="folder of the rendered photos")
    parser.add_argument("--out", type=file_argument, help="JSON file: scores are kept there and not made again")
    options = parser.parse_args(list(arguments))
    if options.persons < 3:
        parser.error("--persons must be at least 3")
    options.photos = options.photos or RESULTS / f"repeatability-{options.seed}"
    return options


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Print the tables and return them. Raises StudyError for a study whose scores have no interval."""
    options = parse(arguments)
    study = Study.open(options.study)
    checkpoint = study_checkpoint(
        study, None if options.checkpoint is None else str(options.checkpoint), options.device
    )
    scorer = Scorer.open(study, checkpoint, options.model)
    if why := why_no_interval(scorer.model):
        raise StudyError(why)
    results = Results(options.out, {"scorer": scorer.stamp, "seed": options.seed})
    people = score_all(scorer, draw(options), results)
    if len(people) < 3:
        raise StudyError("Fewer than three persons could be scored in all their photos.")
    photo = scorer.model.photo_
    facts = {
        "study": study.name,
        "checkpoint": checkpoint.name,
        "resolution": checkpoint.resolution,
        "preset": study.settings.preset,
        "seed": options.seed,
        "photo_part": "none" if photo is None else photo.kind,
    }
    result = report(people, options.seed)
    print_table(result["rows"], f"{study.name}, {result['persons']} persons (renderer's seed {options.seed})")
    print_table(result["targets"], "Targets")
    results.write(facts | result)
    return facts | result
