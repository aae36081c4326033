import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from survival.errors import SurvivalError
from survival.models.fitted import FittedModel
from survival.storage import read_model, write_model


@pytest.fixture
def saved(fitted, tmp_path) -> Path:
    fitted.save(tmp_path / "photo")
    return tmp_path / "photo"


def test_round_trip_is_exact(small_study, fitted, saved):
    loaded = FittedModel.load(saved)
    for name, value in vars(fitted).items():
        other = getattr(loaded, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(other, value)
        elif isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(other, value)
        elif name == "refits_":
            for array, same in zip(vars(other).values(), vars(value).values(), strict=True):
                np.testing.assert_array_equal(array, same)
        elif name not in ("hazard", "path_"):
            assert other == value, name
    pd.testing.assert_frame_equal(loaded.path_.table, fitted.path_.table)
    assert (loaded.path_.best, loaded.path_.components) == (fitted.path_.best, fitted.path_.components)
    np.testing.assert_array_equal(loaded.predict(small_study["X"]), fitted.predict(small_study["X"]))
    for ours, theirs in zip(
        loaded.predict_survival_function(small_study["X"]),
        fitted.predict_survival_function(small_study["X"]),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert sorted(p.name for p in saved.iterdir()) == ["model.json", "model.npz"]


floats = hnp.arrays(
    np.float64, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(allow_nan=False, allow_infinity=False)
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.dictionaries(st.sampled_from("abcdef"), floats, min_size=1), st.dictionaries(words, st.floats(-1e308, 1e308)))
@settings(max_examples=25)
def test_arrays_and_numbers_round_trip(tmp_path_factory, arrays, meta):
    folder = tmp_path_factory.mktemp("model")
    write_model(folder, "thing-1", meta, arrays)
    got_meta, got = read_model(folder, "thing-1")
    assert got_meta == meta
    assert got.keys() == arrays.keys()
    for name in arrays:
        np.testing.assert_array_equal(got[name], arrays[name])


def edit_json(folder: Path, change) -> None:
    document = json.loads((folder / "model.json").read_text())
    change(document)
    (folder / "model.json").write_text(json.dumps(document))


def put_npz(folder: Path, data: bytes) -> None:
    (folder / "model.npz").write_bytes(data)
    edit_json(folder, lambda d: d.update(npz_sha256=hashlib.sha256(data).hexdigest()))


def rebuild(folder: Path, **replaced: bytes) -> None:
    """The same archive with some members' bytes replaced, and its SHA-256 in model.json brought up to date."""
    source, buffer = zipfile.ZipFile(folder / "model.npz"), io.BytesIO()
    with source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, replaced.get(name.removesuffix(".npy"), source.read(name)))
    put_npz(folder, buffer.getvalue())


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=True)
    return buffer.getvalue()


class Boom:
    def __reduce__(self):
        return (Path.touch, (Path("executed"),))


HOSTILE_JSON = {
    "not json": lambda f: (f / "model.json").write_bytes(b"\x80\x04}"),
    "not text": lambda f: (f / "model.json").write_bytes(b"\xff\xfe{}"),
    "a list": lambda f: (f / "model.json").write_text("[]"),
    "deep": lambda f: (f / "model.json").write_text("[" * 200_000),
    "nan": lambda f: edit_json(f, lambda d: d["meta"].update(uno_tau=float("nan"))),
    "kind": lambda f: edit_json(f, lambda d: d.update(kind="cox-1")),
    "no meta": lambda f: edit_json(f, lambda d: d.pop("meta")),
    "arrays a list": lambda f: edit_json(f, lambda d: d.update(arrays=[])),
    "negative shape": lambda f: edit_json(f, lambda d: d["arrays"]["hazard.gradient"].update(shape=[-1])),
    "shape not a list": lambda f: edit_json(f, lambda d: d["arrays"]["hazard.gradient"].update(shape="8")),
    "huge shape": lambda f: edit_json(f, lambda d: d["arrays"]["hazard.gradient"].update(shape=[2**62])),
    "object dtype": lambda f: edit_json(f, lambda d: d["arrays"]["hazard.gradient"].update(dtype="|O")),
    "sha": lambda f: edit_json(f, lambda d: d.update(npz_sha256="0" * 64)),
    "feature shape": lambda f: edit_json(f, lambda d: d["meta"]["hazard"]["encoding"]["shapes"].update(x=[4, 41])),
    "patients": lambda f: edit_json(f, lambda d: d["meta"]["patients"].pop()),
    "hazard": lambda f: edit_json(f, lambda d: d["meta"]["hazard"].update(kind="os.system")),
    "no estimates": lambda f: edit_json(f, lambda d: d["meta"].pop("estimates")),
    "count": lambda f: edit_json(f, lambda d: d["meta"]["path"].update(best=1.5)),
    "float": lambda f: edit_json(f, lambda d: d["meta"].update(fold_cosine="0.1")),
    "missing": lambda f: (f / "model.json").unlink(),
}  # fmt: skip
HOSTILE_NPZ = {
    "missing": lambda f: (f / "model.npz").unlink(),
    "truncated": lambda f: put_npz(f, (f / "model.npz").read_bytes()[:2000]),
    "text": lambda f: put_npz(f, b"hello"),
    "pickle": lambda f: rebuild(f, **{"hazard.gradient": npy(np.array([Boom()] * 160, dtype=object))}),
    "raw pickle": lambda f: rebuild(f, **{"hazard.gradient": b"\x80\x04cos\nsystem\n" + b"." * 1340}),
    "shape": lambda f: rebuild(f, **{"hazard.gradient": npy(np.zeros((2, 80)))}),
    "dtype": lambda f: rebuild(f, **{"hazard.gradient": npy(np.zeros(160, dtype="<i8"))}),
    "nan": lambda f: rebuild(f, **{"hazard.gradient": npy(np.full(160, np.nan))}),
    "bomb": lambda f: rebuild(f, **{"hazard.gradient": npy(np.zeros(4_000_000))}),
    "baseline falls": lambda f: rebuild(
        f, **{"hazard.baseline_hazard": npy(np.linspace(1, 0, len(np.load(f / "model.npz")["hazard.baseline_hazard"])))}
    ),
}


@pytest.mark.parametrize("spoil", [*HOSTILE_JSON.values(), *HOSTILE_NPZ.values()], ids=[*HOSTILE_JSON, *HOSTILE_NPZ])
def test_hostile_and_damaged_files_get_a_sentence(saved, spoil, monkeypatch):
    monkeypatch.chdir(saved)
    spoil(saved)
    before = sorted(saved.iterdir())
    with pytest.raises(SurvivalError, match=r"model\.(json|npz)"):
        FittedModel.load(saved)
    assert sorted(saved.iterdir()) == before  # nothing was executed, nothing was left


def test_one_array_too_many_is_refused(saved):
    with np.load(saved / "model.npz") as arrays:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays, extra=np.zeros(3))
    put_npz(saved, buffer.getvalue())
    with pytest.raises(SurvivalError, match="other arrays"):
        FittedModel.load(saved)


def test_a_failed_write_leaves_the_old_model(saved, fitted, monkeypatch):
    old = (saved / "model.json").read_bytes(), (saved / "model.npz").read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="disk full"):
        fitted.save(saved)
    assert ((saved / "model.json").read_bytes(), (saved / "model.npz").read_bytes()) == old
    assert sorted(p.name for p in saved.iterdir()) == ["model.json", "model.npz"]
