"""W as a distribution: its mean, spread and principal axes, and random codes from it.

The statistics come from 10,000 codes of the mapping network (Abdal et al. 2019 and Härkönen et al. 2020 use the
same construction). Arrays are numpy float32, so that they travel without a device.
"""

from dataclasses import dataclass

import numpy as np
import torch

from latent.stylegan2 import Generator

DEFAULT_SAMPLES = 10_000
CHECK_SAMPLES = 512  # fresh codes that statistics on disk are compared with
MAX_SAMPLES = 10_000_000  # that statistics may say they come from: as many are drawn again when they are remade


@dataclass(frozen=True, eq=False)
class WStatistics:
    """mean (w_dim,), std (w_dim,) per coordinate, components (k, w_dim) orthonormal rows, variances (k,) along them,
    largest first; `samples` is the number of codes they were estimated from."""

    mean: np.ndarray
    std: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    samples: int = DEFAULT_SAMPLES


def random_conditions(c_dim: int, n: int, rng: torch.Generator) -> torch.Tensor | None:
    """(n, c_dim) one-hot conditions, each class alike; None for an unconditional network."""
    if c_dim == 0:
        return None
    return torch.nn.functional.one_hot(torch.randint(c_dim, (n,), generator=rng), c_dim).float()


def sample_w(generator: Generator, n: int, seed: int) -> np.ndarray:
    """n codes of the mapping network without truncation, (n, w_dim) float32. Draws on the CPU, so that a seed means
    the same codes on every device."""
    device = next(generator.parameters()).device
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(n, generator.z_dim, generator=rng)
    c = random_conditions(generator.c_dim, n, rng)
    codes = []
    with torch.no_grad():
        for rows in torch.arange(n).split(1000):
            condition = None if c is None else c[rows].to(device)
            codes.append(generator.mapping(z[rows].to(device), condition, update_emas=False)[:, 0].cpu())
    return torch.cat(codes).numpy()


def w_statistics(generator: Generator, samples: int = DEFAULT_SAMPLES, seed: int = 0) -> WStatistics:
    """Statistics of `samples` codes, at least two. Raises ValueError where the codes are not finite."""
    codes = sample_w(generator, samples, seed).astype(np.float64)
    if not np.isfinite(codes).all():
        raise ValueError("the mapping network gives codes that are not finite numbers")
    mean = codes.mean(axis=0)
    covariance = np.cov(codes, rowvar=False).reshape(codes.shape[1], codes.shape[1])
    values, vectors = np.linalg.eigh(covariance)
    order = np.argsort(values)[::-1]
    components = vectors.T[order]
    # An axis has no sign of its own: the largest coordinate positive, so that a seed gives the same file everywhere.
    signs = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
    return WStatistics(
        mean=mean.astype(np.float32),
        std=np.sqrt(np.diag(covariance)).astype(np.float32),
        components=(components * signs[:, None]).astype(np.float32),
        variances=np.maximum(values[order], 0).astype(np.float32),
        samples=samples,
    )


def check_statistics(statistics: WStatistics, generator: Generator) -> None:
    """Raises ValueError, with a reason, for statistics that are not of this generator's W.

    Compared with a few fresh codes, so the bounds are wide: they are to find statistics that were damaged, made up or
    taken from another generator, since every plausibility and every step of an inversion is measured in them.
    """
    s = statistics
    if not all(np.isfinite(values).all() for values in (s.mean, s.std, s.components, s.variances)):
        raise ValueError("hold values that are not finite numbers")
    if (s.std < 0).any() or (s.variances < 0).any():
        raise ValueError("hold a negative spread")
    if not s.variances.max() > 0:
        raise ValueError("say that all codes are the same")
    if (np.diff(s.variances) > 1e-5 * s.variances.max()).any():
        raise ValueError("do not list the largest variance first")
    components, std = s.components.astype(np.float64), s.std.astype(np.float64)
    if np.abs(components @ components.T - np.eye(len(components))).max() > 0.01:
        raise ValueError("have axes that are not orthonormal")
    codes = sample_w(generator, CHECK_SAMPLES, seed=1).astype(np.float64)
    total, typical = float(codes.var(axis=0).sum()), codes.std(axis=0)
    centred = codes - codes.mean(axis=0)
    along = (centred @ components.T).var(axis=0)
    floor = 1e-3 * total / len(std)
    spread_differs = (std**2 > 4 * typical**2 + floor).any() or (typical**2 > 4 * std**2 + floor).any()
    variances_differ = not 0.5 * along.sum() <= s.variances.sum(dtype=np.float64) <= 2 * along.sum() + floor
    mean_differs = np.square(codes.mean(axis=0) - s.mean).sum() > 0.1 * total + floor
    if spread_differs or variances_differ or mean_differs:
        raise ValueError("are not those of its generator")


def sample_ws(generator: Generator, seeds: int | list[int], psi: float = 0.7) -> np.ndarray:
    """Random codes, one per seed: (len(seeds), num_ws, w_dim) float32, or (num_ws, w_dim) for a single seed.

    A face of a seed is the same whatever other seeds are asked for with it.
    """
    device = next(generator.parameters()).device
    z, c = [], []
    for seed in [seeds] if isinstance(seeds, int) else seeds:
        rng = torch.Generator().manual_seed(seed)
        z.append(torch.randn(1, generator.z_dim, generator=rng))
        c.append(random_conditions(generator.c_dim, 1, rng))
    conditions = torch.cat([row for row in c if row is not None]).to(device) if generator.c_dim else None
    with torch.no_grad():
        ws = generator.mapping(torch.cat(z).to(device), conditions, truncation_psi=psi, update_emas=False)
    codes = ws.cpu().numpy()
    return codes[0] if isinstance(seeds, int) else codes
