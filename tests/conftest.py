"""What tests of several rooms share."""

import os
import tempfile
from pathlib import Path

# Before torch is imported: the networks of the tests are so small that threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What else of this project runs on the machine must not decide how many workers a test gets.
os.environ["LATENT_HEALTH_CACHE"] = tempfile.mkdtemp(prefix="cache-")
os.environ["LATENT_HEALTH_THREADS"] = tempfile.mkdtemp(prefix="threads-")

import pytest
import torch
from hypothesis import HealthCheck, settings

from latent.checkpoints import save_checkpoint
from latent.encoder import WPlusEncoder
from latent.stylegan2 import Discriminator, Generator

# No clocks: on a busy machine an example may take any time, and so may drawing it.
settings.register_profile("no clocks", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clocks")


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


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several test processes (pytest -n) the tests of a file share one, and so do all that use the browser.

    The browser's come first: they take longest and mostly wait, so the other processes have their work meanwhile.
    """
    for item in items:
        place = item.path.relative_to(Path(__file__).parent)
        if place.parts[0] == "browser":
            item.add_marker("browser")
            place = place.parent
        item.add_marker(pytest.mark.xdist_group(place.as_posix()))
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)
