"""Codes in memory, written as `python -m study embed` leaves them."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from study.disk.latents import Embedding, stream_latents


def write_latents(folder: Path, ws: NDArray[np.float32], index: pd.DataFrame, embedding: Embedding) -> Embedding:
    """latents.npy and index.parquet of codes (n, views, num_ws, w_dim), or (n, num_ws, w_dim) of one view; returns the
    record with the SHA-256 filled in."""
    ws = ws[:, None] if ws.ndim == 3 else ws
    return stream_latents(folder, len(ws), [(ws, index)], embedding)
