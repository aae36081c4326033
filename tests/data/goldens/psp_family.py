"""Writes psp_family32.npz: what the published e4e and pSp encoders compute in double precision.

    git clone https://github.com/omertov/encoder4editing
    python -m tests.data.goldens.psp_family encoder4editing

The weights are those of `golden_tensor` in tests/latent/psp_files.py, the same bits on every processor.
"""

import sys
import types
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch

from tests.latent.importing.psp_files import TYPES, golden_input, golden_keys, golden_tensor

NUM_WS = 8  # of a 32 px generator


def main(checkout: str) -> None:
    sys.path.insert(0, checkout)
    unused = types.ModuleType("models.stylegan2.op")  # needs CUDA to be built; the encoders do not call it
    unused.FusedLeakyReLU = unused.fused_leaky_relu = unused.upfirdn2d = None  # type: ignore[attr-defined]
    sys.modules["models.stylegan2.op"] = unused
    from models.encoders import psp_encoders

    keys = golden_keys(NUM_WS)
    state = {key: golden_tensor(key, shape, keys) for key, shape in keys.items()}
    codes = {}
    for kind, name in TYPES.items():
        network = getattr(psp_encoders, name)(50, "ir_se", Namespace(stylegan_size=32)).double().eval()
        network.load_state_dict(state)
        with torch.no_grad():
            codes[f"{kind}_codes"] = network(golden_input().double()).numpy()
    np.savez_compressed(Path(__file__).parent / "psp_family32.npz", **codes)


if __name__ == "__main__":
    main(*sys.argv[1:])
