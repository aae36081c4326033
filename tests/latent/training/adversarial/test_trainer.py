"""One step: lazy corrections, averages, freezing, exact restoring, and that division of the batch changes nothing."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from latent.stylegan2.ops import convolutions_in
from latent.training.adversarial.settings import Settings, automatic
from latent.training.adversarial.trainer import MAPPING_RATE, Trainer
from latent.training.distributed import Group
from tests.latent.training.helpers import SIZE, discs, forked, small_networks

SMALL = {
    "batch": 4,
    "g_rampup_kimg": 0.0,
    "ema_rampup": 0.05,
    "precision": "fp32",
    "p": 0.3,
    "pl_every": 2,
    "r1_every": 2,
    "mbstd": 2,
    "ada_kimg": 0.1,
}


def settings_of(**changes: Any) -> Settings:
    return automatic(SMALL | changes, SIZE, "cpu", 1, from_start=True)


def trainer_of(settings: Settings, use_noise: bool = True) -> Trainer:
    networks = small_networks(use_noise=use_noise, mbstd=settings.mbstd > 0)
    return Trainer(settings, *networks, discs(24), Group("cpu"))


def stepped(settings: Settings, steps: int, use_noise: bool = True) -> Trainer:
    trainer = trainer_of(settings, use_noise)
    for _ in range(steps):
        trainer.step()
    return trainer


def difference(a: Trainer, b: Trainer) -> float:
    """Largest difference of the averaged generators' and discriminators' tensors."""
    pairs = [(a.g_ema, b.g_ema), (a.d, b.d), (a.g, b.g)]
    return max(
        float((one - two).abs().max())
        for first, second in pairs
        for one, two in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.slow
def test_a_step_measures_everything_and_moves_everything() -> None:
    trainer = trainer_of(settings_of(mirror=True))
    before = {name: value.clone() for name, value in trainer.g.state_dict().items()}
    first = trainer.step()
    names = {"loss_g", "loss_d", "r1", "path_length", "real_sign", "gradient_g", "gradient_d", "gradient_r1", "ada_p"}
    assert names == set(first)  # the first path lengths set the mean and penalise nothing
    assert "r1" not in trainer.step()
    assert {"pl", "gradient_pl"} <= set(trainer.step())
    after = trainer.g.state_dict()
    still = [name for name in before if torch.equal(before[name], after[name])]
    assert all(name.endswith(("resample_filter", "noise_const")) for name in still)


def test_lazy_regularisation_corrects_the_optimisers() -> None:
    trainer = trainer_of(settings_of(pl_every=4, r1_every=16))
    g, d = trainer.g_opt.param_groups, trainer.d_opt.param_groups
    assert g[0]["lr"] == pytest.approx(0.0025 * 4 / 5)
    assert g[0]["betas"] == pytest.approx((0.0, 0.99**0.8))
    assert d[0]["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert d[0]["betas"][1] == pytest.approx(0.99 ** (16 / 17))
    assert trainer_of(settings_of(g_rate=0.2)).g_opt.param_groups[0]["lr"] == pytest.approx(0.2 * 0.0025 * 2 / 3)
    plain = trainer_of(settings_of(pl_weight=0.0, gamma=0.0))
    assert (plain.g_opt.param_groups[0]["lr"], plain.d_opt.param_groups[0]["lr"]) == (0.0025, 0.0025)


def test_mapping_weights_step_as_published_whatever_their_multiplier() -> None:
    trainer = trainer_of(settings_of())
    rates = [group["lr"] for group in trainer.g_opt.param_groups]
    assert rates[1] == pytest.approx(rates[0])  # lr_multiplier 0.01, the default
    generator, discriminator = small_networks()
    generator.init_kwargs["mapping_kwargs"] = {"lr_multiplier": 1.0}
    other = Trainer(settings_of(), generator, discriminator, discs(24), Group("cpu"))
    assert other.g_opt.param_groups[1]["lr"] == pytest.approx(rates[0] * MAPPING_RATE)


def test_the_generators_rate_rises_while_the_discriminator_learns() -> None:
    trainer = trainer_of(settings_of(g_rampup_kimg=0.016, pl_weight=0.0))
    before = trainer.g.synthesis.b16.conv1.weight.detach().clone()
    discriminator = trainer.d.b16.conv1.weight.detach().clone()
    rates = []
    for _ in range(6):
        trainer.step()
        rates.append(trainer.g_opt.param_groups[0]["lr"])
        if len(rates) == 1:
            assert torch.equal(trainer.g.synthesis.b16.conv1.weight, before)
            assert not torch.equal(trainer.d.b16.conv1.weight, discriminator)
    assert rates == pytest.approx([0.0025 * share for share in (0, 0.25, 0.5, 0.75, 1, 1)])


def test_the_average_follows_its_half_life() -> None:
    settings = settings_of(ema_kimg=0.016, ema_rampup=0.0)
    trainer = trainer_of(settings)
    old = trainer.g_ema.synthesis.b16.conv1.weight.clone()
    trainer.step()
    new = trainer.g.synthesis.b16.conv1.weight.detach()
    wanted = old.lerp(new, 1 - 0.5 ** (4 / 16))
    assert torch.allclose(trainer.g_ema.synthesis.b16.conv1.weight, wanted, atol=1e-6)
    assert torch.equal(trainer.g_ema.mapping.w_avg, trainer.g.mapping.w_avg)


def test_rampup_shortens_the_half_life_of_a_young_run() -> None:
    trainer = trainer_of(settings_of(ema_kimg=1000.0, ema_rampup=0.5))
    old = trainer.g_ema.synthesis.b16.conv1.weight.clone()
    trainer.step()
    wanted = old.lerp(trainer.g.synthesis.b16.conv1.weight.detach(), 1 - 0.5 ** (4 / 2))
    assert torch.allclose(trainer.g_ema.synthesis.b16.conv1.weight, wanted, atol=1e-6)


def test_mean_code_follows_the_batch() -> None:
    trainer = trainer_of(settings_of())
    z = trainer.streams.latents("generator", 0, 4, 16)[:, 0]
    with torch.no_grad():
        mean = trainer.g.mapping(z, None, update_emas=False)[:, 0].mean(0)
    trainer.step()
    assert torch.allclose(trainer.g.mapping.w_avg, mean * (1 - 0.995), atol=1e-6)


def test_frozen_layers_stay_and_the_others_move() -> None:
    trainer = trainer_of(settings_of(freeze_d=4))
    before = {name: value.clone() for name, value in trainer.d.state_dict().items()}
    trainer.step()
    for name, value in trainer.d.state_dict().items():
        assert torch.equal(value, before[name]) == (name.startswith("b16.") or name.endswith("resample_filter")), name


@pytest.mark.slow
def test_adaptive_strength_moves_and_fixed_strength_does_not() -> None:
    moved = stepped(settings_of(p=0.0, target=0.0, ada_kimg=1.0), 8)
    assert moved.strength.p in (0.0, pytest.approx(0.016), pytest.approx(0.032))
    assert moved.strength.r == moved.strength.r  # it has measured
    fixed = stepped(settings_of(augment="fixed", p=0.3), 5)
    assert fixed.strength.p == 0.3
    none = stepped(settings_of(augment="none"), 1)
    assert none.pipe is None


@pytest.mark.slow
def test_a_restored_trainer_resumes_bit_for_bit(tmp_path: Path) -> None:
    settings = settings_of(mirror=True)
    straight = stepped(settings, 7)
    first = stepped(settings, 3)
    torch.save(first.state(), tmp_path / "state.pt")
    second = trainer_of(settings)
    second.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    torch.randn(100)  # whoever draws in between
    for _ in range(4):
        second.step()
    assert difference(straight, second) == 0.0
    assert straight.strength.state_dict() == second.strength.state_dict()
    assert straight.pl_mean == second.pl_mean


def test_another_seed_is_another_run() -> None:
    assert difference(stepped(settings_of(seed=0), 2), stepped(settings_of(seed=1), 2)) > 1e-4


def test_micro_batches_add_up_to_the_batch() -> None:
    """Without what is drawn or computed by the part (noise maps, augmentation, minibatch deviation)."""
    plain: dict[str, Any] = {"augment": "none", "mbstd": 0}
    whole = stepped(settings_of(**plain), 4, use_noise=False)
    halves = stepped(settings_of(micro_batch=2, **plain), 4, use_noise=False)
    assert difference(whole, halves) < 2e-4
    assert whole.pl_mean == pytest.approx(halves.pl_mean, rel=1e-4)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def in_two_processes(settings: Settings, steps: int, result: Path) -> None:
    port = free_port()

    def work(rank: int) -> int:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
        group = Group("cpu")
        trainer = Trainer(settings, *small_networks(), discs(24), group)
        measured = [trainer.step() for _ in range(steps)]
        torch.save({"state": trainer.state(), "measured": measured}, result.with_suffix(f".{rank}"))
        del trainer
        group.close()
        return 0

    pid = os.fork()
    if pid == 0:
        os._exit(forked(lambda: work(1)) % 256)
    code = forked(lambda: work(0))
    assert (code, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])) == (0, 0)


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    """Noise maps, augmentation and minibatch deviation included: draws go by part, not by process."""
    settings = settings_of(micro_batch=2, mirror=True)
    single = trainer_of(settings)
    measured = [single.step() for _ in range(4)]
    in_two_processes(settings, 4, tmp_path / "two")
    both = [torch.load(tmp_path / f"two.{rank}", weights_only=True) for rank in (0, 1)]
    for one in both:
        again = trainer_of(settings)
        again.restore(one["state"])
        assert difference(single, again) < 2e-4
        assert again.strength.state_dict() == single.strength.state_dict()
        for ours, theirs in zip(measured, one["measured"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    first, second = (one["state"]["networks"]["g_ema"] for one in both)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_lowered_convolutions_change_little_and_leave_the_rest_exact() -> None:
    generator, discriminator = small_networks()
    ws = torch.randn(4, generator.num_ws, 16)
    exact = generator.synthesis(ws, noise_mode="const").detach()
    with convolutions_in(torch.bfloat16):
        images = generator.synthesis(ws, noise_mode="const")
        logits = discriminator(images)
    assert images.dtype == logits.dtype == torch.float32
    assert 0 < float((images.detach() - exact).abs().max()) < 0.03 * float(exact.abs().max())
    assert float((logits - discriminator(exact)).detach().abs().max()) < 0.1
    assert torch.equal(generator.synthesis(ws, noise_mode="const"), exact)
    logits.mean().backward()
    assert generator.synthesis.b16.conv1.weight.grad.dtype == torch.float32


def test_bf16_trains_like_fp32_for_a_few_steps() -> None:
    low = stepped(settings_of(precision="bf16"), 3)
    assert 0 < difference(low, stepped(settings_of(), 3)) < 0.05
