"""Other work on the machine while something is measured: processes that multiply matrices, a core each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

MULTIPLY = "import numpy as np\na = np.random.default_rng(0).random((512, 512), np.float32)\nwhile True:\n    a @ a"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """That many processes at work, each on one thread, until the block is left."""
    children = [
        subprocess.Popen([sys.executable, "-c", MULTIPLY], env={**os.environ, **ONE_THREAD}) for _ in range(processes)
    ]
    try:
        yield
    finally:
        for child in children:
            child.kill()
        for child in children:
            child.wait()
