"""L-BFGS for many searches at once: on quadratics, where everything about it is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from latent.inversion.lbfgs import LBFGS

P = 12


def quadratics(n: int, seed: int) -> Tensor:
    """Positive definite Hessians (n, P, P) with eigenvalues from 0.1 to 10."""
    rng = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(n, P, P, generator=rng, dtype=torch.float64)).Q
    return axes * torch.logspace(-1, 1, P, dtype=torch.float64) @ axes.mT


def searched(hessians: Tensor, steps: int, memory: int, seed: int = 1) -> tuple[Tensor, LBFGS]:
    """Points (n, P) after so many steps, an exact line search along each direction, and what was learned."""
    n = len(hessians)
    rows, scales = torch.arange(n), torch.ones(n, P, dtype=torch.float64)
    x = torch.randn(n, P, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    lbfgs = LBFGS(n, P, memory, "cpu")
    for name in ("_steps", "_changes", "_inverse", "_x", "_gradient"):
        setattr(lbfgs, name, getattr(lbfgs, name).double())
    for _ in range(steps):
        gradient = torch.einsum("nij,nj->ni", hessians, x)
        lbfgs.add(rows, x, gradient)
        d = lbfgs.direction(rows, gradient, scales)
        length = (d * gradient).sum(1) / torch.einsum("ni,nij,nj->n", d, hessians, d).clamp_min(1e-300)
        x = x - length[:, None] * d
    return x, lbfgs


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
    alone = LBFGS(3, P, 4, "cpu")
    for name in ("_steps", "_changes", "_inverse", "_x", "_gradient"):
        setattr(alone, name, getattr(alone, name).double())
    x, hessian = x[rows], hessians[rows]
    for _ in range(6):
        gradient = torch.einsum("nij,nj->ni", hessian, x)
        alone.add(rows, x, gradient)
        d = alone.direction(rows, gradient, torch.ones(1, P, dtype=torch.float64))
        x = x - ((d * gradient).sum(1) / torch.einsum("ni,nij,nj->n", d, hessian, d))[:, None] * d
    assert torch.allclose(x, together[rows], atol=1e-12)
    assert not alone.has_pairs(torch.tensor([0, 2])).any()


def test_the_newest_pair_is_solved_for() -> None:
    """The secant equation: H y = s for the newest pair, whatever the first guess."""
    hessians = quadratics(4, 2)
    _, lbfgs = searched(hessians, 5, 3)
    rows = torch.arange(4)
    scales = torch.rand(4, P, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.1
    found = lbfgs.direction(rows, lbfgs._changes[:, -1], scales)
    assert torch.allclose(found, lbfgs._steps[:, -1], atol=1e-10)


def test_steps_along_which_the_function_is_not_convex_are_not_kept() -> None:
    lbfgs, rows = LBFGS(2, P, 5, "cpu"), torch.arange(2)
    x, gradient = torch.zeros(2, P), torch.ones(2, P)
    lbfgs.add(rows, x, gradient)
    assert not lbfgs.has_pairs(rows).any()
    lbfgs.add(rows, x + 1, torch.stack([gradient[0] - 1, gradient[1] + 1]))
    assert lbfgs.has_pairs(rows).tolist() == [False, True]
    lbfgs.reset(rows)
    assert not lbfgs.has_pairs(rows).any()
    lbfgs.add(rows, x, gradient)
    assert not lbfgs.has_pairs(rows).any(), "a pair needs two places, both seen since"


def test_a_function_that_changes_leaves_the_pairs_and_makes_none() -> None:
    lbfgs, rows = LBFGS(1, P, 5, "cpu"), torch.arange(1)
    for step in range(3):
        lbfgs.add(rows, torch.full((1, P), float(step)), torch.full((1, P), 2.0 * step))
    before = lbfgs.direction(rows, torch.ones(1, P), torch.ones(1, P))
    lbfgs.leave(rows)
    lbfgs.add(rows, torch.full((1, P), 3.0), torch.full((1, P), 100.0))
    assert torch.equal(lbfgs.direction(rows, torch.ones(1, P), torch.ones(1, P)), before)


@pytest.mark.parametrize("memory", [0, 1])
def test_without_memory_there_are_no_pairs(memory: int) -> None:
    lbfgs, rows = LBFGS(1, P, memory, "cpu"), torch.arange(1)
    for step in range(3):
        lbfgs.add(rows, torch.full((1, P), float(step)), torch.full((1, P), 2.0 * step))
    assert lbfgs.has_pairs(rows).tolist() == [memory > 0]
