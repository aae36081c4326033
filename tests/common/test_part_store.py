"""Parts on disk: what was put comes back; whatever is damaged, renamed or of another kind counts as absent."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from common.part_store import JSON, Layout, PartStore, array_json, decode, encode, json_array

LAYOUT: Layout = {"ws": ("<f4", (None, 3)), "facts": JSON}
WS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    store = PartStore(tmp_path / "parts")
    store.put("ab12", {"ws": WS, "facts": json_array({"of": ["a", float("nan")]})})
    return store


def test_a_part_comes_back(store: PartStore) -> None:
    part = store.get("ab12", LAYOUT)
    assert part is not None
    assert set(part) == {"ws", "facts"}
    np.testing.assert_array_equal(part["ws"], WS)
    assert array_json(part["facts"])["of"][0] == "a"
    assert list(store) == ["ab12"]
    assert store.get("ab13", LAYOUT) is None
    assert [p.name for p in store.folder.rglob("*") if p.is_file()] == ["ab12.npz"]


@pytest.mark.slow
def test_no_byte_of_a_part_can_change_unseen(store: PartStore) -> None:
    """Every byte that shapes the arrays is covered by a checksum or a check: the part is absent or as it was."""
    path = store.path("ab12")
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 0x41]) + whole[i + 1 :])
        part = store.get("ab12", LAYOUT)
        assert part is None or (part["ws"].tobytes() == WS.tobytes() and part["ws"].shape == WS.shape), i
    for end in (0, 1, 100, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert store.get("ab12", LAYOUT) is None


def test_a_part_under_another_name_is_not_that_part(store: PartStore) -> None:
    store.path("ab99").write_bytes(store.path("ab12").read_bytes())
    assert store.get("ab99", LAYOUT) is None


@pytest.mark.parametrize(
    "layout",
    [
        {"ws": ("<f4", (None, 4))},
        {"ws": ("<f4", (3, None))},
        {"ws": ("<f4", (None,))},
        {"ws": ("<f8", (None, 3))},
        {"absent": JSON},
    ],
)
def test_another_kind_of_array_is_absent(store: PartStore, layout: Layout) -> None:
    assert store.get("ab12", layout) is None


def test_what_is_not_finite_too_large_or_pickled_is_absent(tmp_path: Path) -> None:
    assert decode(encode({"ws": np.full((1, 3), np.nan, np.float32)}), {"ws": LAYOUT["ws"]}) is None
    assert decode(encode({"ws": WS}), {"ws": LAYOUT["ws"]}, max_bytes=100) is None
    buffer = io.BytesIO()
    np.savez(buffer, ws=np.array([object()], dtype=object))
    assert decode(buffer.getvalue(), {"ws": LAYOUT["ws"]}) is None
    with pytest.raises(ValueError, match="Object"):
        encode({"ws": np.array([object()], dtype=object)})
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w") as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**15, 3)})
        archive.writestr("ws.npy", header.getvalue() + bytes(24))
    assert decode(huge.getvalue(), {"ws": LAYOUT["ws"]}) is None, "no memory is taken for what is not there"


@given(
    hnp.arrays(
        st.sampled_from([np.dtype("<f4"), np.dtype("|u1"), np.dtype("<i8")]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    st.integers(0, 9),
)
def test_any_array_comes_back_the_same(array: np.ndarray, level: int) -> None:
    array = np.atleast_1d(array)
    data = encode({"x": array}, level)
    assert data == encode({"x": array}, level), "equal arrays are equal bytes"
    part = decode(data, {"x": (array.dtype.str, (None,) * array.ndim)})
    assert part is not None
    assert part["x"].tobytes() == array.tobytes()
    assert part["x"].shape == array.shape


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "a" * 200, "a b"])
def test_a_key_is_a_plain_name(store: PartStore, key: str) -> None:
    with pytest.raises(ValueError, match="cannot be the key"):
        store.put(key, {"ws": WS})


def test_a_refusing_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "parts").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="parts"):
        PartStore(tmp_path / "parts").put("ab12", {"ws": WS})
    assert PartStore(tmp_path / "parts").get("ab12", LAYOUT) is None
