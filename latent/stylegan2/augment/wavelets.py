"""Wavelet filters of adaptive augmentation: Daubechies' least asymmetric ones ("symlets") and a filter bank of them.

Daubechies 1992, Ten Lectures on Wavelets, section 8.1.1; Karras et al. 2020 (arXiv:2006.06676), appendix B.
"""

import torch

# Scaling filters: sum sqrt(2), orthonormal to their own even shifts, as many vanishing moments as the name says.
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)


def _convolve(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Full convolution of rows: (B, n), (m,) -> (B, n + m - 1)."""
    return torch.nn.functional.conv1d(a[:, None], b.flip(0)[None, None], padding=len(b) - 1)[:, 0]


def _spread(rows: torch.Tensor) -> torch.Tensor:
    """A zero between any two taps, z -> z^2: (B, n) -> (B, 2n - 1)."""
    wide = rows.new_zeros(rows.shape[0], 2 * rows.shape[1] - 1)
    wide[:, ::2] = rows
    return wide


def filter_bank(octaves: int = 3) -> torch.Tensor:
    """Zero-phase band filters (octaves + 1, taps) in float64, lowest band first; their sum is the unit impulse.

    With H the sym2 scaling filter, low(z) = H(z) H(1/z) / 2 and high(z) = low(-z), so low + high = 1. The highest band
    is high(z), the one below high(z^2) low(z), and so on; the lowest is what is left. Three octaves: 43 taps.
    """
    h = torch.tensor(SYM2, dtype=torch.float64)
    low = _convolve(h[None], h.flip(0))[0] / 2
    centre = len(low) // 2
    high = low * torch.tensor([(-1.0) ** (i - centre) for i in range(len(low))], dtype=torch.float64)
    bank = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(octaves):
        bank = _convolve(_spread(bank), low)
        side = (bank.shape[1] - len(high)) // 2
        bank = torch.cat([bank, torch.nn.functional.pad(high, (side, side))[None]])
    return bank
