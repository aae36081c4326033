"""Codes that show one person several times: photos before views, views only where nobody has several photos."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from study.comparison.same_person import FEWEST_PATIENTS, MOST_PHOTOS, same_person
from study.disk.latents import Latents
from survival.uncertainty.photo import PHOTOS, VIEWS


def study_of(views: int, photos: dict[str, int]) -> Any:
    owners = [patient for patient, n in photos.items() for _ in range(n)]
    codes = np.random.default_rng(0).normal(size=(len(owners), views, 2, 3)).astype(np.float16)
    latents = Latents(codes, pd.DataFrame({"patient_id": owners}))
    return SimpleNamespace(latents=lambda: latents, codes=codes)


def test_views_of_single_photos() -> None:
    study = study_of(2, {f"P{i}": 1 for i in range(30)})
    found = same_person(study, [f"P{i}" for i in range(25)])
    assert found is not None
    assert found.kind == VIEWS
    assert found.features.shape == (50, 2, 3)
    np.testing.assert_array_equal(found.person, np.repeat(np.arange(25), 2))
    np.testing.assert_array_equal(found.features[3], study.codes[1, 1].astype(np.float32))


def test_photos_where_enough_patients_have_several() -> None:
    several = {f"P{i}": 2 for i in range(FEWEST_PATIENTS)} | {"single": 1, "left out": 3}
    study = study_of(2, several)
    found = same_person(study, [name for name in several if name != "left out"])
    assert found is not None
    assert found.kind == PHOTOS
    assert found.features.shape == (2 * FEWEST_PATIENTS, 2, 3)
    assert set(found.person) == {f"P{i}" for i in range(FEWEST_PATIENTS)}
    np.testing.assert_allclose(found.features[1], study.codes[1].astype(float).mean(axis=0))
    few = {f"P{i}": 2 for i in range(FEWEST_PATIENTS - 1)}
    fewer = same_person(study_of(2, few), list(few))
    assert fewer is not None
    assert fewer.kind == VIEWS


def test_nothing_is_known_of_one_photo_and_one_view() -> None:
    patients = {f"P{i}": 1 for i in range(30)}
    assert same_person(study_of(1, patients), list(patients)) is None


def test_of_a_large_study_some_photos_are_enough() -> None:
    patients = {f"P{i}": 1 for i in range(3 * MOST_PHOTOS)}
    found = same_person(study_of(2, patients), list(patients))
    assert found is not None
    assert len(found.features) == 2 * MOST_PHOTOS
