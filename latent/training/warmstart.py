"""`python -m latent warmstart`: the former name of `python -m latent finetune --method reconstruction`."""

import argparse

from latent.training import finetune
from latent.training.run_folder import RECONSTRUCTION

FORMER_FLAGS = {
    "--adversary-kimg": "projected_kimg",
    "--adversary-rate": "projected_rate",
    "--adversary-encoder-rate": "projected_encoder_rate",
    "--critic-rate": "projected_discriminator_rate",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    finetune.add_arguments(parser)
    for flag, name in FORMER_FLAGS.items():
        parser.add_argument(flag, dest=name, type=float, help=argparse.SUPPRESS)
    parser.set_defaults(method=RECONSTRUCTION)


def run(args: argparse.Namespace) -> int:
    print(
        "`latent warmstart` is now `latent finetune --method reconstruction`; the old name and flags still work in "
        "this version."
    )
    return finetune.run(args)
