"""From an edit to a picture: a renderer that knows no screen.

An `EditState` says everything about a picture that the code, a direction and three numbers decide; it is frozen and
hashable, so undo is a list of states and a cache is a dictionary. The base code is first drawn towards the mean code
(truncation), then moved: a step's effect on the risk stays exact whatever the truncation.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch

from latent.checkpoints import Checkpoint
from latent.editing.directions import Direction
from latent.errors import LatentError
from latent.images import to_uint8
from latent.stylegan2.generator import SynthesisNetwork

STRIP_BATCH = 8
LUMA = (0.2126, 0.7152, 0.0722)  # BT.709


@dataclass(frozen=True)
class EditState:
    """code: float32 bytes of (num_ws, w_dim) in `shape`; step in log-HR along `direction` within layers `band`
    (None: all); truncation: 1 leaves the face as it is, 0 is the mean face."""

    code: bytes
    shape: tuple[int, int]
    direction: Direction | None = None
    step: float = 0.0
    band: tuple[int, int] | None = None
    truncation: float = 1.0

    @classmethod
    def of(
        cls,
        ws: np.ndarray,
        direction: Direction | None = None,
        step: float = 0.0,
        band: tuple[int, int] | None = None,
        truncation: float = 1.0,
    ) -> EditState:
        """A state from a code (num_ws, w_dim)."""
        if ws.ndim != 2 or not np.isfinite(ws).all():
            raise LatentError("A face's code must be a finite table with one row per layer.")
        code = np.ascontiguousarray(ws, dtype=np.float32)
        return cls(code.tobytes(), (code.shape[0], code.shape[1]), direction, float(step), band, float(truncation))

    @property
    def ws(self) -> np.ndarray:
        """The base code, float32 (num_ws, w_dim)."""
        return np.frombuffer(self.code, dtype=np.float32).reshape(self.shape).copy()


@dataclass(frozen=True, eq=False)
class Frame:
    """image: uint8 (R, R, 3). log_hr: risk of the shown face relative to the unedited one, truncation included (0
    without a direction: nothing is known of a risk then). ws: the shown code, float32 (num_ws, w_dim)."""

    image: np.ndarray
    log_hr: float
    ws: np.ndarray
    state: EditState


def edited_codes(
    ws: np.ndarray,
    w_avg: np.ndarray,
    direction: Direction | None,
    steps: np.ndarray,
    band: tuple[int, int] | None = None,
    truncation: float = 1.0,
) -> np.ndarray:
    """Codes (K, num_ws, w_dim) float32: w_avg + truncation (ws - w_avg) + step * direction, a row a step."""
    base = (w_avg + truncation * (ws.astype(np.float64) - w_avg)).astype(np.float32)
    if direction is None:
        return np.repeat(base[None], len(steps), axis=0)
    return direction.restricted(band).apply(base, steps)


@torch.no_grad()
def synthesize(
    checkpoint: Checkpoint, ws: np.ndarray, batch: int = STRIP_BATCH, network: SynthesisNetwork | None = None
) -> np.ndarray:
    """Pictures uint8 (K, R, R, 3) of codes (K, num_ws, w_dim), noise fixed, `batch` at a time.

    network: draws in place of the checkpoint's own (`latent.inversion.pivotal_tuning`).
    Raises LatentError if the codes are of another model's shape.
    """
    if ws.shape[1:] != (checkpoint.num_ws, checkpoint.w_dim):
        raise LatentError(
            f"This code has the shape {ws.shape[1:]}, the model {checkpoint.name} takes "
            f"{(checkpoint.num_ws, checkpoint.w_dim)}: invert the photo with this model."
        )
    codes = torch.from_numpy(np.ascontiguousarray(ws, dtype=np.float32)).to(checkpoint.device)
    network = checkpoint.generator.synthesis if network is None else network
    parts = [
        to_uint8(network(codes[start : start + batch], noise_mode="const")) for start in range(0, len(codes), batch)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, checkpoint.resolution, checkpoint.resolution, 3), np.uint8)


def mean_code(checkpoint: Checkpoint) -> np.ndarray:
    """w_avg, float64 (w_dim,)."""
    return np.asarray(checkpoint.statistics.mean, dtype=np.float64)


def render_strip(
    checkpoint: Checkpoint,
    ws: np.ndarray,
    direction: Direction | None,
    steps: np.ndarray,
    band: tuple[int, int] | None = None,
    truncation: float = 1.0,
) -> np.ndarray:
    """Pictures uint8 (K, R, R, 3) of one face (num_ws, w_dim) at K steps in log-HR along `direction`."""
    codes = edited_codes(ws, mean_code(checkpoint), direction, np.asarray(steps), band, truncation)
    return synthesize(checkpoint, codes)


def render(checkpoint: Checkpoint, state: EditState) -> Frame:
    """The picture of one state and its risk relative to the unedited face."""
    base, steps = state.ws, np.array([state.step])
    code = edited_codes(base, mean_code(checkpoint), state.direction, steps, state.band, state.truncation)[0]
    change = 0.0 if state.direction is None else float(state.direction.effect(code.astype(np.float64) - base))
    return Frame(synthesize(checkpoint, code[None])[0], change, code, state)


class FrameCache:
    """The last `size` frames of one checkpoint, least recently used out first. Safe to share between threads."""

    def __init__(self, checkpoint: Checkpoint, size: int = 256) -> None:
        self.checkpoint, self.size = checkpoint, size
        self._frames: OrderedDict[EditState, Frame] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._frames)

    def render(self, state: EditState) -> Frame:
        """`render`, or the same Frame as last time."""
        with self._lock:
            if state in self._frames:
                self._frames.move_to_end(state)
                return self._frames[state]
        frame = render(self.checkpoint, state)
        with self._lock:
            self._frames[state] = frame
            while len(self._frames) > self.size:
                self._frames.popitem(last=False)
        return frame


def luminance_difference(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """`after` minus `before` (uint8 (H, W, 3) each) in luma: float32 (H, W) in [-1, 1], positive where it got lighter.

    Take its absolute value for a map of where the pictures differ.
    """
    change = (after.astype(np.float32) - before.astype(np.float32)) / 255.0
    return change @ np.array(LUMA, dtype=np.float32)
