"""What the codes keep: ridge against refits one by one, a network that learns and stops, folds that keep patients
together, and factors that codes hold or do not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from bench import readout as bench
from bench.parts import readout_data
from bench.parts.readers import PENALTIES, NetworkSettings, folds_by_group, network, ridge, standardised
from bench.parts.readout_data import Readable, from_files, from_study
from bench.readout import CODES, NETWORK, PIXELS, compare, patient_draws, r_squared
from study.disk.store import Study
from study.errors import StudyError
from study.files import csv_text, write_text
from study.simulation.simulate import encode_jpeg
from tests.study.conftest import face_like, patient_table, write_codes, write_study

SMALL = NetworkSettings(width=8, epochs=12, batch=16, dropout=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(20, 6), (12, 30)])
def test_ridge_is_sklearns_and_its_penalty_the_best_left_out_one_by_one(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    x, new = rng.normal(size=shape) + 3, rng.normal(size=(5, shape[1])) + 3
    y = np.stack([x[:, 0] + 0.1 * rng.normal(size=shape[0]), rng.normal(size=shape[0]) + 7], axis=1)
    predictions, chosen = ridge(x, y, new)
    scale = np.square(x - x.mean(axis=0)).sum() / shape[0]
    for j in range(2):
        errors = []
        for penalty in PENALTIES * scale:
            left_out = 0.0
            for i in range(shape[0]):
                rest = np.arange(shape[0]) != i
                # As in the closed form, a column keeps the centre of all rows: an intercept makes that the same.
                left_out += (Ridge(alpha=penalty).fit(x[rest], y[rest, j]).predict(x[i : i + 1])[0] - y[i, j]) ** 2
            errors.append(left_out)
        assert chosen[j] == pytest.approx(PENALTIES[int(np.argmin(errors))] * scale)
        np.testing.assert_allclose(predictions[:, j], Ridge(alpha=chosen[j]).fit(x, y[:, j]).predict(new), rtol=1e-7)
    assert chosen[0] < chosen[1], "noise is shrunk more than what is there"


def test_standardising_looks_at_training_rows_alone() -> None:
    x = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 6.0]])
    found = standardised(x, np.array([True, True, False]))
    np.testing.assert_allclose(found, [[-1, 0], [1, 0], [98, 0]])


@settings(max_examples=40)
@given(st.lists(st.integers(0, 15), min_size=8, max_size=60), st.integers(2, 4), st.integers(0, 99))
def test_folds_keep_patients_together_and_are_even(people: list[int], folds: int, seed: int) -> None:
    groups = np.array([f"p{i}" for i in people])
    who = np.unique(groups)
    if len(who) < folds:
        with pytest.raises(ValueError, match="cannot be dealt"):
            folds_by_group(groups, folds, seed)
        return
    fold = folds_by_group(groups, folds, seed)
    of = [set(fold[groups == person]) for person in who]
    assert all(len(some) == 1 for some in of)
    counts = np.bincount([some.pop() for some in of], minlength=folds)
    assert counts.max() - counts.min() <= 1


def test_r_squared_by_hand_and_by_weights() -> None:
    y, means = np.array([[0.0], [2.0], [4.0]]), np.full((3, 1), 2.0)
    predictions = np.array([[0.0], [2.0], [2.0]])
    assert r_squared(y, predictions, means)[0] == pytest.approx(0.5)
    assert r_squared(y, means, means)[0] == 0
    weighted = r_squared(y, predictions, means, np.array([[1.0, 1, 1], [1.0, 0, 3]]))
    np.testing.assert_allclose(weighted[:, 0], [0.5, 1 - 12 / 16])
    draws = patient_draws(np.array(["a", "b", "a", "c"]), 50, 0)
    assert np.array_equal(draws[:, 0], draws[:, 2])
    assert np.all(draws[:, [0, 1, 3]].sum(axis=1) == 3)


def pictures(n: int, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Photos (n, size, size, 3) and their two factors: brightness, and how far to the right it is brighter."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(n, 2))
    slope = np.linspace(-1, 1, size)[None, None, :, None]
    base = 128 + 30 * factors[:, 0][:, None, None, None] + 30 * factors[:, 1][:, None, None, None] * slope
    photos = base + 5 * rng.normal(size=(n, size, size, 3))
    return photos.clip(0, 255).round().astype(np.uint8), factors


@pytest.mark.slow
def test_the_network_learns_both_and_knows_the_mirror() -> None:
    photos, factors = pictures(150)
    y, signs = np.column_stack([factors, np.random.default_rng(5).normal(size=150)]), np.array([1.0, -1.0, 1.0])
    groups, train, test = np.arange(150).astype(str), np.arange(110), np.arange(110, 150)
    told: list[int] = []
    first = network(photos, y, signs, train, test, groups, SMALL, on_epoch=told.append)
    reached = r_squared(y[test], first, np.broadcast_to(y[train].mean(axis=0), first.shape))
    assert reached[0] > 0.8
    assert reached[1] > 0.8
    assert reached[2] < 0.2, "nothing tells the third"
    assert told == sorted(told)
    assert told[-1] == SMALL.epochs
    assert np.array_equal(first, network(photos, y, signs, train, test, groups, SMALL))
    # A mirrored photo gives the mirrored answer, exactly: predictions are means over both.
    turned = photos.copy()
    turned[test] = photos[test][:, :, ::-1]
    mirrored = network(turned, y, signs, train, test, groups, SMALL)
    np.testing.assert_allclose(mirrored, first * signs, atol=1e-5)


@pytest.mark.slow
def test_the_network_sees_no_answer_of_those_it_is_judged_on() -> None:
    photos, y = pictures(60)
    signs, groups = np.array([1.0, -1.0]), np.repeat(np.arange(30), 2).astype(str)
    train, test = np.arange(40), np.arange(40, 60)
    short = NetworkSettings(width=8, epochs=2, batch=16)
    other = y.copy()
    other[test] = 1e6
    first, second = (network(photos, values, signs, train, test, groups, short) for values in (y, other))
    assert np.array_equal(first, second)
    state = torch.get_rng_state()
    network(photos, y, signs, train, test, groups, short, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ValueError, match="too few"):
        network(photos, y, signs, train[:2], test, groups, short)


def test_codes_that_hold_one_factor_and_not_the_other() -> None:
    """Rows, ratios and counts from predictions of known quality."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(400, 3))
    noise = rng.normal(size=y.shape)
    found = {
        CODES: y + noise * [0.3, 1.0, 2.0],
        NETWORK: y + noise * [0.4, 0.5, 2.0],
        PIXELS: y + noise * [0.1, 0.8, 0.6],
    }
    names = ["kept", "lost", "unread"]
    photos, ws = np.zeros((400, 16, 16, 3), np.uint8), np.zeros((400, 6, 4), np.float32)
    data = Readable("s", ws, photos, np.arange(400).astype(str), names, y, np.ones(3), ["sex"])
    result = compare(data, found, np.zeros_like(y), 0)
    rows = {row["factor"]: row for row in result["rows"]}
    assert [row["factor"] for row in result["rows"]] == names
    assert (rows["kept"]["reaches"], rows["lost"]["reaches"], rows["unread"]["reaches"]) == (True, False, None)
    assert rows["kept"][CODES] == pytest.approx(0.91, abs=0.03)
    assert rows["lost"]["ratio"] == pytest.approx(rows["lost"][CODES] / rows["lost"][NETWORK])
    assert rows["kept"]["from"] < rows["kept"]["ratio"] < rows["kept"]["to"]
    assert (result["read"], result["reach"], result["not_read"]) == (2, 1, ["unread"])
    assert (result["read_by_either"], result["reach_the_better"]) == (3, 1)


def write_simulated(folder: Path, n: int = 40) -> tuple[Study, pd.DataFrame]:
    """A study whose first codes are one factor, whose photos show the other."""
    rng = np.random.default_rng(2)
    table = patient_table(n)
    write_study(folder, table, photos=n, simulated=True, aligned=True)
    truth = pd.DataFrame(
        {
            "patient_id": table["patient_id"],
            "sex": table["sex"],
            "age": rng.normal(size=n),
            "yaw": rng.normal(size=n),
            "light_seed": rng.integers(1, 1000, n),
            "face_log_hazard": rng.normal(size=n),
            "log_hazard": rng.normal(size=n),
            "event_time_months": rng.exponential(size=n),
        }
    )
    write_text(folder / "truth.csv", csv_text(truth))
    study = Study.open(folder)
    ws = np.zeros((n, 6, 4))
    ws[:, 0], ws[:, 0, 0] = 0.1 * rng.normal(size=(n, 4)), truth["age"]
    write_codes(study, ws)
    return study, truth


@pytest.mark.slow
def test_the_command_on_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, _ = write_simulated(tmp_path / "sim")
    out = tmp_path / "r.json"
    options = ["--study", str(study.path), "--size", "16", "--folds", "2", "--members", "1", "--epochs", "2"]
    options += ["--width", "8", "--device", "cpu", "--out", str(out)]
    result = bench.run(options)
    rows = {row["factor"]: row for row in result["rows"]}
    assert set(rows) == {"age", "yaw"}, "no outcomes, seeds or names"
    assert rows["age"][CODES] > 0.8
    assert rows["yaw"][CODES] < 0.3
    assert result["left_out"] == ["sex"]
    assert (result["photos"], result["size"]) == (40, 16)
    assert json.loads(out.read_text())["rows"] == json.loads(json.dumps(result["rows"]))
    assert "Left out, being names: sex." in capsys.readouterr().out


@pytest.mark.slow
def test_files_instead_of_a_study_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study, truth = write_simulated(tmp_path / "sim", 12)
    factors = tmp_path / "factors.csv"
    paths = [path.name for path in study.photos.values()]
    write_text(factors, csv_text(truth.assign(photo=paths, patient_id=["p1", "p1", *truth["patient_id"][2:]])))
    (study.path / "photos" / paths[5]).write_bytes(b"no photo")
    latents, folder = study.path / "latents.npy", study.path / "photos"
    data = from_files(latents, folder, factors, True, 16)
    assert f"left out: {paths[5]}" in capsys.readouterr().err
    assert data.photos.shape == (11, 16, 16, 3)
    assert data.groups[0] == data.groups[1] == "p1"
    assert (data.names, data.left_out) == (["age", "yaw"], ["sex"])
    np.testing.assert_allclose(data.y.mean(axis=0), 0, atol=1e-6)
    assert data.signs.tolist() == [1, -1]
    np.testing.assert_array_equal(data.ws[:5], np.load(latents)[:5, 0])
    (folder / paths[5]).write_bytes(encode_jpeg(face_like(5)))
    again = from_study(str(study.path), 16)
    np.testing.assert_array_equal(again.photos[:5], data.photos[:5])
    assert readout_data.resolution_of(np.zeros((1, 10, 4), np.float32)) == 64
    assert readout_data.resolution_of(np.zeros((1, 18, 4), np.float32)) == 1024


@pytest.mark.slow
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path) -> None:
    study, truth = write_simulated(tmp_path / "sim", 6)
    factors, latents = tmp_path / "f.csv", study.path / "latents.npy"
    options = ["--latents", str(latents), "--photos", str(study.path / "photos"), "--factors", str(factors)]
    for table, said in (
        (truth.iloc[:4].assign(photo="x"), "one code"),
        (truth, "needs a column photo"),
        (truth[["patient_id"]].assign(photo=[f"P000{i + 1}.jpg" for i in range(6)]), "no numeric factor"),
    ):
        write_text(factors, csv_text(table))
        with pytest.raises(SystemExit, match=said):
            bench.run([*options, "--aligned"])
    with pytest.raises(SystemExit, match="cannot be read"):
        bench.run([*options[:-1], str(tmp_path / "absent.csv")])
    with pytest.raises(SystemExit):
        bench.run(options[:2])
    (study.path / "truth.csv").unlink()
    with pytest.raises(StudyError, match="no truth table"):
        from_study(str(study.path), 16)
