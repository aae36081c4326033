"""The simulated study: same seed, same bytes; what was put in comes out; a real study is never overwritten."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.disk.store import Study
from study.errors import StudyError
from study.files import write_bytes
from study.simulation.simulate import encode_jpeg, render_patients, simulate, simulate_tables
from survival.metrics.concordance import harrell_c
from tests.study.conftest import face_like, patient_table, write_study


def factor_table(n: int, seed: int = 0) -> pd.DataFrame:
    """As the renderer writes it; the face's log-hazard has its standard deviation of 1.12."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "index": range(n),
            "image": [f"images/{i:06d}.jpg" for i in range(n)],
            "seed": rng.integers(1 << 31, size=n),
            "sex": rng.choice(["female", "male"], n),
            "age": rng.random(n).round(5),
            "age_years": (25 + 60 * rng.random(n)).round(2),
            "pallor": rng.random(n).round(5),
            "face_log_hazard": (1.12 * rng.standard_normal(n)).round(5),
        }
    )


@pytest.fixture
def source(tmp_path: Path) -> tuple[Path, Path]:
    images = tmp_path / "rendered" / "images"
    table = factor_table(30)
    for i in range(30):  # two sizes: one is copied, the other scaled
        write_bytes(images / f"{i:06d}.jpg", encode_jpeg(face_like(i, 256 if i % 2 else 64)))
    table.to_csv(tmp_path / "rendered" / "factors.csv", index=False)
    return tmp_path / "rendered" / "factors.csv", images


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_bytes(tmp_path: Path, source: tuple[Path, Path]) -> None:
    summary = simulate(tmp_path / "a" / "demo", *source, seed=3)
    simulate(tmp_path / "b" / "demo", *source, seed=3)
    simulate(tmp_path / "c" / "demo", *source, seed=4)
    first, second, third = (contents(tmp_path / x / "demo") for x in "abc")
    assert first == second
    assert len(first) == 33
    assert first["patients.csv"] != third["patients.csv"]
    assert first["photos/P0002.jpg"] == third["photos/P0002.jpg"] == (source[1] / "000001.jpg").read_bytes()
    study = Study.open(tmp_path / "a" / "demo")
    assert study.simulated
    assert len(study.patients) == len(study.photos) == summary.patients == 30
    assert study.settings.simulation["seed"] == 3
    truth = study.truth
    assert truth is not None
    factors = pd.read_csv(source[0])
    np.testing.assert_array_equal(truth["face_log_hazard"], factors["face_log_hazard"])
    np.testing.assert_array_equal(truth["pallor"], factors["pallor"])
    np.testing.assert_array_equal(study.patients["age"], np.rint(factors["age_years"]))
    np.testing.assert_allclose(
        truth["log_hazard"], truth["face_log_hazard"] + truth["clinical_log_hazard"], rtol=0, atol=2e-5
    )
    assert {"I", "II", "III", "IV"} >= set(study.patients["stage"])


def test_concordance_of_the_true_parts() -> None:
    """The figures the recipe is built for: 0.73 face, 0.66 clinical, 0.80 both, about 60 % events."""
    patients, truth = simulate_tables(factor_table(5000), seed=0)
    time, event = patients["time_months"].to_numpy(float), patients["event"].to_numpy(bool)
    c = [harrell_c(time, event, truth[f"{part}log_hazard"]) for part in ("face_", "clinical_", "")]
    np.testing.assert_allclose(c, [0.73, 0.66, 0.80], atol=0.02)
    assert 0.55 < event.mean() < 0.66
    assert truth["clinical_log_hazard"].std() == pytest.approx(0.9, abs=0.03)
    assert abs(np.corrcoef(truth["clinical_log_hazard"], truth["face_log_hazard"])[0, 1]) < 0.05
    assert time.max() <= 60


def test_existing_studies_are_safe(tmp_path: Path, source: tuple[Path, Path]) -> None:
    folder = tmp_path / "demo"
    simulate(folder, *source, seed=3)
    before = contents(folder)
    with pytest.raises(StudyError, match="exists already"):
        simulate(folder, *source, seed=4)
    assert contents(folder) == before
    (folder / "models" / "photo").mkdir(parents=True)
    (folder / "models" / "photo" / "report.json").write_text("{}")
    simulate(folder, *source, seed=3, overwrite=True)
    assert contents(folder) == before | {"models/photo/report.json": b"{}"}
    real = write_study(tmp_path / "real", patient_table(3), photos=3)
    before = contents(real)
    with pytest.raises(StudyError, match="is not a simulated study"):
        simulate(real, *source, overwrite=True)
    assert contents(real) == before


@pytest.mark.parametrize("damage", ["missing photo", "no photo", "path", "column", "number", "name"])
def test_bad_sources_leave_nothing(tmp_path: Path, source: tuple[Path, Path], damage: str) -> None:
    factors, images = source
    table = pd.read_csv(factors)
    name, words = "demo", "row 13"
    if damage == "missing photo":
        (images / "000011.jpg").unlink()
    elif damage == "no photo":
        (images / "000011.jpg").write_bytes(b"GIF89a")
    elif damage == "path":
        table.loc[11, "image"] = "../../secret.jpg"
    elif damage == "column":
        table, words = table.drop(columns="face_log_hazard"), "lacks face_log_hazard"
    elif damage == "number":
        table["face_log_hazard"] = table["face_log_hazard"].astype(object)
        table.loc[11, "face_log_hazard"] = "high"
    else:
        name, words = "de mo", "cannot be a study's name"
    table.to_csv(factors, index=False)
    with pytest.raises(StudyError, match=words):
        simulate(tmp_path / "studies" / name, factors, images)
    assert not (tmp_path / "studies").exists() or not list((tmp_path / "studies").iterdir())


def test_renderer_command(tmp_path: Path, source: tuple[Path, Path]) -> None:
    """A stand-in for render.py that notes how it was called."""
    script = tmp_path / "renderer" / "render.py"
    script.parent.mkdir()
    script.write_text(
        "import sys, pathlib\npathlib.Path(__file__).with_name('called').write_text(' '.join(sys.argv[1:]))\n"
    )
    factors, images = render_patients(script.parent, 12, 5, tmp_path / "out")
    called = (script.parent / "called").read_text()
    assert called == f"patients --n 12 --size 256 --seed 5 --out {tmp_path / 'out'}"
    assert (factors.name, images.name) == ("factors.csv", "images")
    script.write_text("raise SystemExit(3)")
    with pytest.raises(StudyError, match="renderer stopped"):
        render_patients(script, 12, 5, tmp_path / "out")
    with pytest.raises(StudyError, match=r"no render\.py"):
        render_patients(tmp_path / "nowhere", 12, 5, tmp_path / "out")
    assert sys.executable
