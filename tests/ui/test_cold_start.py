"""What the first page of a fresh server loads before its last picture is drawn, and what it does without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ui.conftest import APP, Places

FIRST_PAGE = """
import sys
from pathlib import Path
from latent.checkpoints import load_checkpoint
from study.disk.store import Study
from study.scoring.scorer import Scorer
from study.scoring.strip import log_hr_steps
from latent.editing.render import synthesize
from latent.space import sample_ws
from ui.background import missing
from ui.elements import blocks
from ui.home import overview
from ui.shell import gate, resources, sidebar, theme

study, checkpoint = Study.open(sys.argv[1]), load_checkpoint(Path(sys.argv[2]))
study.latents(checkpoint.sha256)
scorer = Scorer.open(study, checkpoint)
scorer.changed
scorer.strip(scorer.codes[0], scorer.direction(), log_hr_steps(1.0, 3))
synthesize(checkpoint, sample_ws(checkpoint.generator, [1], 0.7))
print(*sorted(sys.modules))
"""
SLOW = ("scipy", "sklearn", "sksurv", "torch.fx.experimental.symbolic_shapes", "torch._dynamo")


@pytest.mark.slow
def test_home_waits_for_no_library_that_it_does_not_need(places: Places) -> None:
    """Each of these takes a good part of a second to import; `ui.shell.resources.warm_up` does it after the page."""
    command = [sys.executable, "-c", FIRST_PAGE, str(places.study.path), str(places.checkpoint.path)]
    done = subprocess.run(command, cwd=Path(APP).parent, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert {"torch", "pandas", "study.scoring.scorer"} <= loaded
    assert sorted(loaded & set(SLOW)) == []
