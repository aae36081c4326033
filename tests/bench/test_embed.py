"""The embedding benchmark: its copy of a study is the study, and its rates are of embeddings that agree."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bench import embed as bench
from bench.embed import AGREEMENT, part_of
from study.disk.store import Study
from tests.study.conftest import patient_table, write_study
from tests.ui.tiny import write_checkpoint


@pytest.fixture
def source(tmp_path: Path) -> Study:
    settings = {"aligned": True, "preset": "fast", "checkpoint": "tiny"}
    return Study.open(write_study(tmp_path / "s", patient_table(8), photos=8, **settings))


def test_part_of_a_study(source: Study, tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    part = part_of(source, tmp_path / "part", 3)
    assert list(part.photos) == ["P0001", "P0002", "P0003"]
    assert part.settings == source.settings
    assert part.photo_path("P0002").read_bytes() == source.photo_path("P0002").read_bytes()


@pytest.mark.slow
def test_the_table(
    source: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Without Ray: one process and two, the same codes."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    checkpoint = write_checkpoint(tmp_path / "tiny")
    options = ["--study", str(source.path), "--photos", "4", "--batch", "1", "--checkpoint", str(checkpoint.path)]
    options += ["--only", "engines"]
    result = bench.run(options)
    assert [row["engine"] for row in result["rows"]] == ["local, 1 processes", "local, 2 processes"]
    assert result["rows"][0]["times one worker"] == 1.0
    assert all(row["photos/s"] > 0 for row in result["rows"])
    assert result["difference"] <= AGREEMENT
    assert "Ray is not installed" in capsys.readouterr().out


@pytest.mark.slow
def test_the_cost_of_views(source: Study, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = write_checkpoint(tmp_path / "tiny")
    options = ["--study", str(source.path), "--photos", "2", "--batch", "1", "--checkpoint", str(checkpoint.path)]
    rows = bench.run([*options, "--only", "views"])["views"]
    assert [row["views"] for row in rows] == [1, 2, 4]
    assert rows[0]["times one view"] == 1.0
    assert "Views of each photo: 2 photos of s" in capsys.readouterr().out


def test_engines_that_disagree_are_refused(source: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    turns = iter(range(10))

    def turn(engine: bench.TimedEngine, *arguments: object) -> None:
        engine.rates, engine.whole = [1.0], [1.0]
        engine.codes = np.full(3, next(turns) * 2 * AGREEMENT)

    monkeypatch.setattr(bench.TimedEngine, "turn", turn)
    with pytest.raises(RuntimeError, match="the engines disagree"):
        bench.run(["--study", str(source.path), "--only", "engines"])


def test_the_steps_are_those_of_two_revisions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @contextmanager
    def checked_out(revision: str) -> Iterator[Path]:
        yield tmp_path

    codes = ["a" * 64]

    def drive(root: Path, study: str, photos: int) -> dict[str, object]:
        seconds = 3.0 if root == tmp_path else 1.0
        return {"seconds": dict.fromkeys(bench.STEPS, seconds), "codes": codes[-1 if root == tmp_path else 0]}

    monkeypatch.setattr(bench, "checked_out", checked_out)
    monkeypatch.setattr(bench, "git", lambda *words: "abc1234")
    monkeypatch.setattr(bench, "drive_steps", drive)
    result = bench.run(["--only", "steps", "--against", "HEAD", "--step-photos", "5"])
    assert result["step_seconds"][-1] == {"step": "together", "abc1234": 12.0, "here": 4.0, "times": 3.0}
    codes.append("b" * 64)
    with pytest.raises(RuntimeError, match="do not align the same faces"):
        bench.run(["--only", "steps", "--against", "HEAD"])
