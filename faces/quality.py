"""How usable an aligned face is: measured numbers and, where one is out of bounds, a sentence for a clinician.

The bounds were set by looking at 60 rendered portraits and a real photo, untouched, blurred, darkened and
overexposed; the comments give what was seen. They warn, nothing is refused.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REFERENCE = 256  # px: light is measured at this size
SHARPNESS_SIZE = 128  # px: and sharpness at this, so that JPEG and sensor noise count little
FACE = (0.25, 0.81, 0.25, 0.75)  # top, bottom, left, right of the face in the FFHQ square

SHARPNESS_MIN = 40.0  # untouched 130-720; blurred by 2 px of 256: 13-70, by 3 px: 5-32
DARK_MEAN = 0.16  # untouched 0.35-0.63; at a quarter of the light 0.09-0.15
BRIGHT_CLIPPED = 0.10  # share of the face at 250 or more; untouched under 0.001, at 1.8 times the light 0.3
CONTRAST_MIN = 0.035  # untouched 0.08-0.19
COLOUR_MIN = 0.012  # mean distance of the channels from grey, 0-1; grey photos 0, untouched 0.05 and more
YAW_MAX, PITCH_MAX, ROLL_MAX = 30.0, 25.0, 30.0  # degrees
FACE_PX_MIN = 128.0  # px: side of the square in the photo
HEAD_OUTSIDE_MAX = 0.04  # share of the head's ellipse

# What a flag is about, in a word, by how its sentence begins or what it holds: for filters and counts.
KINDS = {
    "blurred": "The face is blurred",
    "dark": "The face is very dark",
    "overexposed": "The face is overexposed",
    "flat light": "The face has hardly any contrast",
    "no colour": "The photo has no colour",
    "turned": "The face is turned",
    "tilted": "The face is tilted",
    "leaning": "The head leans",
    "small": "The face is small",
    "cut off": "of the head lies outside the photo",
}


def kind_of(flag: str) -> str:
    """The word of KINDS for a flag's sentence, "other" for a sentence of another kind."""
    return next((kind for kind, words in KINDS.items() if words in flag), "other")


@dataclass(frozen=True)
class Quality:
    """Measures of one aligned face.

    sharpness: variance of the Laplacian of luma over its mean, times 1e4, at 128 px; exposure: mean luma of the face,
    0-1; contrast: its standard deviation, 0-1; yaw, pitch, roll: degrees (nan where no face was detected);
    face_px: side of the square in the photo; outside: share of the square that lies outside the photo;
    flags: sentences for people, empty where all is well.
    """

    sharpness: float
    exposure: float
    contrast: float
    yaw: float
    pitch: float
    roll: float
    face_px: float
    outside: float
    flags: tuple[str, ...]


def measure(
    pixels: NDArray[np.uint8],
    pose: tuple[float, float, float] | None,
    face_px: float,
    outside: tuple[float, float] = (0.0, 0.0),
) -> Quality:
    """Quality of an aligned face.

    pixels uint8 (256, 256, 3); pose: yaw, pitch, roll in degrees; face_px: side of the square in the photo;
    outside: share of the square, and of the head in it, that lies outside the photo.
    """
    if pixels.shape != (REFERENCE, REFERENCE, 3):
        raise ValueError(f"quality is measured at {REFERENCE} px, not on {pixels.shape}")
    face = _middle(pixels).astype(np.float32)
    luma = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    colour = float(np.abs(face - face.mean(axis=2, keepdims=True)).mean() / 255)
    clipped = float((luma >= 250).mean())
    sharpness = _sharpness(pixels)
    exposure, contrast = float(luma.mean() / 255), float(luma.std() / 255)
    yaw, pitch, roll = pose or (float("nan"),) * 3
    flags = (
        *_light_flags(exposure, contrast, clipped, colour),
        *_geometry_flags(yaw, pitch, roll, face_px, outside[1]),
    )
    if sharpness < SHARPNESS_MIN and face_px >= FACE_PX_MIN and contrast >= CONTRAST_MIN:
        flags = ("The face is blurred: fine signs are lost, so use a sharper photo.", *flags)
    return Quality(sharpness, exposure, contrast, yaw, pitch, roll, face_px, outside[0], flags)


def _middle(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The face without hair and backdrop, where the FFHQ square has it."""
    top, bottom, left, right = (round(edge * pixels.shape[0]) for edge in FACE)
    return pixels[top:bottom, left:right]


def _sharpness(pixels: NDArray[np.uint8]) -> float:
    small = cv2.resize(pixels, (SHARPNESS_SIZE, SHARPNESS_SIZE), interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(_middle(np.asarray(small, dtype=np.uint8)).astype(np.float32), cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(luma, cv2.CV_32F).var() / max(float(luma.mean()), 1.0) ** 2 * 1e4)


def _light_flags(exposure: float, contrast: float, clipped: float, colour: float) -> list[str]:
    flags = []
    if exposure < DARK_MEAN:
        flags.append("The face is very dark: use a photo taken in more light.")
    if clipped > BRIGHT_CLIPPED:
        flags.append(f"The face is overexposed ({clipped:.0%} of it is pure white): use a photo with softer light.")
    elif contrast < CONTRAST_MIN and exposure >= DARK_MEAN:
        flags.append("The face has hardly any contrast: use a photo without haze or backlight.")
    if colour < COLOUR_MIN:
        flags.append("The photo has no colour: pallor and jaundice cannot be seen in it.")
    return flags


def _geometry_flags(yaw: float, pitch: float, roll: float, face_px: float, head_outside: float) -> list[str]:
    """Comparisons with nan are false: without a detected face there is no flag about the pose."""
    flags = []
    if abs(yaw) > YAW_MAX:
        flags.append(f"The face is turned {abs(yaw):.0f}° to the side: use a photo that faces the camera.")
    if abs(pitch) > PITCH_MAX:
        way = "up" if pitch > 0 else "down"
        flags.append(f"The face is tilted {abs(pitch):.0f}° {way}: use a photo that faces the camera.")
    if abs(roll) > ROLL_MAX:
        flags.append(f"The head leans {abs(roll):.0f}° to one side: check that the crop is upright.")
    if face_px < FACE_PX_MIN:
        flags.append(f"The face is small (its crop is {face_px:.0f} px wide): use a closer or larger photo.")
    if head_outside > HEAD_OUTSIDE_MAX:
        flags.append(f"{head_outside:.0%} of the head lies outside the photo and was filled in: use a wider photo.")
    return flags
