"""Photos shared by the tests of this room: one real (skimage's astronaut, public domain), six rendered."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from faces.landmarks import Face, detect_faces
from faces.photo import Photo, load_photo

PORTRAITS = Path(__file__).parents[1] / "data" / "portraits"


@pytest.fixture(scope="session")
def astronaut() -> Photo:
    return Photo(np.ascontiguousarray(skimage.data.astronaut()), "astronaut")


@pytest.fixture(scope="session")
def astronaut_face(astronaut: Photo) -> Face:
    return detect_faces(astronaut)[0]


@pytest.fixture(scope="session")
def portraits() -> dict[str, Photo]:
    return {path.stem: load_photo(path) for path in sorted(PORTRAITS.glob("*.jpg"))}


@pytest.fixture(scope="session")
def portrait_faces(portraits: dict[str, Photo]) -> dict[str, Face]:
    return {name: detect_faces(photo)[0] for name, photo in portraits.items()}
