"""The slider's steps, bands of layers, and everything sent to the scrubber."""

import json
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ImageFont

from latent.editing.render import synthesize
from study.scoring.direction import health_direction
from study.scoring.score import Scorer
from tests.ui.conftest import Places
from ui.background.task import Job
from ui.elements import pictures
from ui.health_direction import frames as strips
from ui.health_direction import reach
from ui.health_direction.controls import Wish
from ui.health_direction.scrubber import unpack
from ui.shell.resources import Cohort


@pytest.fixture(scope="module")
def cohort(places: Places) -> Cohort:
    return Cohort(Scorer.open(places.study, places.checkpoint))


@pytest.fixture(scope="module")
def shown(places: Places, cohort: Cohort) -> strips.Shown:
    direction = health_direction(cohort.scorer)
    code = np.asarray(cohort.codes[3])
    job = Job("frames", lambda report: strips.render(report, cohort, code, direction)).start()
    seen = job.wait(120)
    assert seen.state == "done", seen.error
    assert job.result is not None
    return strips.Shown(job.result, "A face", direction, code, Wish("Patient", "P0004", "coefficients", "All", ""))


def words(marks: list[dict[str, Any]]) -> list[str]:
    return [m["label"].replace("\u2009", "") for m in marks]


def test_labels_stand_where_the_hazard_doubles_exactly() -> None:
    steps = reach.steps_to(8.0, strips.FRAMES_A_SIDE)
    marks = reach.marks(steps)
    assert [round(float(np.exp(steps[m["index"]])), 9) for m in marks] == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert words(marks) == ["×1/8", "×1/4", "×1/2", "start", "×2", "×4", "×8"]
    assert len(steps) >= 25


@pytest.mark.parametrize("end", reach.PARTS)
def test_every_range_has_its_labels_at_what_they_say(end: float) -> None:
    steps = reach.steps_to(end, strips.FRAMES_A_SIDE)
    marks = reach.marks(steps)
    assert marks[-1]["index"] == len(steps) - 1
    assert len(marks) == 2 * reach.PARTS[end] + 1
    told = [1.0 if word == "start" else float(Fraction(word[1:])) for word in words(marks)]
    assert np.allclose(told, np.exp(steps[[m["index"] for m in marks]]), atol=0.006)


@given(st.floats(1e-6, 10), st.integers(2, 400))
def test_a_face_is_moved_as_far_as_the_cohort_spreads(spread: float, n: int) -> None:
    scores = np.resize([-spread, spread], 2 * n)
    end = reach.end_of(scores)
    widest = reach.DEVIATIONS * spread
    assert np.log(end) <= widest or end == min(reach.PARTS)
    assert all(np.log(wider) > widest for wider in reach.PARTS if wider > end)


def test_a_cohort_whose_scores_hardly_differ_is_told_where_the_range_ends(cohort: Cohort) -> None:
    def spread(end: float) -> Cohort:
        return Cohort(replace(cohort.scorer, model=SimpleNamespace(oof_log_hr_=np.array([-end, end]))))

    flat = spread(0.03)
    assert reach.bounds(flat).startswith("The range ends at ×\u20091.1: scores of this cohort spread by 0.03")
    assert reach.bounds(spread(0.6)) == ""


@pytest.mark.parametrize("num_ws", [6, 8, 10, 12, 14, 18])
def test_bands_cover_every_layer_once(num_ws: int) -> None:
    bands = [strips.band_layers(name, num_ws) for name in ("Coarse", "Middle", "Fine")]
    layers = [layer for band in bands if band is not None for layer in range(*band)]
    assert layers == list(range(num_ws))
    assert strips.band_layers("All", num_ws) is None


def test_the_middle_frame_is_the_face_itself(places: Places, shown: strips.Shown) -> None:
    middle = len(shown.strip.steps) // 2
    assert shown.strip.steps[middle] == 0
    assert np.array_equal(shown.strip.frames[middle], synthesize(places.checkpoint, shown.ws[None])[0])


def test_a_step_labelled_times_two_doubles_the_modelled_hazard(shown: strips.Shown) -> None:
    strip = shown.strip
    middle = len(strip.steps) // 2
    change = strip.log_hr - strip.log_hr[middle]
    assert np.allclose(change, strip.steps, atol=2e-3)


def test_what_the_browser_gets_fits_together(shown: strips.Shown, cohort: Cohort) -> None:
    header, frames = unpack(strips.payload(shown, cohort, (5, 1)))
    count = len(shown.strip.steps)
    assert len(frames) == count
    for name in ("log_hr", "score", "percentile", "curves", "survival"):
        assert len(header[name]) == count, name
    assert all(len(curve) == len(header["times"]) for curve in header["curves"])
    assert all(len(group["values"]) == len(header["times"]) for group in header["cohort"])
    assert all(len(row) == len(header["horizons"]) > 0 for row in header["survival"])
    assert sum(header["histogram"]["counts"]) == len(cohort.table)
    assert header["log_hr"][header["origin"]] == 0
    curves = np.array(header["curves"], float)
    assert (np.diff(curves, axis=1) <= 1e-9).all(), "survival never rises with time"
    assert (np.diff(curves, axis=0) <= 1e-9).all(), "nor with the hazard"
    assert np.allclose(curves[:, 0], 1.0)
    carried = cohort.model.horizons(cohort.study.horizons).carried
    assert header["horizons"] == [f"{t:g}" for t in carried]
    scores = cohort.model.cohort_["log_hr"]
    outside = (shown.strip.log_hr > scores.max()).astype(int) - (shown.strip.log_hr < scores.min())
    assert header["extrapolated"] == outside.tolist()
    json.dumps(header, allow_nan=False)


def test_numbers_beyond_the_follow_up_are_left_out_and_not_made_up() -> None:
    assert strips.rounded([0.25, float("nan")], 2) == [0.25, None]


def test_the_strip_to_take_away_has_readable_labels(shown: strips.Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    drawn = pictures.strip
    monkeypatch.setattr(pictures, "strip", lambda frames, labels: written.extend(labels) or drawn(frames, labels))
    strips.sheet(shown.strip)
    font = ImageFont.load_default(size=21)
    missing = bytes(font.getmask("\uffff"))
    assert len(written) == len(reach.marks(shown.strip.steps)) >= 3
    assert all(bytes(font.getmask(letter)) != missing for letter in set("".join(written)) - {" "})


def test_scores_that_no_patient_has_are_said_to_be_extrapolated(shown: strips.Shown, cohort: Cohort) -> None:
    scores = np.sort(cohort.model.cohort_["log_hr"].to_numpy())
    strip = replace(shown.strip, log_hr=np.array([scores[0] - 0.01, scores[0], 0.0, scores[-1], scores[-1] + 0.01]))
    assert ["extrapolated" in strips.beyond(strip, cohort, i) for i in range(5)] == [True, False, False, False, True]


def test_downloads(shown: strips.Shown, cohort: Cohort) -> None:
    lines = strips.table(shown.strip, cohort).strip().splitlines()
    assert len(lines) == len(shown.strip.steps) + 1
    first = cohort.model.horizons(cohort.study.horizons).carried[0]
    assert lines[0].startswith(f"step_log_hr,step_hr,log_hr_to_median,percentile,survival_{first:g}_months")
    assert strips.sheet(shown.strip).startswith(b"\x89PNG")
    end = reach.end_of(cohort.model.oof_log_hr_)
    told = strips.hr_text(shown.strip, len(shown.strip.steps) - 1)
    assert told.startswith(f"×\u2009{end:.2f} (log-HR +{np.log(end):.2f})")
