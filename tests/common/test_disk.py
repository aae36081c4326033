"""What can be refused before the work is: nothing is aligned, searched or trained for a result that cannot be kept."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import latent.__main__ as latent
from common import files as disk
from common.files import why_not_writable

pytestmark = pytest.mark.usefixtures("no_work")


def test_a_place_that_can_be_written_to(tmp_path: Path) -> None:
    assert why_not_writable(tmp_path / "a") == ""
    assert why_not_writable(tmp_path / "a" / "b" / "c") == ""
    assert why_not_writable(Path("a")) == ""
    assert sorted(tmp_path.iterdir()) == []


def test_a_place_that_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "is a file" in why_not_writable(tmp_path / "file" / "x")
    assert "MB are free" in why_not_writable(tmp_path / "x", 1 << 60).replace("GB", "MB")

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk.tempfile, "TemporaryFile", full)
    assert "No space left on device" in why_not_writable(tmp_path / "x")


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alignment, search and training end the test: what is to be refused is refused before them."""
    import latent.datasets.build
    import latent.inversion.invert
    import latent.training.train_encoder
    import study.scoring.scorer

    def work(*_: Any, **__: Any) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(latent.datasets.build, "align_photos", work)
    monkeypatch.setattr(latent.training.train_encoder, "Trainer", work)
    monkeypatch.setattr(study.scoring.scorer.Scorer, "open", work)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((64, 64, 3), 40 * i, np.uint8)).save(folder / f"p{i}_x.jpg")
    return folder


def refusal(main: Callable[[Sequence[str]], int], words: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code: object = main([str(word) for word in words])
    except SystemExit as error:  # the gate for paths
        code = error.code
    assert code in (1, 2)
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "taken"), "exists already"),
        (("--out", "file/set"), "leads through a file"),
        (("--out", "new", "--workers", "-1"), "--workers"),
        (("--out", "new", "--size", "7"), "--size"),
        (("--out", "new", "--hold-out", "1.5", "--patient-from", "photo"), "--hold-out"),
        (("--out", "new", "--hold-out", "nan", "--patient-from", "photo"), "--hold-out"),
        (("--out", "new", "--hold-out", "0.5"), "--hold-out"),
        (("--out", "new", "--patient-from", "name", "--separator", ""), "--separator"),
        (("--out", "new", "--max-yaw", "nan"), "--max-yaw"),
        (("--out", "new", "--patients", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_a_dataset_that_cannot_be_is_refused_before_a_photo_is_read(
    photos: Path,
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert words in refusal(latent.main, ["dataset", photos, *options], capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dataset_for_which_there_is_no_room(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert "make room" in refusal(latent.main, ["dataset", photos, "--out", tmp_path / "new"], capsys)
    assert not (tmp_path / "new.parts").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--kimg", "nan"), "--kimg"),
        (("--kimg", "-1"), "--kimg"),
        (("--batch", "0"), "--batch"),
        (("--learning-rate", "inf"), "--learning-rate"),
        (("--seed", "-1"), "--seed"),
        (("--seed", str(10**30)), "--seed"),
        (("--device", "toaster"), "no device"),
        (("--data", "nowhere"), "training set"),
        (("--start", "nowhere"), "no checkpoint"),
    ],
)
def test_an_encoder_that_cannot_be_trained_is_refused_at_once(
    tiny_checkpoint: Path,
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    given = ["train-encoder", tiny_checkpoint, "--run", tmp_path / "run", *options]
    assert words in refusal(latent.main, given, capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--samples", "1"), "--samples"),
        (("--samples", str(10**12)), "--samples"),
        (("--seed", "-1"), "--seed"),
        (("--psi", "nan"), "--psi"),
        (("--data", "nowhere"), "training set"),
        (("--out", "file/x.json"), "leads through a file"),
        (("--sheet", "x.txt"), "--sheet"),
        (("--device", "cuda:99"), "no device"),
    ],
)
def test_an_evaluation_that_cannot_be_is_refused_at_once(
    tiny_checkpoint: Path,
    options: tuple[str, ...],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    assert words in refusal(latent.main, ["evaluate", tiny_checkpoint, *options], capsys)


@pytest.mark.parametrize("method", ["adversarial", "reconstruction"])
def test_a_run_that_cannot_be_leaves_no_folder(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").mkdir()
    for out, data, words in (("taken", "nowhere", "exists already"), ("new", "nowhere", "not a training set")):
        given = ["finetune", tmp_path / data, "--method", method, "--run", tmp_path / "run", "--out", tmp_path / out]
        assert words in refusal(latent.main, given, capsys)
        assert not (tmp_path / "run").exists()
