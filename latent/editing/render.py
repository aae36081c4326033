"""From codes to pictures."""

import numpy as np
import torch

from latent.checkpoints import Checkpoint
from latent.errors import LatentError
from latent.images import to_uint8
from latent.stylegan2.generator import SynthesisNetwork

STRIP_BATCH = 8


@torch.no_grad()
def pictures_of(network: SynthesisNetwork, codes: torch.Tensor) -> np.ndarray:
    """Pictures uint8 (K, R, R, 3) of codes (K, num_ws, w_dim) on the network's device, noise fixed."""
    return np.concatenate([to_uint8(network(part, noise_mode="const")) for part in codes.split(STRIP_BATCH)])


def synthesize(checkpoint: Checkpoint, ws: np.ndarray, network: SynthesisNetwork | None = None) -> np.ndarray:
    """Pictures uint8 (K, R, R, 3) of codes (K, num_ws, w_dim), noise fixed.

    network: synthesises in place of the checkpoint's own (`latent.inversion.pivotal_tuning`).
    Raises LatentError if the codes are of another model's shape.
    """
    if ws.shape[1:] != (checkpoint.num_ws, checkpoint.w_dim):
        raise LatentError(
            f"This code has the shape {ws.shape[1:]}, the model {checkpoint.name} takes "
            f"{(checkpoint.num_ws, checkpoint.w_dim)}: invert the photo with this model."
        )
    codes = torch.from_numpy(np.ascontiguousarray(ws, dtype=np.float32)).to(checkpoint.device)
    if not len(codes):
        return np.zeros((0, checkpoint.resolution, checkpoint.resolution, 3), np.uint8)
    return pictures_of(network or checkpoint.generator.synthesis, codes)
