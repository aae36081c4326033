"""L-BFGS for many searches at once: on quadratics, where everything about it is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from latent.inversion.lbfgs import Curvature

P = 12


def quadratics(n: int, seed: int) -> Tensor:
    """Positive definite Hessians (n, P, P) with eigenvalues from 0.1 to 10."""
    rng = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(n, P, P, generator=rng, dtype=torch.float64)).Q
    return axes * torch.logspace(-1, 1, P, dtype=torch.float64) @ axes.mT


def searched(hessians: Tensor, steps: int, memory: int, seed: int = 1) -> tuple[Tensor, Curvature]:
    """Points (n, P) after so many steps, an exact line search along each direction, and what was learned."""
    n = len(hessians)
    rows, scales = torch.arange(n), torch.ones(n, P, dtype=torch.float64)
    x = torch.randn(n, P, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    curvature = Curvature(n, P, memory, "cpu")
    for name in ("_steps", "_changes", "_inverse", "_x", "_gradient"):
        setattr(curvature, name, getattr(curvature, name).double())
    for _ in range(steps):
        gradient = torch.einsum("nij,nj->ni", hessians, x)
        curvature.learn(rows, x, gradient)
        d = curvature.direction(rows, gradient, scales)
        length = (d * gradient).sum(1) / torch.einsum("ni,nij,nj->n", d, hessians, d).clamp_min(1e-300)
        x = x - length[:, None] * d
    return x, curvature


@pytest.mark.slow
@given(st.integers(0, 100))
def test_it_ends_on_a_quadratic_after_as_many_steps_as_numbers(seed: int) -> None:
    x, _ = searched(quadratics(3, seed), P + 1, memory=P)
    assert x.abs().max() < 1e-6


def test_each_search_is_its_own() -> None:
    hessians = quadratics(3, 5)
    together, _ = searched(hessians, 6, 4)
    rows = torch.tensor([1])
    x = torch.randn(3, P, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    alone = Curvature(3, P, 4, "cpu")
    for name in ("_steps", "_changes", "_inverse", "_x", "_gradient"):
        setattr(alone, name, getattr(alone, name).double())
    x, hessian = x[rows], hessians[rows]
    for _ in range(6):
        gradient = torch.einsum("nij,nj->ni", hessian, x)
        alone.learn(rows, x, gradient)
        d = alone.direction(rows, gradient, torch.ones(1, P, dtype=torch.float64))
        x = x - ((d * gradient).sum(1) / torch.einsum("ni,nij,nj->n", d, hessian, d))[:, None] * d
    assert torch.allclose(x, together[rows], atol=1e-12)
    assert not alone.known(torch.tensor([0, 2])).any()


def test_the_newest_pair_is_solved_for() -> None:
    """The secant equation: H y = s for the newest pair, whatever the first guess."""
    hessians = quadratics(4, 2)
    _, curvature = searched(hessians, 5, 3)
    rows = torch.arange(4)
    scales = torch.rand(4, P, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.1
    found = curvature.direction(rows, curvature._changes[:, -1], scales)
    assert torch.allclose(found, curvature._steps[:, -1], atol=1e-10)


def test_steps_along_which_the_function_bends_the_wrong_way_are_not_kept() -> None:
    curvature, rows = Curvature(2, P, 5, "cpu"), torch.arange(2)
    x, gradient = torch.zeros(2, P), torch.ones(2, P)
    curvature.learn(rows, x, gradient)
    assert not curvature.known(rows).any()
    curvature.learn(rows, x + 1, torch.stack([gradient[0] - 1, gradient[1] + 1]))
    assert curvature.known(rows).tolist() == [False, True]
    curvature.forget(rows)
    assert not curvature.known(rows).any()
    curvature.learn(rows, x, gradient)
    assert not curvature.known(rows).any(), "a pair needs two places, both seen since"


@pytest.mark.parametrize("memory", [0, 1])
def test_without_memory_nothing_is_known(memory: int) -> None:
    curvature, rows = Curvature(1, P, memory, "cpu"), torch.arange(1)
    for step in range(3):
        curvature.learn(rows, torch.full((1, P), float(step)), torch.full((1, P), 2.0 * step))
    assert curvature.known(rows).tolist() == [memory > 0]
