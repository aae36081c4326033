"""How usable an aligned face is: measured numbers and, where one is out of bounds, a sentence for a clinician.

The bounds were set by looking at 60 rendered portraits and a real photo, untouched, blurred, darkened and
overexposed; the comments give what was seen. They warn, nothing is refused.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from faces import flags as kinds
from faces.appearance.covered import Seen
from faces.flags import Flag

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


@dataclass(frozen=True)
class Quality:
    """Measures of one aligned face.

    sharpness: variance of the Laplacian of luma over its mean, times 1e4, at 128 px; exposure: mean luma of the face,
    0-1; contrast: its standard deviation, 0-1; yaw, pitch, roll: degrees (nan where no face was detected);
    face_px: side of the square in the photo; outside: share of the square that lies outside the photo;
    flags: empty where all is well; without a measured pose they say so.
    """

    sharpness: float
    exposure: float
    contrast: float
    yaw: float
    pitch: float
    roll: float
    face_px: float
    outside: float
    flags: tuple[Flag, ...]


def measure(
    pixels: NDArray[np.uint8],
    pose: tuple[float, float, float] | None,
    face_px: float,
    outside: tuple[float, float] = (0.0, 0.0),
    seen: Seen | None = None,
) -> Quality:
    """Quality of an aligned face.

    pixels uint8 (256, 256, 3); pose: yaw, pitch, roll in degrees; face_px: side of the square in the photo;
    outside: share of the square, and of the head in it, that lies outside the photo; seen: of mouth and eyes, where
    there are landmarks.
    """
    face = _middle(pixels).astype(np.float32)
    luma = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    colour = float(np.abs(face - face.mean(axis=2, keepdims=True)).mean() / 255)
    clipped = float((luma >= 250).mean())
    small_copy = cv2.resize(pixels, (SHARPNESS_SIZE, SHARPNESS_SIZE), interpolation=cv2.INTER_AREA)
    middle = _middle(np.asarray(small_copy, dtype=np.uint8)).astype(np.float32)
    sharp_luma = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY)
    sharpness = float(cv2.Laplacian(sharp_luma, cv2.CV_32F).var() / max(float(sharp_luma.mean()), 1.0) ** 2 * 1e4)
    exposure, contrast = float(luma.mean() / 255), float(luma.std() / 255)
    yaw, pitch, roll = pose or (float("nan"),) * 3
    flags: list[Flag] = []

    def check(out_of_bounds: bool, kind: str, value: float, sentence: str) -> None:
        if out_of_bounds:
            flags.append(Flag(kind, value, sentence))

    dark, flat, small = exposure < DARK_MEAN, contrast < CONTRAST_MIN, face_px < FACE_PX_MIN
    blurred, overexposed = sharpness < SHARPNESS_MIN and not small and not flat, clipped > BRIGHT_CLIPPED
    check(blurred, kinds.BLURRED, sharpness, "The face is blurred: fine signs are lost, so use a sharper photo.")
    check(dark, kinds.DARK, exposure, "The face is very dark: use a photo taken in more light.")
    sentence = f"The face is overexposed ({clipped:.0%} of it is pure white): use a photo with softer light."
    check(overexposed, kinds.OVEREXPOSED, clipped, sentence)
    sentence = "The face has hardly any contrast: use a photo without haze or backlight."
    check(flat and not dark and not overexposed, kinds.FLAT, contrast, sentence)
    sentence = "The photo has no colour: pallor and jaundice cannot be seen in it."
    check(colour < COLOUR_MIN, kinds.COLOURLESS, colour, sentence)
    sentence = "The pose was not measured: no face was detected in the crop."  # comparisons with nan are false
    check(bool(np.isnan([yaw, pitch, roll]).any()), kinds.UNMEASURED, float("nan"), sentence)
    sentence = f"The face is turned {abs(yaw):.0f}° to the side: use a photo that faces the camera."
    check(abs(yaw) > YAW_MAX, kinds.TURNED, abs(yaw), sentence)
    way = "up" if pitch > 0 else "down"
    sentence = f"The face is tilted {abs(pitch):.0f}° {way}: use a photo that faces the camera."
    check(abs(pitch) > PITCH_MAX, kinds.TILTED, abs(pitch), sentence)
    sentence = f"The head leans {abs(roll):.0f}° to one side: check that the crop is upright."
    check(abs(roll) > ROLL_MAX, kinds.LEANING, abs(roll), sentence)
    sentence = f"The face is small (its crop is {face_px:.0f} px wide): use a closer or larger photo."
    check(small, kinds.SMALL, face_px, sentence)
    sentence = f"{outside[1]:.0%} of the head lies outside the photo and was filled in: use a wider photo."
    check(outside[1] > HEAD_OUTSIDE_MAX, kinds.CUT_OFF, outside[1], sentence)
    if seen is not None:
        sentence = "The lower face seems covered, as by a mask, a tube or a hand: use a photo that shows it."
        check(seen.lower_covered, kinds.LOWER_COVERED, seen.mouth, sentence)
        sentence = "The eyes seem covered or closed, as by a bar or sunglasses: use a photo that shows them."
        check(seen.eyes_covered, kinds.EYES_COVERED, seen.edges, sentence)
    return Quality(sharpness, exposure, contrast, yaw, pitch, roll, face_px, outside[0], tuple(flags))


def _middle(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The face without hair and backdrop, where the FFHQ square has it."""
    top, bottom, left, right = (round(edge * pixels.shape[0]) for edge in FACE)
    return pixels[top:bottom, left:right]
