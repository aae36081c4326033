"""study.toml: a schema with sentences, and a writer whose text reads back the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.errors import Findings, StudyError
from study.settings import PRESETS, Settings, parse_settings, settings_text


def parse(text: str) -> tuple[Settings, Findings]:
    findings = Findings()
    return parse_settings(text.encode(), findings), findings


SCALARS = st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(-1e9, 1e9), st.text(max_size=20))


@pytest.mark.slow
@given(
    title=st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(str.strip),
    horizons=st.lists(st.floats(0.1, 900, allow_nan=False), min_size=1, max_size=5, unique=True),
    simulation=st.dictionaries(st.from_regex(r"[a-z_]{1,12}", fullmatch=True), SCALARS, max_size=4),
)
def test_round_trip(title: str, horizons: list[float], simulation: dict) -> None:
    settings = Settings(name="a-b_1", title=title, horizons=tuple(sorted(horizons)), simulation=simulation)
    back, findings = parse(settings_text(settings, ("a comment", "")))
    assert not findings.items
    assert back == settings


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('name = "../x"', "name must be"),
        ('time_unit = "aeons"', "time_unit must be one of days"),
        ("horizons = [12, -1]", "horizons must be"),
        ("horizons = [true]", "horizons must be"),
        ("horizons = [nan]", "horizons must be"),
        ("simulated = 1", "simulated must be true or false"),
        ("columns = 3", "columns must be"),
        ('[embedding]\npreset = "best"', "embedding.preset must be one of fast"),
        ("[embedding]\nviews = 3", "embedding.views must be one of 1, 2, 4, 6"),
        ("[embedding]\nviews = true", "embedding.views must be one of 1, 2, 4, 6"),
        ('[embedding]\ncheckpoint = "../../etc"', "embedding.checkpoint must be"),
        ("[events]\nevent = []", "events.event must be"),
        ('[events]\nevent = ["1"]\ncensored = ["1", "0"]', "both event and censored"),
        ('[columns]\ntime = "a"\nevent = "a"', "one column for two"),
    ],
)
def test_wrong_values_are_named(line: str, words: str) -> None:
    start = "" if line.startswith("name") else 'name = "x"\n'
    _, findings = parse(f'title = "t"\n{start}{line}\n')
    assert any(words in str(f) for f in findings.errors), [str(f) for f in findings]


def test_unknown_keys_are_warned_of() -> None:
    settings, findings = parse('name = "x"\ntitle = "t"\nhorizon = [1]\n')
    assert not findings.errors
    assert "Did you mean horizons?" in str(findings.items[0])
    assert settings.horizons == (12, 24, 60)


@pytest.mark.parametrize("text", ["name = ", "[" * 5000, "\x00", "a = 1\na = 2"])
def test_no_toml(text: str) -> None:
    with pytest.raises(StudyError, match="not valid TOML"):
        parse(text)


def test_missing_name_is_an_error() -> None:
    _, findings = parse("")
    assert {str(f).split(":")[1].split()[0] for f in findings.errors} == {"name", "title"}


def test_presets_are_those_of_the_inversion() -> None:
    from latent.inversion import invert

    assert set(PRESETS) == set(invert.PRESETS)
