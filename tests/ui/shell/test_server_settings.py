"""What the server is started with."""

from __future__ import annotations

import gc
import tomllib
from pathlib import Path

import pytest
from streamlit import config

from ui.shell import resources

SETTINGS = Path(__file__).resolve().parents[3] / ".streamlit" / "config.toml"


def test_no_collection_of_garbage_after_every_run() -> None:
    """It takes longer than the pause between two looks at a running job, and holds the interpreter meanwhile."""
    settings = tomllib.loads(SETTINGS.read_text("utf-8"))
    assert settings["runner"]["postScriptGC"] is False
    assert "runner.postScriptGC" in config.get_config_options(), "this Streamlit knows the option under another name"


@pytest.mark.parametrize("name", ["json", "no_such_module"])
def test_what_warming_up_made_is_left_out_of_later_collections(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it fails: collections go on afterwards."""
    during: list[bool] = []
    real = resources.importlib.import_module

    def load(module: str) -> object:
        during.append(gc.isenabled())
        return real(module)

    monkeypatch.setattr(resources, "HEAVY", (name,))
    monkeypatch.setattr(resources.importlib, "import_module", load)
    before = gc.get_freeze_count()
    try:
        resources._warm_up()
        assert during == [False]
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.unfreeze()
