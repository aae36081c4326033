"""Codes on disk: half precision, views of a photo, photos of a patient, and files from before there were views."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from study.disk.latents import INDEX, LATENTS, Latents, mean_over_views, open_views, read_latents
from study.disk.store import Study
from study.errors import StudyError
from tests.latents_file import write_latents
from tests.study.conftest import CHECKPOINT_SHA, write_codes

HALF = 2**-11  # of a number, that half precision is off by at most
VALUES = arrays(np.float32, (2, 3, 4), elements=st.floats(-100, 100, width=32))


def codes(views: int = 2) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((12, views, 4, 6)).astype(np.float32)


def write_views(study: Study, views: np.ndarray) -> None:
    """Codes (12, K, 4, 6), recorded as of K views."""
    write_codes(study, views[:, 0])
    latents, record = read_latents(study.path)
    settings = {"views": views.shape[1]} if views.shape[1] != 1 else {}
    write_latents(study.path, views, latents.index, replace(record, settings=settings))


@pytest.mark.parametrize("count", [1, 2, 6])
def test_half_precision_round_trip(tiny_study: Study, count: int) -> None:
    views = codes(count)
    write_views(tiny_study, views)
    latents, record = read_latents(tiny_study.path)
    assert (record.views, latents.views.dtype, latents.views.shape) == (count, np.float16, views.shape)
    assert isinstance(latents.ws, np.memmap)
    np.testing.assert_allclose(latents.views, views, rtol=HALF, atol=1e-7)
    np.testing.assert_array_equal(latents.ws, latents.views[:, 0])
    np.testing.assert_allclose(latents.features, views.mean(axis=1), rtol=0, atol=HALF * 4)
    matrix, _ = Study.open(tiny_study.path).analysed()
    np.testing.assert_array_equal(matrix, latents.features)
    assert matrix.dtype == np.float32
    drawn = Study.open(tiny_study.path).picture_code("P0003")
    np.testing.assert_array_equal(drawn, latents.ws[2].astype(np.float32))


def test_files_from_before_there_were_views_are_one_view_of_each_photo(tiny_study: Study) -> None:
    ws = codes(1)[:, 0]
    write_codes(tiny_study, ws)
    _, record = read_latents(tiny_study.path)
    np.save(tiny_study.path / LATENTS, ws, allow_pickle=False)
    digest = hashlib.sha256((tiny_study.path / LATENTS).read_bytes()).hexdigest()
    table = pq.read_table(tiny_study.path / INDEX)
    words = json.dumps(asdict(replace(record, latents_sha256=digest)))
    pq.write_table(table.replace_schema_metadata({"embedding": words}), tiny_study.path / INDEX)
    opened = Study.open(tiny_study.path)
    assert opened.embedding.views == 1
    np.testing.assert_array_equal(opened.latents(CHECKPOINT_SHA).ws, ws)
    np.testing.assert_array_equal(opened.analysed()[0], ws)


@pytest.mark.parametrize("views", [3, "2", None, [2], True])
def test_a_record_of_impossible_views_is_refused(tiny_study: Study, views: object) -> None:
    write_views(tiny_study, codes())
    record = read_latents(tiny_study.path)[1]
    words = json.dumps(asdict(record) | {"settings": {"views": views}})
    table = pq.read_table(tiny_study.path / INDEX).replace_schema_metadata({"embedding": words})
    pq.write_table(table, tiny_study.path / INDEX)
    with pytest.raises(StudyError, match=f"{INDEX} is damaged or not ours"):
        Study.open(tiny_study.path).latents()


def test_codes_of_other_views_than_recorded_are_refused(tiny_study: Study) -> None:
    write_views(tiny_study, codes())
    record = read_latents(tiny_study.path)[1]
    with pytest.raises(StudyError, match="does not hold codes of shape"):
        open_views(tiny_study.path, 12, replace(record, settings={"views": 4}))


@given(VALUES)
def test_the_mean_over_views_is_the_same_whichever_photo_was_given(views: np.ndarray) -> None:
    np.testing.assert_array_equal(mean_over_views(views), mean_over_views(views[::-1]))
    np.testing.assert_allclose(mean_over_views(views), views.astype(np.float64).mean(axis=0), rtol=1e-12)


@given(st.integers(1, 3).flatmap(lambda k: arrays(np.float32, (5, k, 2, 3), elements=st.floats(-9, 9, width=32))))
def test_photos_of_a_patient_count_alike(views: np.ndarray) -> None:
    latents = Latents(views, pd.DataFrame())
    one, several, again = latents.features_of([[3], [0, 4, 2], [4, 2, 0]])
    each = views.astype(np.float64).mean(axis=1)
    np.testing.assert_array_equal(one, each[3].astype(np.float32))
    np.testing.assert_allclose(several, each[[0, 4, 2]].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(again, several, atol=1e-5)
