"""Heuristics and their limits; what of a start checkpoint fits; Freeze-D; loss scaling."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from latent.checkpoints import load_checkpoint
from latent.errors import FinetuneError
from latent.training.adversarial import networks
from latent.training.adversarial.scaling import GROW_AFTER, LossScale
from latent.training.adversarial.settings import automatic, check_hardware, resumed
from tests.latent.training.helpers import SIZE, small_networks, write_start

FP32 = {"precision": "fp32"}


def test_published_heuristics_on_gpus() -> None:
    s = automatic(FP32, 256, "cuda", 2, from_start=False)
    assert (s.batch, s.micro_batch, s.mbstd) == (32, 16, 4)
    assert s.gamma == pytest.approx(2e-4 * 256**2 / 32)
    assert (s.learning_rate, s.ema_kimg, s.ada_kimg, s.channel_base) == (0.0025, 10.0, 500.0, 16384)
    large = automatic(FP32, 1024, "cuda", 8, from_start=True)
    assert (large.batch, large.micro_batch, large.learning_rate, large.ada_kimg) == (32, 4, 0.002, 100.0)
    assert large.channel_base is None


def test_a_processor_gets_small_batches_and_short_runs() -> None:
    s = automatic({}, 64, "cpu", 1, from_start=True)
    assert (s.batch, s.kimg, s.tick_kimg) == (16, 16.0, 1.0)
    assert automatic({}, 256, "cpu", 1, from_start=True).batch == 8
    assert s.precision in ("fp32", "bf16")
    assert (s.ema_kimg, s.ema_rampup, s.g_rampup_kimg) == (1.0, 0.0, 1.0)
    scratch = automatic({}, 64, "cpu", 1, from_start=False)
    assert (scratch.ema_kimg, scratch.ema_rampup, scratch.g_rampup_kimg) == (5.0, 0.05, 0.0)


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"batch": 0}, "--batch"),
        ({"batch": 8, "micro_batch": 3}, "--micro-batch"),
        ({"batch": 8, "mbstd": 3}, "--mbstd"),
        ({"gamma": float("nan")}, "--gamma"),
        ({"mixing": 1.5}, "--mixing"),
        ({"kimg": -1.0}, "--kimg"),
        ({"frechet": 3}, "--frechet"),
    ],
)
def test_invalid_flags_are_named(given: dict, word: str) -> None:
    with pytest.raises(FinetuneError, match=word):
        automatic(given | FP32, 64, "cpu", 1, from_start=True)
    with pytest.raises(FinetuneError, match="--augment must be none below 16 px"):
        automatic(FP32, 8, "cpu", 1, from_start=True)


def test_a_resumed_run_keeps_its_settings() -> None:
    before = automatic(FP32 | {"gamma": 0.3}, 64, "cpu", 1, from_start=True)
    after = resumed(asdict(before), {"kimg": 50.0, "gamma": None, "precision": "auto"})
    assert (after.kimg, after.gamma, after.precision) == (50.0, 0.3, "fp32")
    with pytest.raises(FinetuneError, match=r"--gamma 0\.3, not 0\.5"):
        resumed(asdict(before), {"gamma": 0.5})
    with pytest.raises(FinetuneError, match="damaged"):
        resumed({"gamma": 1}, {})


def test_hardware_that_cannot_carry_the_run() -> None:
    settings = automatic(FP32, 64, "cpu", 1, from_start=True)
    with pytest.raises(FinetuneError, match="does not divide among 3"):
        check_hardware(settings, "cpu", 3)
    with pytest.raises(FinetuneError, match="fp16 is for CUDA"):
        check_hardware(automatic({"precision": "fp16"}, 64, "cuda", 1, from_start=True), "cpu", 1)


def test_all_of_a_start_fits_its_own_layout(tmp_path: Path) -> None:
    start = load_checkpoint(write_start(tmp_path / "start"), parts=("discriminator",))
    settings = automatic(FP32 | {"batch": 4}, SIZE, "cpu", 1, from_start=True)
    generator, discriminator = networks.build(networks.layout(settings, start), 0)
    report = networks.fill_from(start, generator, discriminator)
    assert not report["generator_fresh"]
    assert not report["discriminator_fresh"]
    z = torch.randn(2, 16)
    assert torch.equal(generator.eval()(z), start.generator(z))
    assert (
        networks.copy_sentences("start", report)[0] == f"generator: all {report['generator_copied']} tensors from start"
    )


def test_another_resolution_copies_what_fits_and_says_what_does_not(tmp_path: Path) -> None:
    start = load_checkpoint(write_start(tmp_path / "start"), parts=("discriminator",))
    settings = automatic(FP32 | {"batch": 4}, 2 * SIZE, "cpu", 1, from_start=True)
    generator, discriminator = networks.build(networks.layout(settings, start), 0)
    report = networks.fill_from(start, generator, discriminator)
    assert generator.img_resolution == 2 * SIZE
    assert report["generator_fresh"]
    assert all(".b32." in name for name in report["generator_fresh"])
    assert torch.equal(generator.synthesis.b16.conv1.weight, start.generator.synthesis.b16.conv1.weight)
    assert any(name.startswith("b32.") for name in report["discriminator_fresh"])
    assert "random: synthesis.b32" in networks.copy_sentences("start", report)[0]


def test_other_channels_and_no_discriminator(tmp_path: Path) -> None:
    start = load_checkpoint(write_start(tmp_path / "bare", with_discriminator=False), parts=("discriminator",))
    settings = automatic(FP32 | {"batch": 4, "channel_max": 12}, SIZE, "cpu", 1, from_start=True)
    generator, discriminator = networks.build(networks.layout(settings, start), 0)
    report = networks.fill_from(start, generator, discriminator)
    assert "synthesis.b16.conv1.weight" not in report["generator_fresh"]  # 8 channels before and after
    assert "synthesis.b8.conv1.weight" in report["generator_fresh"]
    assert "has none that fits" in networks.copy_sentences("bare", report)[1]


def test_conditional_starts_are_refused(tmp_path: Path) -> None:
    start = load_checkpoint(write_start(tmp_path / "classes", c_dim=2), parts=("discriminator",))
    settings = automatic(FP32 | {"batch": 4}, SIZE, "cpu", 1, from_start=True)
    with pytest.raises(FinetuneError, match="conditional generator"):
        networks.layout(settings, start)


def test_freeze_counts_convolutions_from_the_image() -> None:
    _, discriminator = small_networks()
    layers = networks.discriminator_layers(discriminator)
    assert layers[0] is discriminator.b16.fromrgb
    assert len(layers) == 4 + 3
    trained = networks.freeze(discriminator, 4)
    frozen = {name for name, p in discriminator.named_parameters() if not any(p is kept for kept in trained)}
    assert frozen == {name for name, _ in discriminator.named_parameters() if name.startswith("b16.")}
    assert len(networks.freeze(discriminator, 0)) == len(list(discriminator.parameters()))
    with pytest.raises(FinetuneError, match="more than the 7 layers"):
        networks.freeze(discriminator, 8)


def test_loss_scale_halves_on_overflow_and_grows_again() -> None:
    scale = LossScale(True)
    start = scale.factor
    assert not scale.accept(torch.tensor(float("inf")))
    assert scale.factor == start / 2
    for _ in range(GROW_AFTER):
        assert scale.accept(torch.tensor(1.0))
    assert scale.factor == start
    again = LossScale(True)
    again.restore(scale.state())
    assert (again.factor, again.good) == (scale.factor, scale.good)
    while scale.factor > 1:
        scale.accept(torch.tensor(float("nan")))
    assert scale.accept(torch.tensor(float("nan")))  # now it has to surface
    assert LossScale(False).accept(torch.tensor(float("nan")))
