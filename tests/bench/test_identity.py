"""The identity benchmark: nearest photos by hand, two chips told apart, a stopped run goes on and none is mixed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from bench import identity as bench
from bench.identity import CODE, FIXED, OWN, PHOTO, REDUCED, TUNED, describe, found_chips, nearest_own, report, targets
from bench.parts.common import Results
from faces.encoder import chip, descriptors
from faces.landmarks import detect_faces
from faces.photo import Photo, load_photo
from latent.evaluation.features import face_descriptors
from latent.inversion.settings import PRESETS
from study.errors import StudyError
from tests.ui.tiny import write_checkpoint

PORTRAITS = Path(__file__).parents[1] / "data" / "portraits"
NAMES = {REDUCED: "photo at 32 px", CODE: "fast", TUNED: "pivotal tuning"}


def test_nearest_by_hand() -> None:
    gallery = np.array([[0.0], [1.0], [3.0]])
    probes = np.array([[0.4], [0.4], [2.9], [np.nan]])
    hits, own = nearest_own(probes, np.array([0, 1, 2, 0]), gallery)
    assert hits.tolist() == [True, False, True, False]
    np.testing.assert_allclose(own, [0.4, 0.6, 0.1, np.nan], atol=1e-12)
    hits, _ = nearest_own(np.array([[0.5]]), np.array([0]), gallery)
    assert not hits[0], "as near to another is not nearest"


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_pictures_like_their_photos_are_found_and_swapped_ones_are_not(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    gallery = rng.normal(size=(n, 128))
    near = gallery + 1e-3 * rng.normal(size=gallery.shape)
    hits, own = nearest_own(near, np.arange(n), gallery)
    assert hits.all()
    assert (own < 0.1).all()
    assert not nearest_own(np.roll(near, 1, axis=0), np.arange(n), gallery)[0].any()


@pytest.mark.slow
def test_both_chips_are_the_libraries_and_no_face_is_told() -> None:
    photo = load_photo(sorted(PORTRAITS.glob("*.jpg"))[0])
    pixels = bench.prepare(photo).pixels
    blank = np.full_like(pixels, 128)
    face, none = describe(np.stack([pixels, blank]))
    aligned = Photo(pixels, "aligned")
    own = descriptors(chip(aligned, detect_faces(aligned)[0])[None])[0]
    np.testing.assert_allclose(face[OWN], own, atol=2e-6)
    np.testing.assert_allclose(face[FIXED], face_descriptors(pixels[None])[0], atol=2e-6)
    assert none[OWN] is None
    assert len(none[FIXED] or []) == 128
    assert [cut is None for cut in found_chips([pixels, blank])] == [False, True]


def made_up(n: int, tuned: int) -> list[dict[str, Any]]:
    """Records whose codes err in a known way: portrait 0 looks like portrait 1, portrait 2 has no face any more."""
    rng = np.random.default_rng(0)
    faces = rng.normal(size=(n, 128)) * 0.06
    records = []
    for i in range(n):
        looks = faces[1] if i == 0 else faces[i]
        code = (looks + np.r_[0.2, np.zeros(127)]).tolist()
        kept = {OWN: faces[i].tolist(), FIXED: faces[i].tolist()}
        record = {"name": str(i), "metrics": {"perceptual": 0.1 * (i + 1), "perceptual_name": "x"}}
        record |= {PHOTO: kept, REDUCED: kept, CODE: {OWN: None if i == 2 else code, FIXED: code}}
        if i < tuned:
            metrics = {"perceptual": 0.02 * (i + 1), "before": {"perceptual": 0.1 * (i + 1)}}
            record |= {TUNED: kept, "tuned_metrics": metrics}
        records.append(record)
    return records


def test_report_by_hand() -> None:
    result = report(made_up(10, 3), NAMES, 3)
    rows = {(row["chip"], row["picture"]): row for row in result["rows"]}
    assert len(rows) == 6
    code, fixed = rows[OWN, "fast"], rows[FIXED, "fast"]
    assert (code["own nearest"], code["no face"], code["portraits"]) == (0.8, 1, 10)
    assert (fixed["own nearest"], fixed["no face"]) == (0.9, 0)
    interval = binomtest(8, 10).proportion_ci(method="wilson")
    assert (code["from"], code["to"]) == (interval.low, interval.high)
    assert code["median"] == pytest.approx(0.2)
    assert rows[OWN, "photo at 32 px"]["own nearest"] == 1
    assert rows[OWN, "photo at 32 px"]["3rd quartile"] == 0
    assert rows[OWN, "pivotal tuning"]["portraits"] == 3
    assert result["between_people"][0]["pairs"] == 45
    assert result["between_people"][0]["5 %"] < result["between_people"][0]["median"]
    assert result["perceptual_median"] == pytest.approx(0.55)
    assert result["pivotal"]["ratio"] == pytest.approx(0.2)
    met = {row["target"]: row["met"] for row in targets(result, NAMES)}
    assert list(met.values()) == [False, True, True, True]
    assert "pivotal" not in report(made_up(10, 0), NAMES, 0)


def test_a_file_of_other_settings_or_none_of_ours_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    results = Results(path, {"codes": "a"})
    results.add("x", {"name": "p"})
    results.add("x", {"more": 1})
    results.write()
    assert Results(path, {"codes": "a"}).of("x") == {"name": "p", "more": 1}
    with pytest.raises(StudyError, match="another checkpoint"):
        Results(path, {"codes": "b"})
    for text in ("{", "[]", '{"settings": {}, "records": 3}', '{"settings": {}}', "[" * 100_000):
        path.write_text(text)
        with pytest.raises(StudyError, match="holds no portraits"):
            Results(path, {"codes": "a"})
        assert path.read_text() == text


@pytest.mark.slow
def test_the_command_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real portraits on an untrained generator: the second run of more portraits inverts only the new ones."""
    checkpoint = write_checkpoint(tmp_path / "tiny")
    folder, out = tmp_path / "photos", tmp_path / "kept.json"
    folder.mkdir()
    names = sorted(PORTRAITS.glob("*.jpg"))[:3]
    for path in names:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "zz_copy.jpg").write_bytes(names[0].read_bytes())
    (folder / "000_text.jpg").write_bytes(b"no photo")
    preset = bench.PRESETS["fast"]
    monkeypatch.setattr(bench, "PRESETS", {"fast": bench.InversionSettings("fast", steps=1), "balanced": preset})
    monkeypatch.setattr(bench, "PivotalSettings", lambda: PIVOTAL)
    inverted: list[int] = []
    invert = bench.invert

    def counted(checkpoint: Any, images: np.ndarray, preset: Any) -> Any:
        inverted.append(len(images))
        return invert(checkpoint, images, preset)

    monkeypatch.setattr(bench, "invert", counted)
    options = ["--portraits", str(folder), "--checkpoint", str(checkpoint.path), "--preset", "fast", "--device", "cpu"]
    options += ["--out", str(out), "--batch", "2"]
    bench.run([*options, "--n", "2"])
    assert inverted == [2]
    result = bench.run([*options, "--n", "5", "--pivotal", "1"])
    assert inverted == [2, 1, 1], "one portrait was new, and one code was found again to tune around"
    printed = capsys.readouterr()
    assert "000_text.jpg" in printed.err
    assert "a copy of another photo" in printed.err
    assert "Targets" in printed.out
    assert [portrait["name"] for portrait in result["portraits"]] == [path.name for path in names]
    rows = {(row["chip"], row["picture"]): row for row in result["rows"]}
    assert rows[OWN, "photo at 32 px"]["portraits"] == 3
    assert rows[OWN, "fast"]["no face"] == 3, "an untrained generator draws no face"
    assert rows[OWN, "fast"]["own nearest"] == 0
    assert rows[FIXED, "fast"]["median"] > rows[FIXED, "photo at 32 px"]["median"] > 0
    assert result["pivotal"]["ratio"] < 1
    again = bench.run([*options, "--n", "5", "--pivotal", "1"])
    assert again == result
    assert inverted == [2, 1, 1]
    stored = json.loads(out.read_text())
    assert stored["report"]["rows"] == result["rows"]
    assert len(stored["records"]) == 3
    with pytest.raises(SystemExit, match="another checkpoint"):
        bench.run([*options, "--preset", "balanced"])
    assert json.loads(out.read_text()) == stored


PIVOTAL = bench.PivotalSettings(steps=3)


def test_options_that_make_no_sense(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench.run(["--n", "1"])
    assert "--n must be at least 2" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="fewer than two portraits"):
        bench.run(["--portraits", str(tmp_path), "--checkpoint", str(write_checkpoint(tmp_path / "tiny").path)])
    assert bench.parse([]).preset in PRESETS
