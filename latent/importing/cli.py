"""`python -m latent import FILE --name NAME`: a foreign weight file becomes checkpoints/NAME.

`--encoder-for CHECKPOINT` instead of `--name` adds the encoder of an e4e or pSp file to an existing checkpoint. Its
generator stays as it is, byte for byte, so codes that were made with it stay valid.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import torch

from common.command import folder_argument, path_argument
from latent.checkpoint_config import PARTS, check_name
from latent.checkpoints import load_checkpoint, save_checkpoint
from latent.encoders.psp import KINDS
from latent.errors import CheckpointError, ImportRefused
from latent.importing import psp
from latent.importing.reader import (
    UNKNOWN_LICENCE,
    check_shared,
    contents,
    file_facts,
    import_file,
    rosinality_generator,
)
from latent.stylegan2 import Generator

SAME = 1e-3  # of a tensor's largest value: what half precision on disk takes away, with a margin
# Not what makes two generators the same: the mean code is estimated, noise maps are drawn.
IGNORED = ("mapping.w_avg", "noise_const", "resample_filter")
GENERATORS = {True: "the checkpoint's", False: "another than the checkpoint's", None: "not in the file"}


def _same_generator(ours: Generator, theirs: Generator) -> bool:
    """Whether two generators compute the same but for mean code and noise."""
    a, b = ({k: v for k, v in g.state_dict().items() if not k.endswith(IGNORED)} for g in (ours, theirs))
    if {name: value.shape for name, value in a.items()} != {name: value.shape for name, value in b.items()}:
        return False
    return all(torch.allclose(v, b[name], rtol=0, atol=SAME * float(v.abs().max())) for name, v in a.items())


def attach_encoder(
    path: Path,
    name: str,
    root: Path,
    source: str = "",
    licence: str = "",
    encoder_kind: str | None = None,
    replace: bool = False,
) -> tuple[Path, bool | None]:
    """Give checkpoint root/NAME the encoder of a file; its folder, and whether the file's own generator is the
    checkpoint's (None where it has none). The folder is replaced as a whole or stays as it was.

    Raises ImportRefused with one sentence.
    """
    path = Path(path)
    try:
        check_name(name)
        checkpoint = load_checkpoint(root / name, parts=PARTS)
        if checkpoint.encoder is not None and not replace:
            raise ImportRefused(
                f"Checkpoint {name} already has an encoder; add --replace to put this one in its place."
            )
        with contents(path) as value:
            file = psp.read_encoder(value, encoder_kind)
            theirs = (file.settings["num_ws"], file.settings["w_dim"])
            if theirs != (checkpoint.num_ws, checkpoint.w_dim):
                raise ImportRefused(
                    f"The encoder gives codes of {theirs[0]} x {theirs[1]} numbers, for a "
                    f"{file.settings['resolution']} px generator; that of checkpoint {checkpoint.name} "
                    f"({checkpoint.resolution} px) takes {checkpoint.num_ws} x {checkpoint.w_dim}."
                )
            check_shared([*file.records.values(), *(file.decoder or {}).values()])
            same = None
            if file.decoder is not None:
                generator = rosinality_generator({"g_ema": file.decoder, "latent_avg": file.average})
                same = _same_generator(checkpoint.generator, generator)
            encoder = psp.build_encoder(file, checkpoint.generator.mapping.w_avg)
        record = file_facts(path, file.format) | {
            "generator": GENERATORS[same],
            "source": source or f"imported from {path.name}",
            "licence": licence or UNKNOWN_LICENCE,
            "imported_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        config = {key: value for key, value in checkpoint.config.items() if key != "encoder_training"}
        config["encoder_imported_from"] = record
        samples = checkpoint.statistics.samples
        generator, discriminator = checkpoint.generator, checkpoint.discriminator
        return save_checkpoint(root / name, generator, discriminator, encoder, config, samples=samples), same
    except CheckpointError as error:
        raise ImportRefused(str(error)) from error


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
