"""Scoring new photos and the command line: order, refusals, safe CSV, sentences instead of tracebacks."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import study.embedding.record as record_module
from faces.photo import load_photo
from latent.checkpoints import Checkpoint
from latent.errors import Cancelled
from latent.inversion import InversionSettings
from study.__main__ import main
from study.errors import StudyError
from study.files import write_bytes, write_text
from study.fit import fit
from study.prepare import prepare, study_checkpoint
from study.score import Refused, Score, Scorer, natural_key, photos_in, score_files, score_table, share_closer
from study.settings import Settings, settings_text
from study.simulate import encode_jpeg
from study.store import Study
from survival.cox import CoxModel
from tests.study.conftest import face_like, patient_table, write_codes, write_study

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
    fit(study, model=CoxModel("ridge", folds=3, n_alphas=8))
    return Study.open(study.path), checkpoint


@pytest.fixture
def scored(made: Scored, monkeypatch: pytest.MonkeyPatch) -> Scored:
    """The shared study, with inversions of three steps."""
    monkeypatch.setattr(record_module, "PRESETS", {"fast": InversionSettings("fast", steps=3)})
    return made


@pytest.fixture
def own(scored: Scored, tmp_path: Path) -> Study:
    """A copy that a test may change."""
    return Study.open(shutil.copytree(scored[0].path, tmp_path / "s"))


def test_one_photo(scored: Scored) -> None:
    study, checkpoint = scored
    photo = load_photo(encode_jpeg(face_like(5)), "me.jpg")
    steps = []
    score = Scorer.open(study, checkpoint).score(photo, on_step=steps.append)
    assert steps
    assert score.log_hr == pytest.approx(float(study.model().predict(score.inversion.ws)[0]))
    assert score.inversion.checkpoint_sha256 == checkpoint.sha256
    assert set(score.survival_at) == {24.0}
    assert score.risk.left_out == (
        "There is no figure at 12 months: only 8 events have happened by then.",
        "There is no figure at 60 months: only 6 patients are under observation afterwards.",
    )
    assert 0 <= score.percentile <= 100
    times, survival = score.curve
    assert times.shape == survival.shape
    again = Scorer.open(study, checkpoint).score(prepare(photo, aligned=True))
    assert again.log_hr == score.log_hr
    assert any("encoder" in f or "found with" in f for f in score.flags) == (
        bool(study.report()["perceptual_name"])
        and study.report()["perceptual_name"] != score.inversion.metrics["perceptual_name"]
    )
    with pytest.raises(Cancelled):
        Scorer.open(study, checkpoint).score(photo, cancelled=lambda: True)


def test_a_fit_is_placed_among_those_of_the_cohort(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = scored
    inversion = Scorer.open(study, checkpoint).score(load_photo(encode_jpeg(face_like(5)), "me.jpg")).inversion
    assert share_closer(study, inversion) is None, "the cohort was measured otherwise"
    ws, index = study.latents()
    distance = float(inversion.metrics["perceptual"])
    known = index.assign(
        perceptual_name=inversion.metrics["perceptual_name"],
        perceptual=np.where(np.arange(len(index)) < 45, distance / 2, distance * 2),
    )
    monkeypatch.setattr(Study, "latents", lambda *_: (ws, known))
    assert share_closer(study, inversion) == 0.75


def test_notes_on_other_ways_of_inverting(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = scored
    report = study.report() | {"perceptual_name": "another distance", "encoder_sha256": "e" * 64}
    monkeypatch.setattr(Study, "report", lambda self, name="photo": report)
    flags = Scorer.open(study, checkpoint).score(load_photo(encode_jpeg(face_like(5)))).flags
    assert any("another distance" in f for f in flags)
    assert any("encoder changed" in f for f in flags)


def test_another_checkpoint_is_refused(scored: Scored, monkeypatch: pytest.MonkeyPatch) -> None:
    study, checkpoint = scored
    monkeypatch.setattr(Study, "report", lambda self, name="photo": {"checkpoint_sha256": "0" * 64})
    with pytest.raises(StudyError, match="another checkpoint than tiny"):
        Scorer.open(study, checkpoint)


def test_folder(scored: Scored, tmp_path: Path) -> None:
    study, checkpoint = scored
    folder = tmp_path / "new"
    for i, name in enumerate(("10.jpg", "2.jpg", "=cmd.jpg", "1.PNG")):
        write_bytes(folder / name, encode_jpeg(face_like(i)))
    write_bytes(folder / "3.jpg", b"no photo")
    write_bytes(folder / "notes.txt", b"left alone")
    paths = photos_in(folder)
    assert [p.name for p in paths] == ["1.PNG", "2.jpg", "3.jpg", "10.jpg", "=cmd.jpg"]
    told: list[tuple[float, int, float | None]] = []
    scorer = Scorer.open(study, checkpoint)
    results = list(score_files(scorer, paths, batch=2, on_progress=lambda *at: told.append(at)))
    done = [at[0] for at in told]
    assert done == sorted(done)
    assert {0.0, 2.0, 4.0, 5.0} <= set(done), "after each batch"
    assert any(0 < d < 2 for d in done), "and at the steps within"
    assert told[0][2] is None
    assert all(left is not None and left > 0 for d, _, left in told if 0 < d < 5)
    assert told[-1] == (5.0, 5, 0.0)
    assert [p.name for p, _ in results] == [p.name for p in paths]
    assert [type(r) for _, r in results] == [Score, Score, Refused, Score, Score]
    alone = Scorer.open(study, checkpoint).score(folder / "10.jpg")
    assert results[3][1].log_hr == pytest.approx(alone.log_hr, abs=1e-3)  # type: ignore[union-attr]
    table = score_table(study, results)
    assert list(table["photo"])[-1] == "'=cmd.jpg"
    assert table.loc[2, "status"] == "refused"
    assert table.loc[2, "reason"]
    assert table["log_hr"].isna().tolist() == [False, False, True, False, False]
    assert [name for name in table if name.startswith("survival_")] == ["survival_24_months"], "as follow-up carries"
    assert {"percentile", "extrapolated", "psnr"} <= set(table)


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
    assert (code, err) == (0, "")
    assert "1 of 1 photos scored" in out
    assert "simulated" in out
    with out_file.open() as file:
        (row,) = csv.DictReader(file)
    assert float(row["hr"]) == pytest.approx(np.exp(float(row["log_hr"])), abs=1e-3)
    assert row["photo"] == "P0002.jpg"


def test_command_line_fits_and_checks(own: Study, capsys: pytest.CaptureFixture) -> None:
    study = own
    code, out, err = run(capsys, "fit", str(study.path), "--folds", "3", "--name", "again")
    assert (code, err) == (0, "")
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
    assert any("1 files belong to no patient" in line for line in lines)
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
    import study.check

    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(study.check, "run", interrupted)
    code, _, err = run(capsys, "check", "x")
    assert code == 130
    assert "run the same command again" in err


def test_unknown_checkpoint(tiny_study: Study) -> None:
    with pytest.raises(StudyError, match="no-such"):
        study_checkpoint(tiny_study, "no-such")


def test_command_line_simulates(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from tests.study.test_simulate import factor_table

    factors = tmp_path / "factors.csv"
    write_text(factors, factor_table(25).to_csv(index=False))
    for i in range(25):
        write_bytes(tmp_path / "images" / f"{i:06d}.jpg", encode_jpeg(face_like(i)))
    arguments = ("--factors", str(factors), "--images", str(tmp_path / "images"), "--patients", "20")
    code, out, err = run(capsys, "simulate", str(tmp_path / "made"), *arguments)
    assert (code, err) == (0, "")
    assert "20 simulated patients" in out
    assert len(Study.open(tmp_path / "made").photos) == 20
