"""How close a reconstruction is to its photo: PSNR, SSIM, and the distance between the two as persons."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from faces.encoder import chips_from_aligned, load_face_encoder

SSIM_SIGMA = 1.5
SSIM_RADIUS = 5  # 3.5 sigma, as Wang et al. cut it: 11 taps
SSIM_K = (0.01, 0.03)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 images of one shape; infinite for equal ones."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255.0**2 / error)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two uint8 images (H, W, 3), at least 11 px a side: 1 for equal ones.

    Wang et al. 2004, equation 13, with their Gaussian window (sigma 1.5), population moments, only windows that lie
    inside the image, mean over places and channels.
    """
    if min(a.shape[:2]) <= 2 * SSIM_RADIUS:
        raise ValueError(f"SSIM needs images of at least {2 * SSIM_RADIUS + 1} px a side, not {a.shape[:2]}.")
    x, y = (torch.from_numpy(image.astype(np.float64)).permute(2, 0, 1)[:, None] for image in (a, b))
    offsets = torch.arange(-SSIM_RADIUS, SSIM_RADIUS + 1, dtype=torch.float64)
    taps = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    taps = taps / taps.sum()

    def local_mean(planes: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(planes, taps.reshape(1, 1, -1, 1)), taps.reshape(1, 1, 1, -1))

    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x = local_mean(x * x) - mean_x**2
    variance_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = ((k * 255) ** 2 for k in SSIM_K)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((luminance * structure).mean())


@torch.no_grad()
def identity_distances(a: Tensor, b: Tensor) -> np.ndarray:
    """Euclidean distance (N,) of dlib's descriptors of aligned faces (N, 3, S, S) in [-1, 1], on their device.

    Same person: under 0.6 by the network's author; two faces that look alike to it come near 0.
    """
    encoder = load_face_encoder(a.device)
    difference = encoder(chips_from_aligned(a)) - encoder(chips_from_aligned(b))
    return difference.norm(dim=1).double().cpu().numpy()
