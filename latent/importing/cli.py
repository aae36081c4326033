"""`python -m latent import FILE --name NAME`: a foreign weight file becomes checkpoints/NAME.

`--encoder-for CHECKPOINT` instead of `--name` adds the encoder of an e4e or pSp file to an existing checkpoint.
"""

import argparse
from pathlib import Path

from common.command import folder_argument, path_argument
from latent.encoders.psp import KINDS
from latent.importing.attach import attach_encoder
from latent.importing.reader import import_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=path_argument,
        help=".pkl of NVIDIA's StyleGAN2-ADA, .pt of rosinality's layout, or .pt of e4e or pSp",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--name", help="name of the new checkpoint, which is its folder's name")
    target.add_argument("--encoder-for", metavar="CHECKPOINT", help="name of the checkpoint that gets the encoder")
    parser.add_argument("--root", type=folder_argument, default=Path("checkpoints"), help="folder of all checkpoints")
    parser.add_argument("--encoder-kind", choices=KINDS, help="for a file that does not say which its encoder is")
    parser.add_argument("--replace", action="store_true", help="with --encoder-for: take the place of its encoder")
    parser.add_argument("--source", default="", help="where the file comes from, kept in config.json")
    parser.add_argument("--licence", default="", help="its licence, kept in config.json")


def run(args: argparse.Namespace) -> int:
    facts = (args.root, args.source, args.licence, args.encoder_kind)
    if args.name is not None:
        print(f"{args.file.name} imported as {import_file(args.file, args.name, *facts)}")
        return 0
    folder, same = attach_encoder(args.file, args.encoder_for, *facts, replace=args.replace)
    print(f"encoder of {args.file.name} added to {folder}")
    if same is False:
        print("Note: the generator in the file is not the checkpoint's, so the encoder's codes may not fit it.")
    return 0
