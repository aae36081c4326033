"""What one session does on the Health direction page: the edit that is asked for, the frames drawn, the undo list."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from latent.editing.directions import Direction
from study.scoring.strip import Kind, Strip
from ui.background.task import BackgroundTask
from ui.elements import pictures

UPLOADED, PATIENT, RANDOM = "My photo", "Patient", "Random"


@dataclass(frozen=True)
class EditRequest:
    """What the controls ask for: whose face, moved how, by which model.

    source: UPLOADED, PATIENT or RANDOM. face: digest of the photo's code, patient, or seed. stamp: of the scorer whose
    model moves it. tuned: digest of the tuned generator that draws it, "" for the checkpoint's own.
    """

    source: str
    face: str
    kind: Kind
    band: str
    stamp: str
    tuned: str = ""


@dataclass(frozen=True, eq=False)
class DrawnStrip:
    """A strip on screen: the request that it answers, and the code (num_ws, w_dim) that it starts from."""

    strip: Strip
    caption: str
    direction: Direction
    ws: NDArray[np.float32]
    request: EditRequest
    header: dict[str, Any]  # what the scrubber draws next to the frames, as plain values

    @property
    def middle(self) -> int:
        """Index of the unedited face."""
        return len(self.strip.steps) // 2

    @cached_property
    def files(self) -> tuple[list[bytes], str]:
        """The frames as files for the browser, and their MIME type."""
        return pictures.encode_frames(self.strip.frames)


@dataclass
class EditingState:
    """drawing: the request being drawn, or that failed, and its task. drawn: the frames on screen. index: where the
    slider is. placed: index at which the page put the slider, and how often it did: the browser obeys each new count.
    undo: (request, index), the newest last.
    """

    drawing: tuple[EditRequest, BackgroundTask[DrawnStrip]] | None = None
    drawn: DrawnStrip | None = None
    index: int = 0
    placed: tuple[int, int] = (0, 0)
    undo: list[tuple[EditRequest, int]] = field(default_factory=list)

    def cancel(self) -> None:
        """Stop drawing, if anything is being drawn."""
        if self.drawing is not None:
            self.drawing[1].cancel()
        self.drawing = None

    def forget(self, source: str) -> None:
        """Forget frames, on screen or being drawn, and undo steps of the faces from `source`."""
        if self.drawing is not None and self.drawing[0].source == source:
            self.cancel()
        if self.drawn is not None and self.drawn.request.source == source:
            self.drawn = None
        self.undo = [entry for entry in self.undo if entry[0].source != source]


def editing() -> EditingState:
    """This session's edits."""
    state: EditingState = st.session_state.setdefault("editing", EditingState())
    return state
