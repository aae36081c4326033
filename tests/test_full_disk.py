"""A disk that fills up: one sentence, nothing half-written, and the same command works once there is room.

Two kinds of fullness: a small file system of its own (where mounting is allowed), filled but for some room; and a limit
on the size of every file, which any system has and which strikes each writer in the middle of its file.
"""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

import latent.__main__ as latent
import study.__main__ as study
from latent.checkpoints import load_checkpoint
from latent.datasets.build import load
from study.disk.store import Study
from study.files import csv_text, write_text
from study.settings import Settings, settings_text
from tests.latent.importing.test_reader import small_networks
from tests.latent.importing.weight_files import nvidia_bytes, nvidia_table
from tests.study.conftest import patient_table
from tests.ui import tiny

SIZE = 5 << 20
ROOMS = {"tmpfs": (0, 8 << 10, 120 << 10), "limit": (0, 3000, 40_000)}
# What a stop may leave on purpose: finished parts, from which the same command resumes.
RESUMED = (".parts", "embedding.parts")
Room = Callable[[int | None], None]


@pytest.fixture(params=ROOMS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Room, tuple[int, ...]]]:
    """A folder, and what sets the room in it (None: enough)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "limit":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

        def limit(room: int | None) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft if room is None else room, hard))

        yield folder, limit, ROOMS["limit"]
        limit(None)
        return
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("file systems cannot be mounted here")

    def fill(room: int | None) -> None:
        filler = folder / ".filler"
        filler.unlink(missing_ok=True)
        if room is not None:
            facts = os.statvfs(folder)
            filler.touch()
            with filler.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, max(facts.f_bavail * facts.f_frsize - room, 1))

    try:
        yield folder, fill, ROOMS["tmpfs"]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything but what may be resumed from."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".filler")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if not any(part.endswith(RESUMED) for part in path.relative_to(folder).parts)
    }


def struck(
    main: Callable[[Sequence[str]], int],
    words: Sequence[object],
    disk: tuple[Path, Room, tuple[int, ...]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command with ever more room: a sentence and nothing left, or all of it; then with enough."""
    folder, room, rooms = disk
    before = files_of(folder)
    for left in rooms:
        room(left)
        try:
            code = main([str(word) for word in words])
        finally:
            room(None)
        said = capsys.readouterr().err
        if code == 0:
            return
        assert code == 1, said
        assert "Traceback" not in said
        assert len([line for line in said.splitlines() if line.strip()]) <= 2, said  # progress, and the sentence
        assert files_of(folder) == before, f"{left} bytes left"
    code = main([str(word) for word in words])
    assert code == 0, capsys.readouterr().err
    capsys.readouterr()


@pytest.fixture(scope="module")
def portraits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("portraits")
    for i in range(1, 4):
        Image.fromarray(np.roll(astronaut(), 4 * i, axis=1)).save(folder / f"P000{i}.png")
    return folder


def test_intake(
    disk: tuple[Path, Room, tuple[int, ...]], portraits: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = patient_table(3).assign(photo=[f"P000{i}.png" for i in (1, 2, 3)])
    write_text(tmp_path / "table.csv", csv_text(table))
    write_text(tmp_path / "plan.toml", settings_text(Settings("made", "Made")))
    words = ["intake", tmp_path / "table.csv", portraits, "--plan", tmp_path / "plan.toml", "--root", disk[0] / "root"]
    struck(study.main, words, disk, capsys)
    assert len(Study.open(disk[0] / "root" / "made").photos) == 3


def test_import(disk: tuple[Path, Room, tuple[int, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "network.pkl").write_bytes(nvidia_bytes(nvidia_table(small_networks()[0])))
    words = ["import", tmp_path / "network.pkl", "--name", "made", "--root", disk[0] / "checkpoints"]
    struck(latent.main, words, disk, capsys)
    assert load_checkpoint(disk[0] / "checkpoints" / "made").resolution == 8


def test_dataset(disk: tuple[Path, Room, tuple[int, ...]], portraits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dataset", portraits, "--out", disk[0] / "set", "--size", 64, "--workers", 1]
    struck(latent.main, words, disk, capsys)
    assert len(load(disk[0] / "set", 64)[0]) == 3
    assert not (disk[0] / "set.parts").exists()


@pytest.mark.slow
def test_embed_and_fit(
    disk: tuple[Path, Room, tuple[int, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tiny.write_checkpoint(tmp_path / "portraits")
    made = tiny.write_study(disk[0] / "tiny", checkpoint, patients=24)
    for name in ("latents.npy", "index.parquet"):
        (made.path / name).unlink()
    words = ["embed", made.path, "--checkpoint", checkpoint.path, "--batch", 12, "--workers", 1]
    struck(study.main, words, disk, capsys)
    assert len(Study.open(made.path).latents().ws) == 24
    struck(study.main, ["fit", made.path, "--name", "again", "--folds", 2], disk, capsys)
    assert (made.path / "models" / "again" / "report.json").is_file()
