"""`python -m latent VERB`: models from the command line. `python -m latent VERB --help` explains one."""

import sys
from collections.abc import Sequence

from common.command import run_verb
from faces.errors import FaceError
from latent.errors import LatentError

VERBS = {
    "import": ("latent.importing.cli", "turn an NVIDIA .pkl or a rosinality, e4e or pSp .pt into a checkpoint"),
    "dataset": ("latent.datasets.build", "align folders and zip files of photos into a training set"),
    "finetune": (
        "latent.training.finetune",
        "train a generator, from a checkpoint or from scratch: against a discriminator, or by reconstruction",
    ),
    "warmstart": ("latent.training.warmstart", "former name of finetune --method reconstruction"),
    "train-encoder": ("latent.training.train_encoder", "train the encoder of a checkpoint"),
    "evaluate": ("latent.evaluation.evaluate", "measure how close a checkpoint's samples are to portraits"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns the exit code (see common/command.py)."""
    return run_verb("latent", __doc__, VERBS, (LatentError, FaceError), arguments)


if __name__ == "__main__":
    sys.exit(main())
