"""Another revision of this project, checked out next to it for the time of a benchmark."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.driving import ROOT

MAIN = ("origin/main", "main", "origin/master", "master")


def git(*words: str) -> str:
    """What git prints, stripped. Raises RuntimeError with its sentence."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def parent() -> str:
    """Where this branch left the main one; on the main branch itself, the commit before this one."""
    head = git("rev-parse", "HEAD")
    for name in MAIN:
        try:
            base = git("merge-base", "HEAD", name)
        except RuntimeError:
            continue
        if base != head:
            return base
    return git("rev-parse", "HEAD~1")


@contextmanager
def checked_out(revision: str) -> Iterator[Path]:
    """A folder with the files of that revision, removed at the end. Raises RuntimeError where git knows none."""
    commit = git("rev-parse", "--verify", f"{revision}^{{commit}}")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        folder = Path(scratch) / "copy"
        git("worktree", "add", "--detach", str(folder), commit)
        try:
            yield folder
        finally:
            git("worktree", "remove", "--force", str(folder))
