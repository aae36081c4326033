"""The repeatability bench: coverage, differences and agreement of scores that are known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.parts.common import Results
from bench.repeatability import FIRST, MIRROR, OTHER, parse, report, score_all


def person(first: float, other: float, mirror: float, reach: float) -> dict[str, dict[str, float]]:
    scores = {FIRST: first, OTHER: other, MIRROR: mirror}
    return {name: {"log_hr": s, "low": s - reach, "high": s + reach} for name, s in scores.items()}


def test_pairs_count_both_ways_round() -> None:
    people = [person(0.0, 0.1, 0.0, 0.2), person(1.0, 1.5, 1.01, 0.2), person(-1.0, -1.2, -1.0, 0.3)]
    people.append({**person(2.0, 2.5, 2.0, 0.2), OTHER: {"log_hr": 2.5, "low": 1.9, "high": 3.1}})
    result = report(people, seed=0)
    rows = {row[""]: row for row in result["rows"]}
    assert result["persons"] == 4
    held = rows["interval holds the other photo's score (nominal 90 %)"]
    assert held["value"] == pytest.approx(5 / 8), "of the last pair only the second photo's interval is wide enough"
    assert held["low"] < held["value"] < held["high"]
    assert rows["mean absolute difference, other light and pose"]["value"] == pytest.approx((0.1 + 0.5 + 0.2 + 0.5) / 4)
    assert rows["largest absolute difference, mirror image"]["value"] == pytest.approx(0.01)
    assert 0.9 < rows["ICC(2,1) of the two photos"]["value"] < 1
    assert [target["met"] for target in result["targets"]] == [False, True]


def test_nominal_intervals_of_known_scores_hold_nine_in_ten() -> None:
    rng = np.random.default_rng(0)
    people = []
    for _ in range(3000):
        own, sd = rng.normal(), 0.3
        first, other = own + sd * rng.normal(size=2)
        people.append(person(first, other, first, 1.645 * sd * 2**0.5))
    assert report(people, seed=0)["rows"][0]["value"] == pytest.approx(0.9, abs=0.015)


def test_scores_are_kept_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = []
    for i in range(3):
        files = (tmp_path / f"{i}-a.jpg", tmp_path / f"{i}-b.jpg")
        for file in files:
            file.write_bytes(file.name.encode())
        pairs.append(files)
    asked: list[int] = []

    def score_faces(faces: list[Any]) -> list[Any]:
        asked.append(len(faces))
        return [f"refused {face}" for face in faces]

    scorer: Any = SimpleNamespace(
        checkpoint=None, study=SimpleNamespace(settings=SimpleNamespace(aligned=False)), score_faces=score_faces
    )
    monkeypatch.setattr("bench.repeatability.target_size", lambda checkpoint: 8)
    monkeypatch.setattr("bench.repeatability.prepare", lambda photo, aligned, size: photo.name)
    monkeypatch.setattr("bench.repeatability.mirrored", lambda face: f"{face} mirrored")
    kept = tmp_path / "scores.json"
    assert score_all(scorer, pairs, Results(kept, {"scorer": "s"})) == [], "nobody could be scored"
    assert asked == [3, 3, 3]
    score_all(scorer, pairs, Results(kept, {"scorer": "s"}))
    assert asked == [3, 3, 3]


def test_options(tmp_path: Path) -> None:
    options = parse([str(tmp_path), "--persons", "5"])
    assert options.renderer == tmp_path
    assert options.photos.name == "repeatability-22"
    with pytest.raises(SystemExit):
        parse([str(tmp_path), "--persons", "2"])
