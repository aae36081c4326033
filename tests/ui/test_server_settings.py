"""What the server is started with."""

from __future__ import annotations

import tomllib
from pathlib import Path

from streamlit import config

SETTINGS = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"


def test_no_collection_of_garbage_after_every_run() -> None:
    """It takes longer than the pause between two looks at a running job, and holds the interpreter meanwhile."""
    settings = tomllib.loads(SETTINGS.read_text("utf-8"))
    assert settings["runner"]["postScriptGC"] is False
    assert "runner.postScriptGC" in config.get_config_options(), "this Streamlit knows the option under another name"
