"""The look: one set of colours, readable, and low risk told from high risk by everyone."""

import tomllib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from ui.shell import theme

CONFIG = tomllib.loads((Path(__file__).resolve().parents[3] / ".streamlit" / "config.toml").read_text("utf-8"))
MODES = [("light", theme.LIGHT), ("dark", theme.DARK)]
# Linear RGB as seen without one kind of cone: Machado, Oliveira, Fernandes 2009, severity 1.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour: str) -> np.ndarray:
    share = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """WCAG 2 contrast ratio."""
    light, dark = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize(("mode", "palette"), MODES)
def test_server_and_browser_use_the_same_colours(mode: str, palette: theme.Colours) -> None:
    told = CONFIG["theme"][mode]
    names = {
        "paper": "backgroundColor",
        "panel": "secondaryBackgroundColor",
        "ink": "textColor",
        "line": "borderColor",
        "accent": "linkColor",
        "low": "blueColor",
        "high": "orangeColor",
        "muted": "grayColor",
    }
    assert {ours: asdict(palette)[ours] for ours in names} == {ours: told[theirs] for ours, theirs in names.items()}
    assert palette.quarters[0] == palette.low
    assert palette.quarters[-1] == palette.high


@pytest.mark.parametrize(("mode", "palette"), MODES)
def test_text_and_marks_stand_out_from_the_page(mode: str, palette: theme.Colours) -> None:
    assert contrast(palette.ink, palette.paper) >= 10
    for colour in (palette.low, palette.high, palette.accent, palette.muted):
        assert contrast(colour, palette.paper) >= 4.5
        assert contrast(colour, palette.panel) >= 4.0
    assert all(contrast(colour, palette.paper) >= 3 for colour in palette.quarters)
    assert contrast(CONFIG["theme"][mode]["primaryColor"], "#FFFFFF") >= 4.3  # labels of primary buttons


@pytest.mark.parametrize(("mode", "palette"), MODES)
@pytest.mark.parametrize("kind", BLINDNESS)
def test_low_and_high_risk_differ_for_the_colour_blind(mode: str, palette: theme.Colours, kind: str) -> None:
    low, high = (lab(np.array(BLINDNESS[kind]) @ linear(c)) for c in (palette.low, palette.high))
    assert np.linalg.norm(low - high) > 30, "a difference of 30 in CIE Lab is unmistakable"


def test_quarters_are_told_apart_without_colour() -> None:
    assert len(set(theme.QUARTER_DASHES)) == len(theme.LIGHT.quarters) == 4


def test_a_figure_takes_the_look() -> None:
    figure = theme.style_figure(go.Figure(go.Scatter(x=[0, 1], y=[0, 1])), height=300)
    assert figure.layout.height == 300
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)", "the page's own background shows through"
    assert figure.layout.font.color == theme.LIGHT.ink


def test_nothing_is_fetched_from_elsewhere() -> None:
    look = [CONFIG["theme"][key] for key in ("font", "headingFont")]
    assert look == ["sans-serif", "serif"], "the families that Streamlit ships"
    ui = Path(theme.__file__).parents[1]
    for file in [*ui.rglob("*.css"), *ui.rglob("*.js"), *ui.rglob("*.html"), theme.ICON]:
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http" not in text, file.name
        assert "@import" not in text, file.name
