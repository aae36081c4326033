"""What tests of several rooms share."""

import os
import tempfile
from pathlib import Path
from typing import Any

# Before torch is imported: the networks of the tests are so small that threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What else of this project runs on the machine must not decide how many workers a test gets.
os.environ["LATENT_HEALTH_CACHE"] = tempfile.mkdtemp(prefix="cache-")
os.environ["LATENT_HEALTH_THREADS"] = tempfile.mkdtemp(prefix="threads-")

import pytest
import torch
from hypothesis import HealthCheck, settings

from latent.checkpoints import save_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.stylegan2 import Discriminator, Generator

# No clocks: on a busy machine an example may take any time, and so may drawing it.
settings.register_profile("no clocks", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clocks")

BROWSER = Path(__file__).parent / "browser"


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete checkpoint of 32 px with random weights, the same ones every time. Not to be changed:
    tests that change a checkpoint copy the folder first."""
    torch.manual_seed(20)
    generator = Generator(
        64,
        0,
        64,
        32,
        3,
        mapping_kwargs={"num_layers": 2},
        synthesis_kwargs={"channel_base": 512, "channel_max": 32},
    )
    with torch.no_grad():
        generator.mapping.w_avg.copy_(generator.mapping(torch.randn(2000, 64), update_emas=False)[:, 0].mean(dim=0))
    generator.eval()
    discriminator = Discriminator(0, 32, 3, channel_base=512, channel_max=32).eval()
    encoder = WPlusEncoder(32, generator.num_ws, 64, width=8, w_avg=generator.mapping.w_avg).eval()
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    config = {"source": "random weights", "licence": "none: made by a test"}
    return save_checkpoint(folder, generator, discriminator, encoder, config, samples=2000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's tests come first: they take longest and mostly wait, so that with several test processes (pytest
    -n) the others have their work meanwhile."""
    for item in items:
        if BROWSER in item.path.parents:
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process more than cores: that of the browser tests mostly waits for pages."""
    return min(4, len(os.sched_getaffinity(0)) + 1) if hasattr(os, "sched_getaffinity") else 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """The tests of a file share a test process, and so do all that use the browser. (`xdist_group` does nothing with
    pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "browser" if BROWSER in Path(config.rootpath, file).parents else file

    return ByFile(config, log)
