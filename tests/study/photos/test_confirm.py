"""Which face of a photo a cohort takes: uncertain finds, several faces, confirmation, the generator's own size; and
whether patients whose photos are lost differ from the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from skimage.data import astronaut

import study.photos.prepare as preparation
from faces import landmarks
from faces.align import align
from faces.flags import CHOSEN, SEVERAL, SIDEWAYS, UNCERTAIN, Flag, flags_text, read_flags
from faces.landmarks import detect_faces
from faces.photo import Photo, load_photo
from latent.checkpoints import Checkpoint
from study.__main__ import main
from study.disk.face_choices import Choice, read_choices
from study.disk.missing_photos import COVERED, LOST, missing_photos
from study.disk.store import Study
from study.embedding.blocks import Block, digest_table
from study.embedding.record import record_of, study_preset
from study.embedding.worker import BlockWorker
from study.errors import StudyError
from study.files import sha256_of, write_bytes
from study.photos.aligned_store import AlignedStore
from study.photos.confirm import choose_nearest, confirm, nearest_faces, withdraw
from study.photos.prepare import needs_confirmation, prepare, target_size
from study.photos.quality import MEASURES, measure_study, read_quality
from study.simulation.simulate import encode_jpeg
from tests.study.conftest import patient_table, write_codes, write_study

PORTRAITS = Path(__file__).parents[2] / "data" / "portraits"


def two_faces() -> np.ndarray:
    """The astronaut, large, beside a smaller old woman."""
    canvas = np.full((420, 720, 3), 128, np.uint8)
    canvas[10:410, 10:410] = np.asarray(Image.fromarray(astronaut()[0:220, 120:340]).resize((400, 400)))
    canvas[100:356, 440:696] = load_photo(PORTRAITS / "old_woman.jpg").pixels
    return canvas


def kinds(face: object) -> set[str]:
    return {flag.kind for flag in face.quality.flags}  # type: ignore[attr-defined]


def test_several_faces_are_a_flag_until_one_is_chosen() -> None:
    photo = Photo(two_faces(), "two")
    largest = prepare(photo)
    assert SEVERAL in kinds(largest)
    second = prepare(photo, choice=Choice("P1", 2, "person"))
    assert SEVERAL not in kinds(second)
    assert [flag.value for flag in second.quality.flags if flag.kind == CHOSEN] == [2.0]
    assert np.array_equal(second.pixels, align(photo, detect_faces(photo)[1], 256).pixels)


def test_an_uncertain_find_waits_for_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landmarks, "CERTAIN_SCORE", 9.0)
    photo = load_photo(PORTRAITS / "frontal_man.jpg")
    face = prepare(photo)
    assert UNCERTAIN in kinds(face)
    assert "uncertain whether a face was found" in needs_confirmation(face)
    confirmed = prepare(photo, choice=Choice("P1", 1, "person"))
    assert UNCERTAIN not in kinds(confirmed)
    assert needs_confirmation(confirmed) == ""
    assert np.array_equal(face.pixels, confirmed.pixels)


def test_a_photo_on_its_side_is_prepared_as_the_upright_one() -> None:
    photo = load_photo(PORTRAITS / "dark_man.jpg")
    lying = Photo(np.ascontiguousarray(np.rot90(photo.pixels)), "scan")
    face = prepare(lying)
    assert SIDEWAYS in kinds(face)
    assert np.array_equal(face.pixels, prepare(photo).pixels)


@pytest.mark.parametrize(("resolution", "size"), [(32, 256), (128, 256), (256, 256), (512, 512), (1024, 1024)])
def test_faces_are_aligned_at_the_generators_size(
    make_checkpoint: Callable[[], Checkpoint], resolution: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large generator's target is cut at its size and not enlarged; one of 256 px and less is as it always was."""
    checkpoint = make_checkpoint()
    monkeypatch.setattr(type(checkpoint), "resolution", property(lambda self: resolution))
    assert target_size(checkpoint) == size
    face = prepare(Photo(np.ascontiguousarray(astronaut()), "a"), size=target_size(checkpoint))
    assert face.pixels.shape == (size, size, 3)
    plain = prepare(Photo(np.ascontiguousarray(astronaut()), "a"))
    assert face.quality == plain.quality, "quality is measured at one size"
    settings = record_of(checkpoint, study_preset_of("balanced"), "balanced", False).settings
    assert settings.get("aligned_px") == (size if size != 256 else None)


def study_preset_of(name: str) -> object:
    from latent.inversion.settings import PRESETS

    return PRESETS[name]


@pytest.fixture
def photographed(tmp_path: Path) -> Study:
    """Three patients: two faces in a photo, one face, a wall."""
    folder = write_study(tmp_path / "s", patient_table(3))
    write_bytes(folder / "photos" / "P0001.jpg", encode_jpeg(two_faces()))
    write_bytes(folder / "photos" / "P0002.jpg", (PORTRAITS / "dark_man.jpg").read_bytes())
    write_bytes(folder / "photos" / "P0003.jpg", encode_jpeg(np.full((200, 200, 3), 90, np.uint8)))
    return Study.open(folder)


def test_confirming_is_checked_and_taken_back(photographed: Study, capsys: pytest.CaptureFixture) -> None:
    refused = (("P0001", 3, "2 faces found"), ("P0003", 1, "0 faces found"), ("P9", 1, "not in patients.csv"))
    for patient, face, words in refused:
        with pytest.raises(StudyError, match=words):
            confirm(photographed, [patient], "looked at", face)
    with pytest.raises(StudyError, match="Say why"):
        confirm(photographed, ["P0001"], " ")
    assert read_choices(photographed.path) == {}
    assert main(["confirm", str(photographed.path), "P0001", "--face", "2", "--note", "the woman"]) == 0
    (choice,) = read_choices(photographed.path).values()
    assert (choice.patient, choice.face, choice.how, choice.note) == ("P0001", 2, "person", "the woman")
    measure_study(photographed)
    table = read_quality(photographed)
    assert table is not None
    assert CHOSEN in {flag.kind for flag in read_flags(table["flags"][0])}
    assert withdraw(photographed, ["P0001"]) == 1
    assert read_quality(photographed) is not None
    assert len(read_quality(photographed)) == 2, "the row of the other face does not count any more"  # type: ignore[arg-type]
    write_bytes(photographed.path / "faces.csv", b"photo_sha256\nx\n")
    with pytest.raises(StudyError, match=r"faces.csv is damaged"):
        read_choices(photographed.path)
    capsys.readouterr()


def test_the_cohort_is_told_which_photos_are_a_question(photographed: Study) -> None:
    from study.errors import Findings
    from study.photos.quality import photo_findings

    measure_study(photographed)
    findings, table = Findings(), read_quality(photographed)
    assert table is not None
    photo_findings(photographed, table, findings)
    (asked,) = [f for f in findings if "2 faces were found" in f.message]
    assert "python -m study confirm" in str(asked.remedy)


def test_embedding_refuses_what_is_uncertain(
    photographed: Study, make_checkpoint: Callable[[], Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landmarks, "CERTAIN_SCORE", 9.0)
    checkpoint = make_checkpoint()
    record = record_of(checkpoint, study_preset(photographed), "balanced", False)
    worker = BlockWorker(checkpoint, record, AlignedStore.of(photographed), digest_table([]))
    photo = str(photographed.photo_path("P0002"))
    (outcome,) = worker(Block(0, (("P0002", photo),))).outcomes
    assert "uncertain whether a face was found" in outcome.reason


def test_the_face_nearest_to_the_patients_other_photos() -> None:
    rng = np.random.default_rng(0)
    me, other, third = rng.standard_normal((3, 128))
    near = [me + 0.05 * rng.standard_normal(128) for _ in range(4)]
    found = {"a": np.stack([other, near[0]]), "b": near[1][None], "c": np.stack([near[2], third, other])}
    assert nearest_faces({k: v.astype(np.float32) for k, v in found.items()}) == {"a": 1, "c": 0}
    several = {"a": np.stack([other, near[0]]), "b": np.stack([near[1], third])}
    assert nearest_faces({k: v.astype(np.float32) for k, v in several.items()}) == {"a": 1, "b": 0}
    assert nearest_faces({"a": found["a"].astype(np.float32)}) == {}


def test_with_several_photos_the_patients_own_face_is_taken(tmp_path: Path) -> None:
    table = patient_table(2)
    table.loc[0, "photo"] = "photos/alone.jpg; photos/group.jpg"
    table.loc[1, "photo"] = "photos/other.jpg"
    folder = write_study(tmp_path / "s", table, photo_rule="mean")
    woman = Image.fromarray(load_photo(PORTRAITS / "old_woman.jpg").pixels)
    write_bytes(folder / "photos" / "alone.jpg", encode_jpeg(np.asarray(woman.resize((300, 300)))))
    write_bytes(folder / "photos" / "group.jpg", encode_jpeg(two_faces()))
    write_bytes(folder / "photos" / "other.jpg", (PORTRAITS / "dark_man.jpg").read_bytes())
    study = Study.open(folder)
    assert choose_nearest(study) == 1
    choice = read_choices(folder)[sha256_of(folder / "photos" / "group.jpg")]
    assert (choice.face, choice.how) == (2, "nearest"), "the smaller face is hers"
    assert "most like the patient's other photos" in str(
        prepare(folder / "photos" / "group.jpg", choice=choice).quality
    )


def with_flags(study: Study, flagged: set[str], lost: set[str]) -> pd.DataFrame:
    """A quality table as `read_quality` gives it."""
    covered = flags_text([Flag("lower face covered", 1.0, "x")])
    rows = [
        {**dict.fromkeys(MEASURES, 0.0), "patient_id": p, "flags": covered if p in flagged else "",
         "problem": "no face" if p in lost else "", "reason": ""}
        for p in study.patients["patient_id"]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_lost_and_flagged_patients_are_compared_with_the_others(tmp_path: Path) -> None:
    """Patients with short times wear masks: said, with the counts and rates of the table."""
    study = Study.open(write_study(tmp_path / "s", patient_table(120), photos=120, aligned=True))
    table = study.patients.sort_values("time")
    sick, unlucky = set(table["patient_id"][:20]), set(table["patient_id"][60:70])
    lost, covered = missing_photos(study, with_flags(study, sick, unlucky))
    assert (lost.name, covered.name) == (LOST, COVERED)
    assert (lost.those.patients, lost.others.patients, covered.those.patients) == (10, 110, 20)
    mine = table[table["patient_id"].isin(sick)]
    assert covered.those.events == mine["event"].sum()
    assert covered.those.follow_up == mine["time"].median()
    assert covered.those.rate == pytest.approx(100 * mine["event"].sum() / mine["time"].sum())
    assert covered.p < 0.001
    assert "worse: the photos are not missing at random" in covered.sentence("months")
    assert "20 of 120 patients (16.7 %)" in covered.sentence("months")
    few = missing_photos(study, with_flags(study, set(), set(table["patient_id"][:2])))
    assert "too few to compare" in few[0].sentence("months")
    assert missing_photos(study) == (), "nothing is known of the photos yet"


def test_patients_without_a_code_count_as_lost(tmp_path: Path) -> None:
    study = Study.open(write_study(tmp_path / "s", patient_table(12), photos=12, aligned=True))
    write_codes(study, np.zeros((12, 4, 6)))
    assert missing_photos(Study.open(study.path)) == ()
    assert preparation.ALIGNED_SIZE == 256
