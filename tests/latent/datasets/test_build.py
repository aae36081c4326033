"""Training sets from folders and zips: what is kept, refused, held out, and what a stop leaves behind."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faces.align import align
from faces.landmarks import detect_faces
from faces.photo import Photo, load_photo
from latent.__main__ import main
from latent.datasets import align as dataset_align
from latent.datasets import build as dataset
from latent.datasets.factors import factor_columns
from latent.datasets.parts import AlignedPhoto, Parts
from latent.datasets.patients import HELD_OUT, TRAIN, hold_out, patients_from, patients_from_table
from latent.datasets.select import Choices
from latent.datasets.sources import Source, list_photos
from latent.errors import LatentError

PORTRAITS = sorted((Path(__file__).parents[2] / "data" / "portraits").glob("*.jpg"))
SIZE = 32


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def test_dataset_aligns_reports_and_refuses(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    portraits = PORTRAITS[:2]
    for path in portraits:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "not_a_photo.jpg").write_bytes(b"hello")
    facts = dataset.build([folder], tmp_path / "set", size=64)
    assert (facts["kept"], facts["refused"]) == (2, 1)
    refused = pd.read_csv(tmp_path / "set" / "refused.csv")
    assert refused["file"].tolist() == ["not_a_photo.jpg"]
    assert len(refused["reason"][0]) > 10
    images, table = dataset.load(tmp_path / "set", 32)
    assert images.shape == (2, 32, 32, 3)
    assert table["file"].tolist() == [p.name for p in portraits]
    with pytest.raises(LatentError, match="exists already"):
        dataset.build([folder], tmp_path / "set", size=64)
    with pytest.raises(LatentError, match="do not scale"):
        dataset.load(tmp_path / "set", 48)


def test_dataset_without_a_face_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "x.png").write_bytes(b"no picture")
    with pytest.raises(LatentError, match="No face"):
        dataset.build([tmp_path / "photos"], tmp_path / "set", size=64)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos"]


@pytest.fixture
def mixed(tmp_path: Path) -> list[Path]:
    """Three people in a folder, two more in a zip, a duplicate, a damaged HEIC photo, a broken one, and a text file."""
    folder = tmp_path / "photos"
    for who, portrait in zip(("anna", "bert", "cleo"), PORTRAITS, strict=False):
        (folder / who).mkdir(parents=True)
        (folder / who / portrait.name).write_bytes(portrait.read_bytes())
    (folder / "anna" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    (folder / "bert" / "broken.jpg").write_bytes(b"hello")
    (folder / "notes.txt").write_text("not a photo")
    members = {f"more/dora/{p.name}": p.read_bytes() for p in PORTRAITS[3:5]} | {
        "more/copy.jpg": PORTRAITS[0].read_bytes()
    }
    return [folder, pack(tmp_path / "more.zip", members)]


@pytest.mark.slow
def test_folders_and_zips_become_one_set_with_every_photo_accounted_for(mixed: list[Path], tmp_path: Path) -> None:
    facts = dataset.build(mixed, tmp_path / "set", SIZE, choices=Choices(patient_from="folder", hold_out=0.25))
    refused = pd.read_csv(tmp_path / "set" / "refused.csv").set_index("file")["reason"]
    images, table = dataset.load(tmp_path / "set", SIZE, split=None)
    assert (facts["kept"], facts["refused"], facts["photos"], facts["other_files"]) == (5, 3, 8, 1)
    assert len(images) == len(table) == 5
    assert table["patient"].tolist() == ["anna", "bert", "cleo", "dora", "dora"]
    assert table["folder"].tolist() == ["photos"] * 3 + ["more.zip"] * 2
    assert "damaged" in refused["anna/phone.heic"]
    assert "not a JPEG" in refused["bert/broken.jpg"]
    assert "no patient's folder" in refused["more/copy.jpg"]
    assert json.loads((tmp_path / "set" / "dataset.json").read_text()) == facts
    assert sorted(p.name for p in tmp_path.iterdir()) == ["more.zip", "photos", "set"]
    photo = load_photo(PORTRAITS[1])
    assert np.array_equal(images[1], align(photo, detect_faces(photo)[0], SIZE).pixels)
    assert (table["faces_found"] >= 1).all()
    assert table["quality_face_px"].between(50, 2000).all()


def test_a_photo_that_is_there_twice_is_kept_once(tmp_path: Path) -> None:
    data = PORTRAITS[0].read_bytes()
    path = pack(tmp_path / "x.zip", {"a/one.jpg": data, "b/two.jpg": data})
    facts = dataset.build([path], tmp_path / "set", SIZE, choices=Choices(patient_from="folder"))
    assert (facts["kept"], facts["duplicates"], facts["patients"]) == (1, 1, 1)
    reason = pd.read_csv(tmp_path / "set" / "refused.csv")["reason"][0]
    assert reason == "The same photo as x.zip/a/one.jpg of patient a."


def test_the_largest_of_several_faces_is_taken_and_noted(tmp_path: Path) -> None:
    first, second = (load_photo(p).pixels for p in PORTRAITS[:2])
    both = np.full((first.shape[0], first.shape[1] * 2, 3), 128, np.uint8)
    both[:, : first.shape[1]] = first
    both[: second.shape[0], first.shape[1] : first.shape[1] + second.shape[1]] = second[:, : first.shape[1]]
    found = detect_faces(Photo(both, "both"))
    assert len(found) == 2
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "both.png"), both[..., ::-1])
    facts = dataset.build([tmp_path / "photos"], tmp_path / "set", SIZE)
    images, table = dataset.load(tmp_path / "set", SIZE)
    assert facts["several_faces"] == 1
    assert table["faces_found"].tolist() == [2]
    assert np.array_equal(images[0], align(Photo(both, "both"), found[0], SIZE).pixels)


@pytest.mark.slow
def test_quality_leaves_photos_out_only_where_it_is_asked_to(mixed: list[Path], tmp_path: Path) -> None:
    dataset.build(mixed, tmp_path / "all", SIZE)
    everything = dataset.load(tmp_path / "all", SIZE)[1]
    bound = float(everything["quality_yaw"].abs().median())
    dataset.build(mixed, tmp_path / "frontal", SIZE, choices=Choices(bounds={"max_yaw": bound, "min_face": 1.0}))
    frontal = dataset.load(tmp_path / "frontal", SIZE)[1]
    assert frontal["sha256"].tolist() == everything["sha256"][everything["quality_yaw"].abs() <= bound].tolist()
    reasons = json.loads((tmp_path / "frontal" / "dataset.json").read_text())["reasons"]
    assert reasons[f"left out by --max-yaw {bound:g}"] == len(everything) - len(frontal)
    with pytest.raises(LatentError, match=r"No face .*--min-face"):
        dataset.build(mixed, tmp_path / "none", SIZE, choices=Choices(bounds={"min_face": 1e6}))
    assert not (tmp_path / "none").exists()


class Interrupted(BaseException):
    """Stands for Ctrl-C, which pytest would take for its own."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """[n]: the n-th alignment from now is interrupted; the list's second number counts those begun."""
    state = [10**6, 0]

    def counted(photo: Photo, face: object, size: int) -> object:
        state[1] += 1
        if state[1] > state[0]:
            raise Interrupted
        return align(photo, face, size)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset_align, "align", counted)
    return state


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_doubles_nothing(mixed: list[Path], tmp_path: Path, stop_after: list[int]) -> None:
    dataset.build(mixed, tmp_path / "whole", SIZE)
    stop_after[:] = [3, 0]
    with pytest.raises(Interrupted):
        dataset.build(mixed, tmp_path / "set", SIZE)
    assert not (tmp_path / "set").exists()
    with pytest.raises(LatentError, match="started with another --size"):
        dataset.build(mixed, tmp_path / "set", 64)
    stop_after[:] = [10**6, 0]
    dataset.build(mixed, tmp_path / "set", SIZE)
    assert stop_after[1] == 2  # five faces, three of them aligned before the stop
    for name in ("images.npy", "table.parquet", "refused.csv", "dataset.json"):
        assert (tmp_path / "set" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "set.parts").exists()


@pytest.mark.slow
def test_two_workers_give_what_one_gives(mixed: list[Path], tmp_path: Path) -> None:
    for workers in (1, 2):
        dataset.build(mixed[:1], tmp_path / f"set{workers}", SIZE, workers=workers)
    for name in ("images.npy", "table.parquet", "refused.csv"):
        assert (tmp_path / "set1" / name).read_bytes() == (tmp_path / "set2" / name).read_bytes()


def test_a_damaged_part_is_dropped_and_a_temporary_file_swept(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "x.parts", 16)
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    parts.add("aa", AlignedPhoto(pixels, {"faces_found": 1}))
    parts.add("bb", "no photo")
    parts.add("aa", "a second time")
    parts.flush()
    parts.add("cc", AlignedPhoto(pixels, {"faces_found": 1}))
    parts.flush()
    (tmp_path / "x.parts" / "half.tmp").write_bytes(b"half")
    last = sorted((tmp_path / "x.parts").glob("part-*.npz"))[-1]
    last.write_bytes(last.read_bytes()[:-40])
    again = Parts(tmp_path / "x.parts", 16)
    assert again.facts == {"aa": {"faces_found": 1}, "bb": {"reason": "no photo"}}
    assert [(sha, np.array_equal(p, pixels)) for sha, p in again.pixels()] == [("aa", True)]
    again.remove()
    assert not (tmp_path / "x.parts").exists()


def test_hostile_inputs_leave_nothing(tmp_path: Path) -> None:
    for members, reason in (({"../x.jpg": b"1"}, "outside itself"), ({"a.txt": b"1"}, "holds no photo")):
        with pytest.raises(LatentError, match=reason):
            dataset.build([pack(tmp_path / "x.zip", members)], tmp_path / "set", SIZE)
    with pytest.raises(LatentError, match="--size must be"):
        dataset.build([tmp_path], tmp_path / "set", 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.zip"]


def test_a_place_that_cannot_be_written_is_said(mixed: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LatentError, match="could not be written"):
        dataset.build(mixed, tmp_path / "file" / "set", SIZE)


def test_a_name_that_is_a_formula_is_defused_in_the_report(tmp_path: Path) -> None:
    path = pack(tmp_path / "x.zip", {"=1+1.jpg": b"hello", "fine.jpg": PORTRAITS[0].read_bytes()})
    dataset.build([path], tmp_path / "set", SIZE)
    assert pd.read_csv(tmp_path / "set" / "refused.csv")["file"].tolist() == ["'=1+1.jpg"]


def test_renderer_outputs_keep_their_factors_and_only_factors_become_codes(tmp_path: Path) -> None:
    folder = tmp_path / "rendered"
    (folder / "images").mkdir(parents=True)
    for index, portrait in enumerate(PORTRAITS[:3]):
        (folder / "images" / f"{index:06d}.jpg").write_bytes(portrait.read_bytes())
    images = [f"images/{i:06d}.jpg" for i in range(4)]  # the last is not rendered yet
    pd.DataFrame({"index": range(4), "image": images, "age": [0.1, 0.5, 0.9, 0.2]}).to_csv(
        folder / "factors.csv", index=False
    )
    dataset.build([folder], tmp_path / "set", SIZE, choices=Choices(patient_from="photo", hold_out=0.3))
    table = dataset.load(tmp_path / "set", SIZE, split=None)[1]
    assert table["age"].tolist() == [0.1, 0.5, 0.9]
    assert table["file"].tolist() == images[:3]
    assert len(factor_columns(table)) == 1


def test_training_reads_no_one_who_is_held_out(tmp_path: Path) -> None:
    """And sets made before there was a split are all training."""
    images = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
    np.save(tmp_path / "images.npy", images)
    table = pd.DataFrame({"file": list("abcd")})
    table.to_parquet(tmp_path / "table.parquet")
    assert len(dataset.load(tmp_path, 8)[0]) == 4
    with pytest.raises(LatentError, match="make it with --hold-out"):
        dataset.load(tmp_path, 8, split=HELD_OUT)
    table["split"] = [TRAIN, HELD_OUT, TRAIN, HELD_OUT]
    table.to_parquet(tmp_path / "table.parquet")
    for split, rows in ((TRAIN, [0, 2]), (HELD_OUT, [1, 3]), (None, [0, 1, 2, 3])):
        got, found = dataset.load(tmp_path, 8, split=split)
        assert np.array_equal(got, images[rows])
        assert found["file"].tolist() == [list("abcd")[i] for i in rows]
    halves = dataset.read_images(tmp_path, 4, np.array([3, 0]))
    assert np.array_equal(halves, np.rint(images[[3, 0]].reshape(2, 4, 2, 4, 2, 3).mean((2, 4))).astype(np.uint8))


def sources(*files: str, folder: str = "in", member: bool = False) -> list[Source]:
    return [
        Source(folder, file, Path(folder) / file if not member else Path(folder), file if member else None)
        for file in files
    ]


def test_patients_by_folder_name_and_photo() -> None:
    given = sources("p1/visit1/a.jpg", "p1/b.jpg", "p2/a.jpg", "loose.jpg")
    assert patients_from(given, "folder") == ["p1", "p1", "p2", None]
    assert patients_from(sources("all/p1/a.jpg", "all/p2/a.jpg", member=True), "folder") == ["p1", "p2"]
    assert patients_from(sources("x/P-01_2.jpg", "P-01_3.png", "P02.jpg", "_x.jpg"), "name") == [
        "P-01",
        "P-01",
        "P02",
        None,
    ]
    assert patients_from(sources("a-1.jpg", "a-2.jpg"), "name", "-") == ["a", "a"]
    assert len(set(patients_from(given, "photo"))) == 4


def test_patients_by_table(tmp_path: Path) -> None:
    table = tmp_path / "who.csv"
    table.write_text("picture,id\na/1.jpg,0012\nin/b/1.jpg,x\nonly.jpg,y\n1.jpg,z\n")
    given = sources("a/1.jpg", "b/1.jpg", "c/only.jpg", "c/1.jpg")
    assert patients_from_table(given, table, "picture", "id") == ["0012", "x", "y", None]
    for text, reason in (
        ("picture,id\na,1\na,2\n", "row 3: a already belongs to patient 1"),
        ("picture,id\na,\n", "row 2: photo or patient is missing"),
        ("photo,id\na,1\n", "no column 'picture'"),
        ('picture,id\n"a,1\n', "not a comma-separated"),
    ):
        table.write_text(text)
        with pytest.raises(LatentError, match=reason):
            patients_from_table(given, table, "picture", "id")
    with pytest.raises(LatentError, match="cannot be read"):
        patients_from_table(given, tmp_path / "none.csv", "picture", "id")


@given(
    patients=st.lists(st.integers(0, 30).map(str), min_size=2, max_size=60).filter(lambda p: len(set(p)) > 1),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 1000),
)
def test_hold_out_laws(patients: list[str], share: float, seed: int) -> None:
    """By patient, the share asked for, both sides filled, and no matter how the photos are ordered."""
    split = hold_out(patients, share, seed)
    sides = {who: {s for p, s in zip(patients, split, strict=True) if p == who} for who in patients}
    assert all(len(side) == 1 for side in sides.values())
    held = sum(side == {HELD_OUT} for side in sides.values())
    assert 1 <= held <= len(sides) - 1
    assert abs(held - share * len(sides)) <= 1
    assert hold_out(patients[::-1], share, seed) == split[::-1]


def test_hold_out_depends_on_the_seed_and_hardly_on_newcomers() -> None:
    patients = [f"P{i:03d}" for i in range(200)]
    first = hold_out(patients, 0.2, 1)
    assert first != hold_out(patients, 0.2, 2)
    grown = hold_out([*patients, *(f"Q{i}" for i in range(20))], 0.2, 1)
    assert sum(a != b for a, b in zip(first, grown, strict=False)) <= 10
    with pytest.raises(LatentError, match="only one patient"):
        hold_out(["a", "a"], 0.2)
    with pytest.raises(LatentError, match="between 0 and 1"):
        hold_out(["a", "b"], 1.0)


def test_holding_out_needs_to_know_people(mixed: list[Path], tmp_path: Path) -> None:
    with pytest.raises(LatentError, match="--patient-from"):
        dataset.build(mixed, tmp_path / "set", SIZE, choices=Choices(hold_out=0.2))
    (tmp_path / "who.csv").write_text("photo,patient_id\nelsewhere.jpg,1\n")
    with pytest.raises(LatentError, match="No photo belongs to a patient"):
        dataset.build(mixed, tmp_path / "set", SIZE, choices=Choices(patients=tmp_path / "who.csv"))


def test_the_command_says_what_it_did(mixed: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    line = ["dataset", *map(str, mixed), "--out", str(out), "--size", str(SIZE), "--workers", "1"]
    assert main([*line, "--patient-from", "folder", "--hold-out", "0.5", "--max-yaw", "90"]) == 0
    said = capsys.readouterr()
    assert "5 of 8 photos aligned at 32 px, 3 refused." in said.out
    assert "4 patients." in said.out
    assert "held out: 2 patients" in said.out
    assert main(line) == 1
    assert "exists already" in capsys.readouterr().err


def test_listing_is_sorted_and_knows_its_kinds(mixed: list[Path]) -> None:
    found, others = list_photos(mixed)
    files = [s.file for s in found if s.member is None]
    assert files == sorted(files)
    assert others == 1
