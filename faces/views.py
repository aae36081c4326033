"""Views of an aligned face: the photo, its mirror image, and what a camera might as well have taken, each mirrored too.

A face's features are the mean over its views, so that they hang less on the photo, and not at all on which way round it
is. Views 2i and 2i + 1 are mirror images of each other: the views of a mirrored photo are those of the photo, with the
two of each pair exchanged, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from faces.align import resize
from faces.changes.camera import cropped, lit, out_of_focus
from faces.changes.mirror import is_mirrored, mirror

Pixels = NDArray[np.uint8]
COUNTS = (1, 2, 4, 6)
CLOSER = 0.03  # of each side of the square that a closer frame leaves out
THIRD_STOP = 2 ** (1 / 3)  # of light
SOFT = 1 / 128  # standard deviation of the blur, of the square's side
_LIGHTER, _DARKER = lit((THIRD_STOP,) * 3), lit((1 / THIRD_STOP,) * 3)


def _closer_and_lighter(pixels: Pixels) -> Pixels:
    return _LIGHTER(resize(cropped(pixels, CLOSER, CLOSER, CLOSER, CLOSER), pixels.shape[0]))


def _softer_and_darker(pixels: Pixels) -> Pixels:
    return _DARKER(out_of_focus(pixels, SOFT * pixels.shape[0]))


CHANGES: tuple[Callable[[Pixels], Pixels], ...] = (np.copy, _closer_and_lighter, _softer_and_darker)


def views_of(pixels: Pixels, count: int) -> NDArray[np.uint8]:
    """The first `count` views of an aligned face uint8 (S, S, 3): uint8 (count, S, S, 3).

    View 0 is the photo, 1 its mirror image; 2 a closer frame in a third of a stop more light, 4 a slightly softer
    picture in as much less, 3 and 5 their mirror images. Raises ValueError for a count that is not one of COUNTS.
    """
    if count not in COUNTS:
        raise ValueError(f"a face has {', '.join(map(str, COUNTS))} views, not {count}")
    if count == 1:
        return pixels[None].copy()
    turned = is_mirrored(pixels)
    made = [change(mirror(pixels) if turned else pixels) for change in CHANGES[: count // 2]]
    views = np.stack([view for each in made for view in (each, mirror(each))])
    return views[np.arange(count) ^ 1] if turned else views


def search_order(pixels: Pixels, count: int) -> NDArray[np.int_]:
    """Places (count,) of the views of an aligned face in an order in which a photo and its mirror image give the same
    pictures. Each is the place of its place: views[order][order] are the views."""
    places = np.arange(count)
    return places ^ 1 if count > 1 and is_mirrored(pixels) else places
