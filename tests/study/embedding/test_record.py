"""Which settings a new code is searched with: those of the study's codes, whatever the preset has become since."""

from types import SimpleNamespace
from typing import cast

import pytest

from latent.inversion.settings import PRESETS, InversionSettings
from study.disk.latents import Embedding
from study.disk.store import Study
from study.embedding.record import code_settings, inversion_settings

EARLIER = {
    "name": "balanced",
    "steps": 31,
    "learning_rate": 0.2,
    "perceptual": 4.0,
    "identity": 0.1,
    "pixel": 1.0,
    "plausibility": 0.003,
    "patience": 25,
    "tolerance": 0.005,
    "seed": 0,
    "memory": 30,
}  # the demo's record of November 2026


def study(preset: str, record: Embedding | None) -> Study:
    settings = SimpleNamespace(preset=preset)
    return cast(Study, SimpleNamespace(settings=settings, has_latents=record is not None, embedding=record))


def recorded(settings: dict[str, object]) -> Embedding:
    return Embedding("tiny", "c" * 64, "balanced", 2, 3, settings={**settings, "aligned": False})


def test_settings_of_earlier_codes_are_read_and_written_as_they_were() -> None:
    settings = inversion_settings(recorded(EARLIER))
    assert settings == InversionSettings("balanced", steps=31)
    assert settings.as_dict() == EARLIER


def test_codes_on_record_decide() -> None:
    assert code_settings(study("balanced", recorded(EARLIER))) == InversionSettings("balanced", steps=31)


@pytest.mark.parametrize("record", [None, recorded({}), recorded(PRESETS["balanced"].as_dict())])
def test_otherwise_the_preset(record: Embedding | None) -> None:
    assert code_settings(study("balanced", record)) == PRESETS["balanced"]
    assert code_settings(study("fast", record)) == PRESETS["fast"]
