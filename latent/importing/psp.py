"""e4e and pSp files: a table with `state_dict` (names `encoder.*` and `decoder.*`), `latent_avg` and `opts`.

The decoder is a generator in rosinality's layout. `opts` are the training's settings, a table or an argparse.Namespace;
three of them matter: which of the two encoders it is, the generator's resolution, and whether the heads' answers are
offsets from the mean code. Sizes follow from the shapes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from latent.encoders.registry import Encoder, encoder_layout, fill_encoder
from latent.errors import ImportRefused
from latent.importing.pickle_reader import Record
from latent.importing.tensors import LazyTensors, TensorRecord
from latent.stylegan2.building import check_shapes, shown

TYPES = {"GradualStyleEncoder": "psp", "Encoder4Editing": "e4e"}
NAMES = {"psp": "pSp", "e4e": "e4e"}
COUNTER = ".num_batches_tracked"  # of a normalisation in training; says nothing about what is computed


@dataclass(frozen=True, eq=False)
class EncoderFile:
    """What such a file holds, checked against our network but for the numbers.

    settings: those of a StyleEncoder. records: our names -> tensors, without the mean code. from_average: whether the
    mean code is to be added; average: that of the file, None where it has none. decoder: its generator in rosinality's
    layout, None for a file that has only the encoder.
    """

    settings: dict[str, int | str]
    records: dict[str, TensorRecord]
    from_average: bool
    average: TensorRecord | None
    decoder: dict[str, TensorRecord] | None

    @property
    def format(self) -> str:
        return f"{NAMES[str(self.settings['kind'])]} .pt"


def _kind(options: Mapping[Any, Any], asked: str | None) -> str:
    """'psp' or 'e4e': the two have the same tensors, so the file has to say, or the person who imports it."""
    kind_name = options.get("encoder_type")
    if kind_name is None:
        if asked is None:
            raise ImportRefused(
                "The file does not say whether its encoder is pSp's or e4e's; add --encoder-kind psp or "
                "--encoder-kind e4e if you know which."
            )
        return asked
    kind = TYPES.get(kind_name) if isinstance(kind_name, str) else None
    if kind is None:
        raise ImportRefused(
            f"The file's encoder is of the type {shown(kind_name, 40)!r}; only GradualStyleEncoder (pSp) and "
            "Encoder4Editing (e4e) can be imported."
        )
    if asked not in (None, kind):
        raise ImportRefused(f"The file says that its encoder is {NAMES[kind]}'s; leave --encoder-kind out.")
    return kind


def _parts(value: Mapping[Any, Any]) -> tuple[dict[str, TensorRecord], dict[str, TensorRecord]]:
    """Tensors of encoder and decoder under their names there."""
    state = value.get("state_dict")
    if not isinstance(state, Mapping):
        raise ImportRefused("The file's state_dict is not a table of tensors; it was refused.")
    parts: dict[str, dict[str, TensorRecord]] = {"encoder": {}, "decoder": {}}
    for key, record in state.items():
        if not isinstance(key, str) or not isinstance(record, TensorRecord):
            raise ImportRefused(f"The file's state_dict has something else than a tensor under {shown(key, 60)!r}.")
        part, _, name = key.partition(".")
        if part not in parts or not name:
            raise ImportRefused(f"The file's state_dict has a tensor that has no place here, {shown(key)!r}.")
        parts[part][name] = record
    if not parts["encoder"]:
        raise ImportRefused("The file's state_dict has no encoder: e4e and pSp files have its tensors as encoder.*.")
    return parts["encoder"], parts["decoder"]


def _sizes(records: Mapping[str, TensorRecord], options: Mapping[Any, Any]) -> dict[str, int]:
    """resolution, num_ws, w_dim and width from shapes, the resolution compared with what `opts` say."""

    def shape(key: str, dimensions: int) -> tuple[int, ...]:
        if key not in records or len(records[key].shape) != dimensions:
            raise ImportRefused(f"The file's encoder lacks the tensor {key} in the shape that IR-SE-50 encoders have.")
        return records[key].shape

    width, channels = shape("input_layer.0.weight", 4)[:2]
    if channels != 3:
        raise ImportRefused(
            f"The file's encoder looks at {channels} channels; only encoders of RGB photos can be used."
        )
    num_ws = sum(1 for key in records if re.fullmatch(r"styles\.\d{1,2}\.linear\.weight", key))
    if num_ws % 2 or not 4 <= num_ws <= 20:
        raise ImportRefused(f"The file's encoder gives {num_ws} layers of W+, which no StyleGAN2 generator has.")
    resolution = 1 << (num_ws // 2 + 1)
    for name in ("output_size", "stylegan_size"):
        if options.get(name) not in (None, resolution):
            raise ImportRefused(
                f"The file says {name} {shown(options[name], 40)}, but its encoder gives the {num_ws} layers of a "
                f"{resolution} px generator."
            )
    w_dim = shape("styles.0.linear.weight", 2)[0]
    return {"resolution": resolution, "num_ws": num_ws, "w_dim": w_dim, "width": width}


def read_encoder(value: Mapping[Any, Any], asked: str | None = None) -> EncoderFile:
    """What a file of this family holds. asked: 'psp' or 'e4e' where the person says which it is.

    Raises ImportRefused or ValueError with one sentence.
    """
    options = value.get("opts")
    options = options.values if isinstance(options, Record) else {} if options is None else options
    if not isinstance(options, Mapping):
        raise ImportRefused("The file's opts are not a table of settings; it was refused.")
    records, decoder = _parts(value)
    settings: dict[str, int | str] = {"kind": _kind(options, asked), **_sizes(records, options)}
    records = {
        name: record
        for name, record in records.items()
        if not (name.endswith(COUNTER) and f"{name.removesuffix(COUNTER)}.running_mean" in records)
    }
    average = value.get("latent_avg")
    if average is not None:
        one, all_ = (settings["w_dim"],), (settings["num_ws"], settings["w_dim"])
        if not isinstance(average, TensorRecord) or average.shape not in (one, all_):
            raise ImportRefused("The file's latent_avg does not fit its encoder.")
    layout = encoder_layout(settings)
    shapes: dict[str, tuple[int, ...]] = {name: record.shape for name, record in records.items()}
    check_shapes(layout, shapes | {"latent_avg": tuple(layout.state_dict()["latent_avg"].shape)}, "the encoder")
    from_average = options.get("start_from_latent_avg")
    if from_average is None:  # where the file is silent, whether it has a mean code to start from
        from_average = average is not None
    if not isinstance(from_average, bool):
        raise ImportRefused("The file's start_from_latent_avg is neither true nor false; it was refused.")
    return EncoderFile(settings, records, from_average, average, decoder or None)


def build_encoder(file: EncoderFile, w_avg: torch.Tensor) -> Encoder:
    """The encoder with its numbers. w_avg (w_dim,): the generator's mean code, for a file that starts from the mean
    code and does not hold it. Raises ValueError with a sentence."""
    layout = encoder_layout(file.settings)
    mean = torch.zeros_like(layout.state_dict()["latent_avg"], device="cpu")
    if file.from_average:
        mean += w_avg.cpu() if file.average is None else file.average.read()
    return fill_encoder(layout, LazyTensors(file.records, {"latent_avg": mean}))
