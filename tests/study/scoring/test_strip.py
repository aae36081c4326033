"""How far a face is moved, and by which layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.scoring.strip import DEVIATIONS, RANGES, band_layers, largest_ratio, range_note


@given(st.floats(1e-6, 10), st.integers(2, 400))
def test_a_face_is_moved_as_far_as_the_cohort_spreads(spread: float, n: int) -> None:
    end = largest_ratio(np.resize([-spread, spread], 2 * n))
    widest = DEVIATIONS * spread
    assert np.log(end) <= widest or end == min(RANGES)
    assert all(np.log(wider) > widest for wider in RANGES if wider > end)


def test_a_narrow_range_is_explained() -> None:
    sentence = range_note(np.array([-0.03, 0.03]))
    assert sentence.startswith(
        "The range ends at × 1.1: the log hazard ratios of this cohort have a standard deviation"
    )
    assert "0.03" in sentence
    assert range_note(np.array([-0.6, 0.6])) == ""


@pytest.mark.parametrize("num_ws", [6, 8, 10, 12, 14, 18])
def test_bands_cover_every_layer_once(num_ws: int) -> None:
    bands = [band_layers(name, num_ws) for name in ("Coarse", "Middle", "Fine")]
    layers = [layer for band in bands if band is not None for layer in range(*band)]
    assert layers == list(range(num_ws))
    assert band_layers("All", num_ws) is None
