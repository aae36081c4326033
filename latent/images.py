"""The border between pictures for people (uint8 HWC RGB) and tensors for networks (float32 NCHW in [-1, 1])."""

import numpy as np
import torch
from torch import Tensor


def to_tensor(images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [-1, 1]."""
    planes = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2)
    return planes.to(torch.float32) / 127.5 - 1.0


def to_uint8(images: Tensor) -> np.ndarray:
    """Float (N, 3, H, W) around [-1, 1] -> uint8 (N, H, W, 3), rounded and clipped."""
    levels = (images.detach() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
