"""What a rebuild must not change: the demo study's command lines, report, out-of-fold scores, scores of a photo and
codes, by this copy and by another revision (`--against REV`, default: this commit's parent).

Every command runs in both copies, on the demo study and on a study of its first patients in a scratch folder. Texts are
compared line by line and files by their bytes; what differs is printed. Times, versions and paths are left out.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.driving import ROOT
from bench.driving.revision import checked_out, parent
from common.command import Parser

PATIENTS = 6  # of the small study whose photos are embedded
TAGS = re.compile(r"<(script|style|svg)\b.*?</\1>|<[^>]+>", re.S)
VARYING = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?( UTC|Z)?|[0-9a-f]{12,64}…?|\d+(\.\d+)? (s|min|h)\b|/\S+/|data:\S+"
)
SHOWN = 40  # lines of a difference


def plain(text: str) -> list[str]:
    """Lines without what varies from run to run."""
    lines = (VARYING.sub("#", " ".join(line.split())) for line in text.splitlines())
    return [line for line in lines if line]


def run_command(root: Path, words: Sequence[str]) -> str:
    """Exit code and what a command of the copy in `root` prints to standard output."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    return f"exit code {done.returncode}\n{done.stdout}{done.stderr if done.returncode else ''}"


def small_study(root: Path, folder: Path) -> Path:
    """The demo's first patients, without anything made of them."""
    demo = root / "studies" / "demo"
    (folder / "photos").mkdir(parents=True)
    for name in ("study.toml", "patients.csv", "truth.csv"):
        lines = (demo / name).read_text("utf-8").splitlines(keepends=True)
        (folder / name).write_text("".join(lines if name == "study.toml" else lines[: PATIENTS + 1]), "utf-8")
    for photo in sorted((demo / "photos").iterdir())[:PATIENTS]:
        shutil.copyfile(photo, folder / "photos" / photo.name)
    return folder


def snapshot(root: Path, scratch: Path) -> dict[str, list[str]]:
    """Name -> lines, of everything that is compared, made by the copy in `root`."""
    lines: dict[str, list[str]] = {}

    def keep(name: str, *words: str) -> None:
        lines[name] = plain(run_command(root, words))

    for room in ("study", "latent"):
        keep(f"{room} --help", room, "--help")
    keep("check", "study", "check", "demo")
    keep("cox", "study", "cox", "demo")
    photos = sorted((root / "studies" / "demo" / "photos").iterdir())[:2]
    faces = scratch / "faces"
    faces.mkdir()
    for photo in photos:
        shutil.copyfile(photo, faces / photo.name)
    keep("score", "study", "score", "demo", str(faces), "--out", str(scratch / "score.csv"))
    lines["score, table"] = (scratch / "score.csv").read_text("utf-8").splitlines()
    keep("report", "study", "report", "demo", "--out", str(scratch / "report.html"))
    lines["report, text"] = plain(TAGS.sub("\n", (scratch / "report.html").read_text("utf-8")))
    small = small_study(root, scratch / "small")
    keep("embed", "study", "embed", str(small), "--workers", "1")
    lines["codes, SHA-256"] = [hashlib.sha256((small / "latents.npy").read_bytes()).hexdigest()]
    demo = scratch / "demo"
    shutil.copytree(root / "studies" / "demo", demo, ignore=shutil.ignore_patterns("photos", "models"))
    (demo / "photos").symlink_to(root / "studies" / "demo" / "photos")
    keep("fit", "study", "fit", str(demo))
    lines["out-of-fold scores"] = (demo / "models" / "photo" / "out_of_fold.csv").read_text("utf-8").splitlines()
    return lines


def difference(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Lines removed and added."""
    return [line for line in difflib.unified_diff(old, new, lineterm="", n=0) if line[:3] not in ("---", "+++")]


def run(words: Sequence[str] = ()) -> dict[str, Any]:
    """Compare two copies; prints what differs."""
    parser: argparse.ArgumentParser = Parser(prog="python -m bench snapshot", description=__doc__)
    parser.add_argument("--against", default="", metavar="REV", help="revision to compare with (default: the parent)")
    options = parser.parse_args(list(words))
    revision = options.against or parent()
    try:
        with checked_out(revision) as copy, tempfile.TemporaryDirectory() as scratch:
            old, new = (Path(scratch) / name for name in ("old", "new"))
            old.mkdir()
            new.mkdir()
            before, after = snapshot(copy, old), snapshot(ROOT, new)
    except RuntimeError as error:
        raise SystemExit(f"{error}. A snapshot needs git and a commit to compare with.") from error
    changed = {name: difference(before.get(name, []), lines) for name, lines in after.items()}
    for name, lines in changed.items():
        print(f"{name}: {'unchanged' if not lines else f'{len(lines)} lines differ'} ({len(after[name])} lines)")
        for line in lines[:SHOWN]:
            print(f"  {line[:200]}")
    return {"against": revision, "changed": changed, "lines": {name: len(lines) for name, lines in after.items()}}
