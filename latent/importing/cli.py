"""`python -m latent import FILE --name NAME`: a foreign weight file becomes checkpoints/NAME."""

import argparse
from pathlib import Path

from latent.importing.reader import import_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("file", type=Path, help=".pkl of NVIDIA's StyleGAN2-ADA or .pt of rosinality's layout")
    parser.add_argument("--name", required=True, help="name of the checkpoint, which is its folder's name")
    parser.add_argument("--root", type=Path, default=Path("checkpoints"), help="folder of all checkpoints")
    parser.add_argument("--source", default="", help="where the file comes from, kept in config.json")
    parser.add_argument("--licence", default="", help="its licence, kept in config.json")


def run(args: argparse.Namespace) -> int:
    """Import and say what was written."""
    folder = import_file(args.file, args.name, args.root, args.source, args.licence)
    print(f"{args.file.name} imported as {folder}")
    return 0
