"""config.json of a checkpoint, read and checked without torch: what can be known before any network is opened.

config.json holds the format, the settings of the networks, size and sha256 of each weight file, and where the networks
come from. `latent.checkpoints` writes it and reads the weights that it lists.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.parsing import json_value
from latent.errors import CheckpointError

CONFIG = "config.json"
FORMAT = 1
PARTS = ("generator", "discriminator", "encoder")
MAX_CONFIG_BYTES = 1 << 20
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
WPLUS_ENCODER = "ours"  # kind of the encoder of `latent.encoders.wplus`; also what a config without a kind means


def check_name(name: str) -> str:
    """The name of a checkpoint as a folder's name. Raises CheckpointError where it could leave the root."""
    if not name or len(name) > 64 or name[0] in ".-" or not NAME_CHARACTERS.issuperset(name):
        raise CheckpointError(
            f"{name[:80]!r} cannot be the name of a checkpoint: use up to 64 letters, digits, dots, dashes and "
            "underscores, beginning with a letter or digit."
        )
    return name


def checkpoint_names(root: Path) -> list[str]:
    """Names of the folders under `root` that hold a config.json, sorted."""
    return sorted(file.parent.name for file in root.glob(f"*/{CONFIG}") if not file.parent.name.startswith("."))


def read_config(path: Path) -> dict[str, Any]:
    """config.json of a checkpoint folder, with the entries checked that everything else relies on.

    Raises CheckpointError with one sentence.
    """
    file = path / CONFIG
    where = f"Checkpoint {path.name}"
    try:
        if not file.is_file():
            raise CheckpointError(f"There is no checkpoint in {path.name}: no config.json; import or train one first.")
        if file.stat().st_size > MAX_CONFIG_BYTES:
            raise CheckpointError(f"{where} cannot be used: config.json is larger than 1 MB; restore its folder.")
        config = json_value(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{where} cannot be used: config.json is not readable JSON; restore it.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{where} cannot be used: config.json is not of format {FORMAT}; import it again.")
    files = config.get("files")
    if not isinstance(files, dict) or not {"generator.safetensors", "statistics.safetensors"} <= files.keys():
        raise CheckpointError(f"{where} cannot be used: config.json does not list its weight files; restore it.")
    for name, entry in files.items():
        if not (isinstance(entry, dict) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)):
            raise CheckpointError(f"{where} cannot be used: config.json lacks size or sha256 of {name[:80]}.")
    return config


def has_part(config: Mapping[str, Any], part: str) -> bool:
    return f"{part}.safetensors" in config["files"]


def can_fit_mapping(config: Mapping[str, Any]) -> bool:
    """Whether the mapping network can be fitted in closed form to the codes of new photos: it has two layers, the
    hidden one at least twice as wide as z, and the encoder that reads the codes is a WPlusEncoder."""
    encoder, generator = config.get("encoder"), config.get("generator")
    if not isinstance(encoder, Mapping) or not isinstance(generator, Mapping) or not has_part(config, "encoder"):
        return False
    mapping, z_dim, w_dim = generator.get("mapping_kwargs"), generator.get("z_dim"), generator.get("w_dim")
    if not isinstance(mapping, Mapping) or type(z_dim) is not int or type(w_dim) is not int:
        return False
    hidden = mapping.get("layer_features") or w_dim
    two_layers = mapping.get("num_layers") == 2 and type(hidden) is int and hidden >= 2 * z_dim
    return two_layers and encoder.get("kind", WPLUS_ENCODER) == WPLUS_ENCODER


def can_reconstruct(config: Mapping[str, Any]) -> bool:
    """Whether `finetune --method reconstruction` can start from this checkpoint: its mapping network can be fitted and
    it has no classes."""
    return can_fit_mapping(config) and config["generator"].get("c_dim") == 0
