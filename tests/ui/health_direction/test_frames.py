"""Labels of the slider, everything sent to the scrubber, and what can be downloaded."""

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from PIL import ImageFont

from latent.editing.render import synthesize
from study.scoring.scorer import Scorer
from study.scoring.strip import RANGES, log_hr_steps
from tests.ui.conftest import Places
from tests.ui.health_direction.test_scrubber import unpack
from ui.background.task import BackgroundTask
from ui.elements import pictures
from ui.health_direction import frames
from ui.health_direction.scrubber import pack
from ui.health_direction.state import PATIENT, DrawnStrip, EditRequest


@pytest.fixture(scope="module")
def scorer(places: Places) -> Scorer:
    return Scorer.open(places.study, places.checkpoint)


@pytest.fixture(scope="module")
def drawn(scorer: Scorer) -> DrawnStrip:
    request = EditRequest(PATIENT, "P0004", "coefficients", "All", scorer.stamp)
    code = np.asarray(scorer.codes[3])
    task = BackgroundTask("frames", lambda report: frames.render(report, scorer, request, code, code, "A face")).start()
    seen = task.wait(120)
    assert seen.state == "done", seen.error
    assert task.result is not None
    return task.result


def steps_to(end: float) -> np.ndarray:
    return log_hr_steps(float(np.log(end)), 2 * frames.FRAMES_A_SIDE + 1)


def words(marks: list[dict[str, Any]]) -> list[str]:
    return [m["label"].replace("\u2009", "") for m in marks]


def test_labels_stand_where_the_hazard_doubles_exactly() -> None:
    steps = steps_to(8.0)
    marks = frames.marks(steps)
    assert [round(float(np.exp(steps[m["index"]])), 9) for m in marks] == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert words(marks) == ["×1/8", "×1/4", "×1/2", "start", "×2", "×4", "×8"]
    assert len(steps) >= 25


@pytest.mark.parametrize("end", RANGES)
def test_every_range_has_its_labels_at_what_they_say(end: float) -> None:
    steps = steps_to(end)
    marks = frames.marks(steps)
    assert marks[-1]["index"] == len(steps) - 1
    assert len(marks) == 2 * RANGES[end] + 1
    values = [1.0 if word == "start" else float(Fraction(word[1:])) for word in words(marks)]
    assert np.allclose(values, np.exp(steps[[m["index"] for m in marks]]), atol=0.006)


def test_the_middle_frame_is_the_face_itself(scorer: Scorer, drawn: DrawnStrip) -> None:
    assert drawn.strip.steps[drawn.middle] == 0
    assert np.array_equal(drawn.strip.frames[drawn.middle], synthesize(scorer.checkpoint, drawn.ws[None])[0])


def test_a_step_labelled_times_two_doubles_the_modelled_hazard(drawn: DrawnStrip) -> None:
    strip = drawn.strip
    assert np.allclose(strip.log_hr - strip.log_hr[drawn.middle], strip.steps, atol=2e-3)


def test_what_the_browser_gets_fits_together(drawn: DrawnStrip, scorer: Scorer) -> None:
    header, files = unpack(pack(*drawn.files, drawn.header, (5, 1)))
    count = len(drawn.strip.steps)
    assert len(files) == count
    for name in ("log_hr", "score", "percentile", "curves", "survival"):
        assert len(header[name]) == count, name
    assert all(len(curve) == len(header["times"]) for curve in header["curves"])
    assert all(len(group["values"]) == len(header["times"]) for group in header["cohort"])
    assert all(len(row) == len(header["horizons"]) > 0 for row in header["survival"])
    assert sum(header["histogram"]["counts"]) == len(scorer.patients)
    assert header["log_hr"][header["origin"]] == 0
    curves = np.array(header["curves"], float)
    assert (np.diff(curves, axis=1) <= 1e-9).all(), "survival never rises with time"
    assert (np.diff(curves, axis=0) <= 1e-9).all(), "nor with the hazard"
    assert np.allclose(curves[:, 0], 1.0)
    carried = scorer.model.horizons(scorer.study.horizons).carried
    assert header["horizons"] == [f"{t:g}" for t in carried]
    scores = scorer.cohort_log_hr
    outside = (drawn.strip.log_hr > scores.max()).astype(int) - (drawn.strip.log_hr < scores.min())
    assert header["extrapolated"] == outside.tolist()
    json.dumps(header, allow_nan=False)


def test_numbers_beyond_the_follow_up_are_left_out_and_not_made_up() -> None:
    assert frames.rounded([0.25, float("nan")], 2) == [0.25, None]


def test_the_strip_to_download_has_readable_labels(drawn: DrawnStrip, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    draw = pictures.strip
    monkeypatch.setattr(pictures, "strip", lambda frames, labels: written.extend(labels) or draw(frames, labels))
    frames.sheet(drawn.strip)
    font = ImageFont.load_default(size=21)
    missing = bytes(font.getmask("\uffff"))
    assert len(written) == len(frames.marks(drawn.strip.steps)) >= 3
    assert all(bytes(font.getmask(letter)) != missing for letter in set("".join(written)) - {" "})


def test_scores_that_no_patient_has_are_said_to_be_extrapolated(drawn: DrawnStrip) -> None:
    strip = replace(drawn.strip, extrapolated=np.array([-1, 0, 0, 1]))
    assert ["extrapolated" in frames.beyond(strip, i) for i in range(4)] == [True, False, False, True]


def test_downloads(drawn: DrawnStrip, scorer: Scorer) -> None:
    strip = drawn.strip
    lines = frames.table(strip, scorer.study.time_unit).strip().splitlines()
    assert len(lines) == len(strip.steps) + 1
    first = scorer.model.horizons(scorer.study.horizons).carried[0]
    assert lines[0].startswith(f"step_log_hr,step_hr,log_hr_to_median,percentile,survival_{first:g}_months")
    assert frames.sheet(strip).startswith(b"\x89PNG")
    end = float(np.exp(scorer.steps(1)[-1]))
    words = frames.hr_text(strip, len(strip.steps) - 1)
    assert words.startswith(f"×\u2009{end:.2f} (log hazard ratio +{np.log(end):.2f})")


def test_the_start_has_its_limits_and_its_band(drawn: DrawnStrip, scorer: Scorer) -> None:
    limits = drawn.header["limits"]
    assert len(limits["low"]) == len(limits["high"]) == len(drawn.header["times"])
    start = drawn.header["origin"]
    assert limits["percentile"][0] <= drawn.header["percentile"][start] <= limits["percentile"][1]
    for (low, high), survival in zip(limits["survival"], drawn.header["survival"][start], strict=True):
        assert low <= survival <= high
    assert "90 % interval" in drawn.header["curve_title"]
    without = frames.header(replace(drawn.strip, interval=None), "A face", scorer)
    assert without["limits"] is None
    assert "interval" not in without["curve_title"]
