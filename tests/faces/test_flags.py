"""Flags on disk and back, and those of files from before they had kinds."""

import math

from hypothesis import given
from hypothesis import strategies as st

from faces.flags import KINDS, OTHER, TURNED, Flag, flags_text, read_flags, sentences

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
VALUES = st.floats(-1e6, 1e6).map(lambda v: round(v, 4))
FLAGS = st.lists(st.builds(Flag, st.sampled_from(KINDS), VALUES, TEXT), max_size=4)


@given(FLAGS)
def test_flags_come_back(flags: list[Flag]) -> None:
    text = flags_text(flags)
    assert read_flags(text) == tuple(flags)
    assert len([line for line in text.split("\n") if line]) == len(flags), "a line each"


def test_a_missing_value_comes_back() -> None:
    flag = Flag(TURNED, math.nan, "x")
    assert math.isnan(read_flags(flags_text([flag]))[0].value)
    assert read_flags(flags_text([flag])) == (flag,)


def test_sentences_of_earlier_files_get_their_kinds() -> None:
    earlier = {
        "The face is turned 40° to the side: use a photo that faces the camera.": "turned",
        "The face is overexposed (31% of it is pure white): use a photo with softer light.": "overexposed",
        "20% of the head lies outside the photo and was filled in: use a wider photo.": "cut off",
        "[1, 2": OTHER,
        "[1, 2, 3]": OTHER,
        "Something else.": OTHER,
    }
    flags = read_flags("\n".join(earlier))
    assert [flag.kind for flag in flags] == list(earlier.values())
    assert sentences(flags, "\n") == "\n".join(earlier)
    assert read_flags("") == ()
