"""Random streams and data order; the four objectives against closed forms."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from latent.training.losses import discriminator_loss, generator_loss, path_lengths, r1_penalty
from latent.training.streams import DataOrder, Streams


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(0, 200), st.integers(1, 60))
def test_data_order_is_a_permutation_each_epoch_and_needs_no_memory(seed: int, count: int, first: int, n: int) -> None:
    order = DataOrder(Streams(seed), count)
    walk = order.rows(0, 3 * count)
    for epoch in walk.split(count):
        assert sorted(epoch.tolist()) == list(range(count))
    again = DataOrder(Streams(seed), count)
    assert torch.equal(again.rows(first, n), DataOrder(Streams(seed), count).rows(0, first + n)[first:])


@given(st.integers(0, 2**31), st.integers(0, 10**7))
def test_streams_repeat_and_differ(seed: int, step: int) -> None:
    one, two = Streams(seed), Streams(seed)
    assert torch.equal(one.latents("g", step, 3, 5), two.latents("g", step, 3, 5))
    assert not torch.equal(one.latents("g", step, 3, 5), one.latents("g", step + 1, 3, 5))
    assert not torch.equal(one.latents("g", step, 3, 5), one.latents("d", step, 3, 5))
    one.seed_noise("noise", step)
    first = torch.randn(4)
    two.seed_noise("noise", step)
    assert torch.equal(first, torch.randn(4))


def test_mixing_takes_its_share_and_every_layer() -> None:
    cuts = Streams(1).cuts("g", 0, 5000, 8, 0.9)
    mixed = cuts[cuts < 8]
    assert abs(len(mixed) / 5000 - 0.9) < 0.02
    assert sorted(set(mixed.tolist())) == [1, 2, 3, 4, 5, 6, 7]
    assert (Streams(1).cuts("g", 0, 50, 8, 0.0) == 8).all()


def test_logistic_losses() -> None:
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.0], [0.5]])
    sigmoid = torch.sigmoid
    assert torch.allclose(generator_loss(fake), -sigmoid(fake).log().mean())
    wanted = -sigmoid(real).log().mean() - (1 - sigmoid(fake)).log().mean()
    assert torch.allclose(discriminator_loss(real, fake), wanted)


def test_r1_of_a_quadratic_discriminator() -> None:
    """D(x) = a |x|^2 / 2: the gradient is a x, the penalty a^2 |x|^2, its derivative 2 a |x|^2."""
    a = torch.tensor(3.0, requires_grad=True)
    x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    penalty = r1_penalty(a * x.square().sum((1, 2, 3))[:, None] / 2, x)
    square = x.detach().square().sum((1, 2, 3)).mean()
    assert torch.allclose(penalty, 9 * square)
    penalty.backward()
    assert torch.allclose(a.grad, 6 * square)


def test_path_lengths_of_a_linear_generator() -> None:
    """G(w) = b sum_l w_l A: |J^T y| = b |A y| / R with the mean over layers of equal terms."""
    rng = torch.Generator().manual_seed(0)
    matrix = torch.randn(7, 3 * 4 * 4, generator=rng)
    b = torch.tensor(2.0, requires_grad=True)
    ws = torch.randn(6, 5, 7, generator=rng).requires_grad_()
    noise = torch.randn(6, 3, 4, 4, generator=rng)
    images = (b * ws.sum(1) @ matrix).view(6, 3, 4, 4)
    lengths = path_lengths(images, ws, noise)
    wanted = (noise.flatten(1) @ matrix.t()).norm(dim=1) / 4
    assert torch.allclose(lengths, 2 * wanted, rtol=1e-5)
    lengths.mean().backward()
    assert math.isclose(float(b.grad), float(wanted.mean()), rel_tol=1e-5)
