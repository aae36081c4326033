"""The training benchmark: planar memory stays planar, and its table comes out of really trained steps."""

import pytest
import torch

from bench import finetune
from latent.stylegan2 import Discriminator


def test_planar_keeps_tensors_planar_and_changes_no_number() -> None:
    x = torch.randn(2, 3, 8, 8)
    with finetune.Planar():
        assert x.contiguous(memory_format=torch.channels_last).is_contiguous()
    assert not x.contiguous(memory_format=torch.channels_last).is_contiguous()
    torch.manual_seed(0)
    discriminator = Discriminator(0, 16, 3, channel_base=128, channel_max=8)
    image = torch.randn(4, 3, 16, 16)
    wanted = discriminator(image)
    with finetune.Planar():
        assert torch.allclose(discriminator(image), wanted, atol=1e-5)


@pytest.mark.slow
def test_the_table() -> None:
    result = finetune.run(["--resolution", "16", "--batch", "4", "--rounds", "1", "--device", "cpu"])
    assert [row["loop"] for row in result["rows"]][-1] == "baseline"
    assert result["rows"][-1]["times faster"] == 1.0
    assert all(row["images/s"] > 0 for row in result["rows"])
