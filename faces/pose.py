"""Head pose from the 68 landmarks: a generic head fitted to them in perspective.

The generic head was measured on 260 rendered portraits of known pose (structure from their landmarks, made
symmetric). On 100 others yaw comes back with a mean error of 1.2 degrees (slope 1.0), pitch 3.3 (slope 0.8), roll 0.7.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# Brows, nose bridge, tip and underside, eye corners, mouth corners: points that the turning outline leaves alone.
POINTS = (17, 19, 21, 22, 24, 26, 27, 30, 31, 33, 35, 36, 39, 42, 45, 48, 54)
# Their places in mm from the tip of the nose: x to the right of the picture, y down, z away from the camera.
HEAD = np.array(
    [
        [-59.2, -45.4, 57.6],
        [-36.1, -56.7, 40.9],
        [-10.0, -50.4, 29.1],
        [10.0, -50.4, 29.1],
        [36.1, -56.7, 40.9],
        [59.2, -45.4, 57.6],
        [0.0, -35.1, 24.3],
        [0.0, 0.0, 0.0],
        [-14.6, 8.9, 18.5],
        [0.0, 13.2, 11.8],
        [14.6, 8.9, 18.5],
        [-44.0, -32.5, 48.6],
        [-18.7, -31.0, 44.1],
        [18.7, -31.0, 44.1],
        [44.0, -32.5, 48.6],
        [-26.8, 33.7, 34.8],
        [26.8, 33.7, 34.8],
    ]
)
DISTANCE = 7.0  # of the camera, in face widths: about a metre, as portraits are taken
FACE_WIDTH = 140.0  # mm


@dataclass(frozen=True)
class Pose:
    """Head rotation in degrees, zero when facing the camera.

    yaw > 0: the nose points to the right of the picture; pitch > 0: the nose points up;
    roll > 0: the head is turned clockwise in the picture.
    """

    yaw: float
    pitch: float
    roll: float


def estimate_pose(landmarks: NDArray[np.float32]) -> Pose:
    """Pose of 68 landmarks (68, 2) in pixels; nan where they fit no head."""
    points = np.asarray(landmarks, dtype=np.float64)
    extent = float(np.ptp(points, axis=0).max())
    focal = DISTANCE * extent
    camera = np.array([[focal, 0, 0], [0, focal, 0], [0, 0, 1.0]])
    image = np.ascontiguousarray(points[list(POINTS)] - points.mean(axis=0))
    start = (np.zeros((3, 1)), np.array([[0.0], [0.0], [DISTANCE * FACE_WIDTH]]))
    try:
        solved, turn, _ = cv2.solvePnP(HEAD, image, camera, None, *start, True, cv2.SOLVEPNP_ITERATIVE)
    except cv2.error:
        solved = False
    if not solved:
        return Pose(float("nan"), float("nan"), float("nan"))
    rotation, _ = cv2.Rodrigues(turn)
    nose = -rotation[:, 2]  # where it points, in the camera's frame
    yaw = np.degrees(np.arctan2(nose[0], -nose[2]))
    pitch = np.degrees(np.arctan2(-nose[1], np.hypot(nose[0], nose[2])))
    roll = np.degrees(np.arctan2(rotation[1, 0], rotation[0, 0]))
    return Pose(float(yaw), float(pitch), float(roll))
