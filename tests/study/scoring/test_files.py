"""Scoring new photos and the command line: order, refusals, safe CSV, sentences instead of tracebacks."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import study.embedding.record as record_module
import study.scoring.scorer as score_module
from faces.align import align_by_hand, already_aligned
from faces.photo import Photo, load_photo
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled
from latent.inversion.settings import InversionSettings
from latent.inversion.whitening import Whitening
from latent.space import sample_ws
from study.__main__ import main
from study.comparison.fit import fit, fit_plan
from study.disk.store import Study
from study.errors import StudyError
from study.files import write_bytes, write_text
from study.photos.prepare import prepare, study_checkpoint
from study.scoring import face_evidence
from study.scoring.files import natural_key, photos_in, score_files, score_table
from study.scoring.results import Refused, Score, Withheld
from study.scoring.scorer import Scorer
from study.settings import Settings, settings_text
from study.simulation.simulate import encode_jpeg
from tests.study.conftest import face_like, patient_table, score_of, write_codes, write_study

Scored = tuple[Study, Checkpoint]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_checkpoint: Callable[[], Checkpoint]) -> Scored:
    """A study of aligned squares with a model on the tiny checkpoint. Read-only: shared by the tests of this file."""
    checkpoint = make_checkpoint()
    folder = tmp_path_factory.mktemp("scored") / "s"
    settings = {"aligned": True, "preset": "fast", "checkpoint": "tiny", "simulated": True}
    study = Study.open(write_study(folder, patient_table(60), photos=60, **settings))
    rng = np.random.default_rng(0)
    write_codes(study, rng.standard_normal((60, checkpoint.num_ws, checkpoint.w_dim)), checkpoint.sha256)
    study = Study.open(study.path)
    fit(study, plan=fit_plan(folds=3, repeats=1, penalties=8, samples=200))
    return Study.open(study.path), checkpoint


@pytest.fixture
def scored(made: Scored, monkeypatch: pytest.MonkeyPatch) -> Scored:
    """The shared study, with inversions of three steps."""
    monkeypatch.setattr(record_module, "PRESETS", {"fast": InversionSettings("fast", steps=3)})
    monkeypatch.setattr(score_module, "doubt", lambda face: "")  # patches of colour stand for faces here
    return made


@pytest.fixture
def own(scored: Scored, tmp_path: Path) -> Study:
    """A copy that a test may change."""
    return Study.open(shutil.copytree(scored[0].path, tmp_path / "s"))


@pytest.mark.slow
def test_one_photo(scored: Scored) -> None:
    study, checkpoint = scored
    photo = load_photo(encode_jpeg(face_like(5)), "me.jpg")
    steps = []
    score = score_of(Scorer.open(study, checkpoint), photo, on_step=steps.append)
    assert steps
    assert score.risk.log_hr == pytest.approx(float(study.model().predict(score.inversion.ws)[0]))
    assert score.inversion.checkpoint_sha256 == checkpoint.sha256
    assert set(score.risk.horizons) == {24.0}
    assert score.risk.left_out == (
        "There is no estimate at 12 months: only 8 events have happened by then.",
        "There is no estimate at 60 months: only 6 patients are under observation afterwards.",
    )
    assert 0 <= score.risk.percentile <= 100
    times, survival = score.risk.times, score.risk.survival
    assert times.shape == survival.shape
    again = score_of(Scorer.open(study, checkpoint), prepare(photo, aligned=True))
    assert again.risk.log_hr == score.risk.log_hr
    assert any(f.kind in ("other encoder", "other distance") for f in score.flags) == (
        bool(study.report()["perceptual_name"])
        and study.report()["perceptual_name"] != score.inversion.metrics["perceptual_name"]
    )
    with pytest.raises(Cancelled):
        score_of(Scorer.open(study, checkpoint), photo, cancelled=lambda: True)


@pytest.mark.slow
def test_a_fit_is_placed_among_those_of_the_cohort(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = scored
    scorer = Scorer.open(study, checkpoint)
    inversion = score_of(scorer, load_photo(encode_jpeg(face_like(5)), "me.jpg")).inversion
    assert scorer.share_closer(inversion) is None, "the cohort was measured otherwise"
    latents = study.latents()
    index = latents.index
    distance = float(inversion.metrics["perceptual"])
    known = index.assign(
        perceptual_name=inversion.metrics["perceptual_name"],
        perceptual=np.where(np.arange(len(index)) < 45, distance / 2, distance * 2),
    )
    monkeypatch.setattr(Study, "latents", lambda *_: replace(latents, index=known))
    scorer = Scorer.open(study, checkpoint)
    assert scorer.share_closer(inversion) == 0.75


@pytest.mark.slow
def test_notes_on_other_ways_of_inverting(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = scored
    report = study.report() | {"perceptual_name": "another distance", "encoder_sha256": "e" * 64}
    monkeypatch.setattr(Study, "report", lambda self, name="photo": report)
    flags = score_of(Scorer.open(study, checkpoint), load_photo(encode_jpeg(face_like(5)))).flags
    assert any("another distance" in f.sentence for f in flags)
    assert any("encoder has changed" in f.sentence for f in flags)


def test_another_checkpoint_is_refused(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = scored
    monkeypatch.setattr(Study, "report", lambda self, name="photo": {"checkpoint_sha256": "0" * 64})
    with pytest.raises(StudyError, match="another checkpoint than tiny"):
        Scorer.open(study, checkpoint)


@pytest.mark.slow
def test_folder(scored: Scored, tmp_path: Path) -> None:
    study, checkpoint = scored
    folder = tmp_path / "new"
    for i, name in enumerate(("10.jpg", "2.jpg", "=cmd.jpg", "1.PNG")):
        write_bytes(folder / name, encode_jpeg(face_like(i)))
    write_bytes(folder / "3.jpg", b"no photo")
    write_bytes(folder / "notes.txt", b"left alone")
    paths = photos_in(folder)
    assert [p.name for p in paths] == ["1.PNG", "2.jpg", "3.jpg", "10.jpg", "=cmd.jpg"]
    told: list[tuple[float, int]] = []
    scorer = Scorer.open(study, checkpoint)
    results = list(score_files(scorer, paths, batch=2, on_progress=lambda done, total: told.append((done, total))))
    done = [at[0] for at in told]
    assert done == sorted(done)
    assert {0.0, 2.0, 4.0, 5.0} <= set(done), "after each batch"
    assert any(0 < d < 2 for d in done), "and at the steps within"
    assert told[-1] == (5.0, 5)
    assert [p.name for p, _ in results] == [p.name for p in paths]
    assert [type(r) for _, r in results] == [Score, Score, Refused, Score, Score]
    alone = score_of(Scorer.open(study, checkpoint), folder / "10.jpg")
    assert results[3][1].risk.log_hr == pytest.approx(alone.risk.log_hr, abs=1e-3)  # type: ignore[union-attr]
    table = score_table(study, results)
    assert list(table["photo"])[-1] == "'=cmd.jpg"
    assert table.loc[2, "status"] == "refused"
    assert table.loc[2, "reason"]
    assert table["log_hr"].isna().tolist() == [False, False, True, False, False]
    survival = ["survival_24_months", "survival_24_months_low", "survival_24_months_high"]
    assert [name for name in table if name.startswith("survival_")] == survival, "as follow-up carries"
    assert {"percentile", "extrapolated", "psnr", "st_lpips"} <= set(table)
    scored_rows = table[table["status"] == "scored"]
    for name in ("log_hr", "hr", "percentile", "survival_24_months"):
        assert (scored_rows[f"{name}_low"] <= scored_rows[name]).all()
        assert (scored_rows[name] <= scored_rows[f"{name}_high"]).all()
    assert (scored_rows["log_hr_low"] < scored_rows["log_hr_high"]).all()
    assert table.loc[2, ["log_hr_low", "survival_24_months_high"]].isna().all()
    assert table["st_lpips"].isna().tolist() == [False, False, True, False, False]


def test_natural_order() -> None:
    names = ["b", "a10", "a9", "A1", "10", "9", "a", "9b", "²"]
    assert sorted(names, key=natural_key) == ["9", "9b", "10", "a", "A1", "a9", "a10", "b", "²"]


def test_no_face_is_a_reason(own: Study, scored: Scored, tmp_path: Path) -> None:
    study, checkpoint = own, scored[1]
    write_bytes(study.path / "study.toml", settings_text(Settings("s", "t", preset="fast", checkpoint="tiny")).encode())
    photo = tmp_path / "wall.jpg"
    write_bytes(photo, encode_jpeg(np.full((300, 300, 3), 128, np.uint8)))
    ((_, result),) = score_files(Scorer.open(Study.open(study.path), checkpoint), [photo])
    assert isinstance(result, Refused)
    assert "no face was found" in result.reason


def run(capsys: pytest.CaptureFixture, *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.slow
def test_command_line_scores(scored: Scored, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    study, checkpoint = scored
    out_file = tmp_path / "out" / "scores.csv"
    arguments = ("--out", str(out_file), "--checkpoint", str(checkpoint.path))
    write_bytes(tmp_path / "bad" / "x.jpg", b"no photo")
    code, out, _ = run(capsys, "score", str(study.path), str(tmp_path / "bad"), *arguments)
    assert code == 1
    assert "0 of 1 photos scored, 1 refused" in out
    photo = str(study.photo_path("P0002"))
    code, out, err = run(capsys, "score", str(study.path), photo, *arguments)
    assert code == 0, err
    assert "1 of 1 photos scored" in out
    assert "simulated" in out
    with out_file.open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["hr"]) == pytest.approx(np.exp(float(row["log_hr"])), abs=1e-3)
    assert row["photo"] == "P0002.jpg"


@pytest.mark.slow
def test_command_line_fits_and_checks(own: Study, capsys: pytest.CaptureFixture) -> None:
    study = own
    code, out, err = run(capsys, "fit", str(study.path), "--folds", "3", "--name", "again")
    assert code == 0, err
    assert "Harrell C" in out
    assert (study.path / "models" / "again" / "model.json").exists()
    code, out, _ = run(capsys, "check", str(study.path))
    assert code == 0
    assert "60 patients" in out
    assert "60 photos, 60 codes" in out
    write_bytes(study.photo_path("P0007"), encode_jpeg(face_like(7) // 2))
    code, out, _ = run(capsys, "check", str(study.path), "--quick")
    assert code == 1
    assert "photos/P0007.jpg changed after it was embedded" in out


def test_check_lists_rows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    table = patient_table(8)
    table.loc[2, "time_months"] = -1
    table.loc[5, "photo"] = "photos/none.jpg"
    folder = write_study(tmp_path / "s", table, photos=8)
    write_bytes(folder / "photos" / "P0002.jpg", (folder / "photos" / "P0001.jpg").read_bytes())
    write_bytes(folder / "photos" / "P0004.jpg", b"GIF89a")
    code, out, err = run(capsys, "check", str(folder))
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0].startswith("error   patients.csv, row 4: time_months is negative")
    assert any("row 7: photos/none.jpg is not there" in line for line in lines)
    assert any("row 3: P0002.jpg is the same photo as P0001.jpg" in line for line in lines)
    assert any("row 5: P0004.jpg" in line for line in lines)
    assert any("1 file without a patient" in line for line in lines)
    code, out, _ = run(capsys, "check", str(folder), "--json", "--quick")
    assert '"row": 4' in out


@pytest.mark.parametrize(
    "argv",
    [
        ("check", "nowhere"),
        ("fit", "nowhere"),
        ("embed", "nowhere"),
        ("score", "nowhere", "x.jpg", "--out", "y.csv"),
        ("simulate", "x/../bad name", "--factors", "a", "--images", "b"),
        ("simulate", "okname-that-is-new", "--seed", "-1"),
        ("simulate", "okname-that-is-new"),
    ],
)
def test_refusals_are_one_sentence(argv: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, out) == (1, "")
    assert err.startswith(f"study {argv[0]}: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_arguments_are_refused_late_enough(tiny_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    photo = str(tiny_study.photo_path("P0001"))
    for argv, words in (
        (("score", str(tiny_study.path), str(tmp_path / "none"), "--out", "x.csv"), "no photo or folder"),
        (("score", str(tiny_study.path), str(tmp_path), "--out", "x.csv"), "There is no photo in"),
        (("score", str(tiny_study.path), photo, "--out", "x.csv", "--checkpoint", "none"), "none"),
        (("fit", str(tiny_study.path)), "no W+ codes yet"),
        (("fit", str(tiny_study.path), "--name", "../x"), "use letters"),
        (("embed", str(tiny_study.path), "--batch", "0"), "--batch must be"),
    ):
        code, _, err = run(capsys, *argv)
        assert code == 1
        assert words in err
    with pytest.raises(SystemExit):
        run(capsys, "score", str(tiny_study.path), photo, "--out", str(tmp_path))
    assert "is a folder" in capsys.readouterr().err


def test_interrupt_is_quiet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    import study.scoring.check

    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(study.scoring.check, "run", interrupted)
    code, _, err = run(capsys, "check", "x")
    assert code == 130
    assert "run the same command again" in err


def test_unknown_checkpoint(tiny_study: Study) -> None:
    with pytest.raises(StudyError, match="no-such"):
        study_checkpoint(tiny_study, "no-such")


def test_command_line_simulates(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from tests.study.simulation.test_simulate import factor_table

    factors = tmp_path / "factors.csv"
    write_text(factors, factor_table(25).to_csv(index=False))
    for i in range(25):
        write_bytes(tmp_path / "images" / f"{i:06d}.jpg", encode_jpeg(face_like(i)))
    arguments = ("--factors", str(factors), "--images", str(tmp_path / "images"), "--patients", "20")
    code, out, err = run(capsys, "simulate", str(tmp_path / "made"), *arguments)
    assert (code, err) == (0, "")
    assert "20 simulated patients" in out
    assert len(Study.open(tmp_path / "made").photos) == 20


def test_what_is_no_face_has_no_score(made: Scored, tmp_path: Path) -> None:
    """A cup, a cat and a blank gradient, placed by hand as a person might: refused, by page and command line alike."""
    scorer = Scorer.open(*made)
    gradient = np.repeat(np.linspace(60, 200, 256)[None, :, None], 256, 0).repeat(3, 2).astype(np.uint8)
    squares = []
    for picture in (skimage.data.coffee(), skimage.data.chelsea(), gradient):
        photo = Photo(np.ascontiguousarray(picture), "x")
        height, width = picture.shape[:2]
        squares += [
            align_by_hand(photo, (width / 2, height / 2), 0.8 * min(height, width)),
            already_aligned(photo),
        ]
    for result in scorer.score_faces(squares):
        assert isinstance(result, Refused)
        assert "finds no face" in result.reason
    for square in squares:
        assert "pose not measured" in {flag.kind for flag in square.quality.flags}
    with pytest.raises(StudyError, match="finds no face"):
        score_of(scorer, squares[0])


@pytest.mark.slow
def test_a_real_face_is_scored_detected_or_placed_by_hand(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_module, "doubt", face_evidence.doubt)
    scorer = Scorer.open(*scored)
    photo = Photo(np.ascontiguousarray(skimage.data.astronaut()), "astronaut")
    detected, placed = prepare(photo), align_by_hand(photo, (223.0, 128.0), 180.0)
    first, second = scorer.score_faces([detected, placed])
    assert isinstance(first, Score)
    assert isinstance(second, Score)
    assert first.ground.startswith("Found by the detector (detector's score 1.18")
    assert second.ground.startswith("Found in the square that a person placed")


def test_a_person_confirms_in_words_and_the_words_stay_with_the_score(
    made: Scored, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_module, "PRESETS", {"fast": InversionSettings("fast", steps=1)})
    study, checkpoint = made
    photo, out = str(study.photo_path("P0002")), str(tmp_path / "scores.csv")
    arguments = ("score", str(study.path), photo, "--out", out, "--checkpoint", str(checkpoint.path))
    code, text, _ = run(capsys, *arguments)
    assert (code, "0 of 1 photos scored, 1 refused" in text) == (1, True)
    code, text, _ = run(capsys, *arguments, "--confirm", "  a drawn\nface ")
    assert (code, "1 of 1 photos scored" in text) == (0, True)
    with open(out) as file:
        (row,) = csv.DictReader(file)
    assert row["face"] == "Confirmed by a person: a drawn face"
    assert "Pose was not measured" in row["quality"] or "pose was not measured" in row["quality"]


@pytest.mark.slow
def test_a_code_far_from_any_face_gets_no_figures(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = scored
    photo = load_photo(encode_jpeg(face_like(5)), "me.jpg")
    monkeypatch.setattr(Scorer, "_limits", (1e-9, "fast", scorer_distance(study, checkpoint, photo), False))
    (result,) = Scorer.open(study, checkpoint).score_faces([prepare(photo, aligned=True)])
    assert isinstance(result, Withheld)
    assert "further from the generator's faces" in result.reason
    table = score_table(study, [(Path("x.jpg"), result)])
    assert table.loc[0, "status"] == "no figures"
    assert table.loc[0, ["log_hr", "hr", "percentile"]].isna().all()
    monkeypatch.setattr(Scorer, "_limits", (None, "", "", True))  # as if its average picture were a face
    (result,) = Scorer.open(study, checkpoint).score_faces([prepare(photo, aligned=True)])
    assert isinstance(result, Withheld)
    assert "not a face" in result.reason
    monkeypatch.setattr(Scorer, "_limits", (1e-9, "balanced", "", False))  # a bound of another effort
    (result,) = Scorer.open(study, checkpoint).score_faces([prepare(photo, aligned=True)])
    assert isinstance(result, Score)


def scorer_distance(study: Study, checkpoint: Checkpoint, photo: Photo) -> str:
    return str(score_of(Scorer.open(study, checkpoint), photo).inversion.metrics["perceptual_name"])


def test_the_bound_of_a_cohort_holds_all_but_a_thousandth(make_checkpoint: Callable[[], Checkpoint]) -> None:
    checkpoint = make_checkpoint()
    codes = sample_ws(checkpoint.generator, list(range(400)), 1.0)
    bound = face_evidence.implausibility_bound(checkpoint, codes)
    whitening = Whitening(checkpoint.statistics, "cpu")
    values = whitening.implausibility(whitening.split(torch.from_numpy(codes))[0]).numpy()
    assert bound is not None
    assert (values <= bound).all()
    assert bound < 3 * values.max()
    far = face_evidence.implausibility_bound(checkpoint, codes * 3)
    assert far is not None
    assert far > bound
    assert face_evidence.implausibility_bound(checkpoint, codes[:5]) is None
    assert not face_evidence.draws_faces(checkpoint), (
        "an untrained generator draws no faces, so its pictures are not judged"
    )
