"""Pairs of pictures for ST-LPIPS: scikit-image's astronaut (NASA, public domain), changed as cameras and files do."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage import data

LEFT, TOP, SIDE = 96, 0, 256  # px, of the square with the head


def astronaut(left: int = LEFT) -> np.ndarray:
    """uint8 (256, 256, 3)."""
    return np.ascontiguousarray(data.astronaut()[TOP : TOP + SIDE, left : left + SIDE])


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def noisy(pixels: np.ndarray, deviation: float) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, deviation, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def blurry(pixels: np.ndarray, deviation: float) -> np.ndarray:
    return np.rint(gaussian_filter(pixels.astype(float), (deviation, deviation, 0))).astype(np.uint8)


def of_side(pixels: np.ndarray, side: int) -> np.ndarray:
    """Pixels repeated or left out, so that no filter's rounding is part of the reference."""
    places = np.arange(side) * pixels.shape[0] // side
    return pixels[places][:, places]


def pair(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Two uint8 pictures (S, S, 3)."""
    face = astronaut()
    kind, _, side = name.partition("@")
    other = {
        "same": lambda: face,
        "shift": lambda: astronaut(LEFT + 1),
        "jpeg": lambda: jpeg(face, 10),
        "noise": lambda: noisy(face, 10),
        "blur": lambda: blurry(face, 2),
        "mirror": lambda: face[:, ::-1],
        "cat": lambda: np.ascontiguousarray(data.chelsea()[20:276, 100:356]),
    }[kind]()
    if side:
        face, other = of_side(face, int(side)), of_side(other, int(side))
    return face, other
