"""`python -m latent evaluate` on a tiny checkpoint and a set made of its own pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from faces.encoder import chips_from_aligned, load_face_encoder
from faces.photo import load_photo
from latent.__main__ import main
from latent.checkpoints import load_checkpoint
from latent.datasets.patients import HELD_OUT, TRAIN
from latent.errors import LatentError
from latent.evaluation import evaluate
from latent.evaluation import features as sample_features
from latent.evaluation.evaluate import halves, truncations, unit_scale
from latent.evaluation.features import face_descriptors, features_of, has_face, sample_images
from latent.evaluation.metrics import frechet, mean_pairwise_distance, precision_recall
from latent.evaluation.report import _cell, write_sheet
from latent.features import inception
from latent.features.inception import FEATURES, TENSORFLOW, InceptionFeatures
from latent.images import to_tensor

PORTRAITS = sorted((Path(__file__).parents[2] / "data" / "portraits").glob("*.jpg"))


@pytest.fixture(autouse=True)
def no_inception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever lies on the machine that runs the tests."""
    monkeypatch.setattr(inception, "FOLDER", tmp_path / "none")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "none"))


@pytest.fixture(scope="module")
def own_set(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 pictures of the tiny checkpoint without truncation, at 64 px (it makes 32); 12 are training, far away."""
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    images = np.concatenate(list(sample_images(checkpoint, 48, psi=1.0, seed=5000))).repeat(2, 1).repeat(2, 2)
    images[:12] = 0
    folder = tmp_path_factory.mktemp("sets") / "own"
    folder.mkdir()
    np.save(folder / "images.npy", images)
    table = pd.DataFrame({"patient": [f"P{i // 2}" for i in range(48)], "split": [TRAIN] * 12 + [HELD_OUT] * 36})
    table.to_parquet(folder / "table.parquet")
    return folder


@pytest.mark.slow
def test_a_generator_against_its_own_pictures_reaches_the_floor(
    tiny_checkpoint: Path, own_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["evaluate", str(tiny_checkpoint), "--data", str(own_set), "--samples", "20", "--sweep", "0.1,1.0"]
    line += [
        "--reconstruct",
        "2",
        "--preset",
        "fast",
        "--psi",
        "1.0",
        "--device",
        "cpu",
        "--out",
        str(tmp_path / "e.json"),
        "--sheet",
        str(tmp_path / "s.png"),
    ]
    assert main(line) == 0
    report = json.loads((tmp_path / "e.json").read_text())
    narrow, full = report["rows"]
    floor = report["floor"]
    assert (report["n"], report["samples"], report["reference_portraits"]) == (18, 20, 36)
    assert (narrow["psi"], full["psi"], floor["psi"]) == (0.1, 1.0, None)
    assert full["frechet"] < 1.3 * floor["frechet"] < narrow["frechet"]
    assert full["kernel"] < narrow["kernel"]
    assert abs(full["kernel"]) < 5 * floor["kernel_sd"]
    assert full["recall"] > narrow["recall"]
    assert narrow["diversity"] < 0.6 * floor["diversity"]
    assert full["diversity"] == pytest.approx(floor["diversity"], rel=0.2)
    assert full["fid"] is full["kid"] is report["inception"] is None
    said = capsys.readouterr()
    assert "18 of 36 portraits (held-out) of own" in said.out
    assert "no FID and no KID" in said.out
    *_, searched = report["reconstructions"]
    assert (searched["method"], searched["n"]) == ("fast", 2)
    assert f"fast, means: ST-LPIPS {searched['st_lpips']:.3f}" in said.out
    assert "ST-LPIPS took no part in it." in said.out
    assert f"{full['frechet']:.4g} ± {full['frechet_sd']:.2g}" in said.out
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    first = next(sample_images(checkpoint, 20, psi=1.0))[0]
    with Image.open(tmp_path / "s.png") as sheet:
        assert np.array_equal(np.asarray(sheet)[:32, :32], first)
        assert sheet.size == (6 * 32, 6 * 32)


@pytest.mark.slow
def test_figures_are_those_of_the_measures(
    tiny_checkpoint: Path, own_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken apart: the same features, put through the measures by hand."""
    monkeypatch.setattr(sample_features, "has_face", lambda image: bool(image.mean() > 128))
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    report, pictures = evaluate.evaluate(checkpoint, [0.8], samples=10, data=own_set, seed=3)
    assert pictures is None
    held_out = evaluate.read_table(own_set, HELD_OUT)
    first, second = halves(held_out, 10, seed=3)
    sets = [face_descriptors(evaluate.read_images(own_set, 32, rows)) for rows in (first, second)]
    samples = face_descriptors(np.concatenate(list(sample_images(checkpoint, 10, 0.8, seed=3))))
    row, floor = report["rows"][0], report["floor"]
    assert row["frechet"] == pytest.approx(frechet(sets[0], samples), rel=1e-4)
    assert floor["frechet"] == pytest.approx(frechet(*sets), rel=1e-4)
    assert (row["precision"], row["recall"]) == precision_recall(sets[0], samples)
    assert row["diversity"] == pytest.approx(mean_pairwise_distance(samples), rel=1e-4)
    images = np.concatenate(list(sample_images(checkpoint, 10, 0.8, seed=3)))
    assert row["face_share"] == np.mean([image.mean() > 128 for image in images])
    scaled = unit_scale(sets[0]) * sets[0]
    assert np.mean(scaled**2) == pytest.approx(1)


def test_without_a_set_only_what_needs_none_is_measured(
    tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tiny_checkpoint), "--samples", "10", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "mean pairwise descriptor distance" in said
    assert "Fréchet" not in said


class Small(InceptionFeatures):
    """Stands for Inception where its speed is not wanted: means of a grid, as many numbers."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(images, (16, 128)).mean(1).flatten(1)


@pytest.mark.slow
def test_inception_gives_fid_and_kid_and_is_named(
    tiny_checkpoint: Path, own_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_features, "has_face", lambda image: False)  # not asked here, and slow
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    report, _ = evaluate.evaluate(checkpoint, [0.2, 1.0], 12, own_set, inception=Small(TENSORFLOW))
    narrow, full = report["rows"]
    assert report["inception"] == TENSORFLOW
    assert report["n"] == 12
    assert full["fid"] < narrow["fid"]
    assert full["kid"] < narrow["kid"]
    assert all(row[name] is not None for row in (narrow, full, report["floor"]) for name in ("fid_sd", "kid_sd"))
    first, _ = halves(evaluate.read_table(own_set, HELD_OUT), 12, seed=0)
    images = [evaluate.read_images(own_set, 32, first), np.concatenate(list(sample_images(checkpoint, 12, 1.0)))]
    features = [features_of([x], inception=Small(TENSORFLOW)).inception for x in images]
    assert features[0] is not None
    assert features[0].shape == (12, FEATURES)
    assert full["fid"] == pytest.approx(frechet(*features), rel=1e-4)  # type: ignore[arg-type]


def test_a_file_of_other_weights_is_refused(tiny_checkpoint: Path, own_set: Path, tmp_path: Path) -> None:
    save_file({"fc.weight": torch.zeros(10, 4)}, tmp_path / "x.safetensors")
    line = ["evaluate", str(tiny_checkpoint), "--data", str(own_set), "--inception", str(tmp_path / "x.safetensors")]
    assert main([*line, "--device", "cpu"]) == 1


def test_descriptors_do_not_depend_on_the_batch(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    images = np.concatenate(list(sample_images(checkpoint, 20, 0.7, seed=9)))
    single = load_face_encoder("cpu")(chips_from_aligned(to_tensor(images[-1:]))).detach().numpy()
    assert np.allclose(face_descriptors(images)[-1], single[0], atol=1e-5)
    again = np.concatenate(list(sample_images(checkpoint, 3, 0.7, seed=12)))
    assert np.abs(again.astype(int) - images[3:6]).max() <= 1  # a seed is a picture, in whatever batch


def test_faces_are_found_where_there_are_some() -> None:
    face = load_photo(PORTRAITS[0]).pixels
    side = min(face.shape[:2])
    assert has_face(face[:side, :side])
    assert not has_face(np.full((64, 64, 3), 128, np.uint8))


def test_portraits_and_floor_share_nobody() -> None:
    table = pd.DataFrame({"patient": [f"P{i % 11}" for i in range(90)]}, index=range(100, 190))
    for seed in range(5):
        first, second = halves(table, 500, seed)
        people = [set(table.loc[rows, "patient"]) for rows in (first, second)]
        assert not people[0] & people[1]
        assert len(first) == len(second) >= 35
        assert len({*first, *second}) == 2 * len(first)
    assert [len(rows) for rows in halves(table, 12, 0)] == [12, 12]
    assert not np.array_equal(halves(table, 12, 0)[0], halves(table, 12, 1)[0])


@pytest.mark.parametrize("people", [["a"] * 30, ["a"] * 30 + ["b"] * 3, list("abcdefg")])
def test_too_few_portraits_are_refused(people: list[str]) -> None:
    with pytest.raises(LatentError, match="at least 16 portraits"):
        halves(pd.DataFrame({"patient": people}), 500, 0)


def test_truncations() -> None:
    assert truncations(0.7, "1.0, 0.5,0.7,") == [0.5, 0.7, 1.0]
    assert truncations(0.7, None) == [0.7]
    for wrong in ("0.5;0.7", "-1", "nan", "3"):
        with pytest.raises(LatentError, match="from 0 to 2"):
            truncations(0.7, wrong)


def test_what_cannot_be_done_is_said_first(
    tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, reason in (
        (["--sheet", "x.gif"], "must end in"),
        (["--samples", "3"], "at least 8"),
        (["--data", str(tmp_path)], "not a training set"),
    ):
        assert main(["evaluate", str(tiny_checkpoint), "--device", "cpu", *more]) == 1
        assert reason in capsys.readouterr().err


def test_a_sheet_of_few_pictures_is_white_behind_them(tmp_path: Path) -> None:
    write_sheet(np.zeros((2, 8, 8, 3), np.uint8), tmp_path / "new" / "sheet.JPG")
    with Image.open(tmp_path / "new" / "sheet.JPG") as sheet:
        assert sheet.format == "JPEG"
        pixels = np.asarray(sheet)
    assert pixels[:8, :16].max() < 60
    assert pixels[16:].min() > 200
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["sheet.JPG"]


def test_small_pictures_are_enlarged_for_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sample_features, "detect_faces", lambda photo: seen.append(photo.pixels.shape[0]) or [])
    for side in (64, 256, 512):
        has_face(np.zeros((side, side, 3), np.uint8))
    assert seen == [256, 256, 512]


def test_columns_of_figures_never_touch() -> None:
    assert max(len(_cell(value, sd)) for value in (-0.00078154, 0.00001234, -123.456) for sd in (0.0037123, 12.3)) < 20
