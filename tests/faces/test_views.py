"""Views of a face: closed under mirroring, each a small change, the same every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from faces.align import align
from faces.changes.mirror import mirror
from faces.landmarks import Face
from faces.photo import Photo
from faces.views import COUNTS, search_order, views_of
from study.settings import VIEWS

SQUARES = arrays(np.uint8, st.integers(16, 24).map(lambda side: (side, side, 3)))


@given(SQUARES, st.sampled_from(COUNTS))
def test_laws(pixels: np.ndarray, count: int) -> None:
    views = views_of(pixels, count)
    assert views.shape == (count, *pixels.shape)
    np.testing.assert_array_equal(views[0], pixels)
    np.testing.assert_array_equal(views_of(pixels, COUNTS[-1])[:count], views)
    order = search_order(pixels, count)
    np.testing.assert_array_equal(views[order][order], views)
    if count == 1:
        return
    np.testing.assert_array_equal(views[1::2], [mirror(view) for view in views[::2]])
    turned = views_of(mirror(pixels), count)
    np.testing.assert_array_equal(turned, views[np.arange(count) ^ 1])
    np.testing.assert_array_equal(turned[search_order(mirror(pixels), count)], views[order])


def test_views_of_a_face_are_small_changes(astronaut: Photo, astronaut_face: Face) -> None:
    pixels = align(astronaut, astronaut_face, 128).pixels.astype(float)
    views = views_of(pixels.astype(np.uint8), 6).astype(float)
    assert [abs(view.mean() - pixels.mean()) > 5 for view in views[::2]] == [False, True, True]
    assert views[2].mean() > pixels.mean() > views[4].mean()
    for view in views[::2]:
        assert np.abs(view - pixels).mean() < 40
    assert np.abs(np.diff(views[4], axis=1)).mean() < 0.9 * np.abs(np.diff(pixels, axis=1)).mean(), "softer"


def test_other_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="1, 2, 4, 6 views, not 3"):
        views_of(np.zeros((16, 16, 3), np.uint8), 3)
    assert tuple(VIEWS) == COUNTS, "what study.toml takes"
