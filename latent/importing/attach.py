"""`python -m latent import FILE --encoder-for CHECKPOINT`: the encoder of an e4e or pSp file is added to a checkpoint.

The generator stays as it is, byte for byte, so codes that were made with it stay valid.
"""

from datetime import UTC, datetime
from pathlib import Path

import torch

from latent.checkpoint_config import PARTS, check_name
from latent.checkpoints import load_checkpoint, save_checkpoint
from latent.errors import CheckpointError, ImportRefused
from latent.importing import psp
from latent.importing.reader import UNKNOWN_LICENCE, check_shared, contents, file_facts, rosinality_generator
from latent.stylegan2 import Generator

SAME = 1e-3  # of a tensor's largest value: what half precision on disk takes away, with a margin
# Not what makes two generators the same: the mean code is estimated, noise maps are drawn.
IGNORED = ("mapping.w_avg", "noise_const", "resample_filter")
GENERATORS = {True: "the checkpoint's", False: "another than the checkpoint's", None: "not in the file"}


def _same_generator(ours: Generator, theirs: Generator) -> bool:
    """Whether two generators compute the same but for mean code and noise."""
    weights = [
        {name: value for name, value in network.state_dict().items() if not name.endswith(IGNORED)}
        for network in (ours, theirs)
    ]
    if {name: value.shape for name, value in weights[0].items()} != {n: v.shape for n, v in weights[1].items()}:
        return False
    return all(
        torch.allclose(value, weights[1][name], rtol=0, atol=SAME * float(value.abs().max()))
        for name, value in weights[0].items()
    )


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
