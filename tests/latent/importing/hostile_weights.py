"""Files that pretend to be weights: what `tests/latent/test_import_hostile.py` feeds to the importer.

Pickles are put together from opcodes (names as in Python's pickletools), because Python's own pickler would not write
most of them.
"""

import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from latent.stylegan2 import Discriminator
from tests.latent.importing.psp_files import psp_bytes, psp_table
from tests.latent.importing.test_reader import small_networks
from tests.latent.importing.weight_files import (
    PickledNetwork,
    nvidia_bytes,
    nvidia_table,
    pt_bytes,
    small_rosinality_state,
)

STOP = b"."
CASES = Path(__file__).parents[2] / "data" / "cases" / "weights"


def proto(version: int = 4) -> bytes:
    return b"\x80" + bytes([version])


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def global_(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


class RunsOnLoad:
    """Pickles to a call that leaves a file behind."""

    def __init__(self, marker: str, how: str) -> None:
        self.marker, self.how = marker, how

    def __reduce__(self) -> tuple[Any, ...]:
        if self.how == "system":
            return os.system, (f"touch {self.marker}",)
        if self.how == "eval":
            return eval, (f"open({self.marker!r}, 'w').close()",)
        return io.open, (self.marker, "w")


def calls(marker: str) -> dict[str, tuple[bytes, str]]:
    """Files that want to run something, and a piece of what is to be said of them."""
    inside = nvidia_table(small_networks()[0])
    inside["training_set_kwargs"]["x"] = RunsOnLoad(marker, "system")
    state = small_rosinality_state()
    zipped = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(pt_bytes({"g_ema": state}))) as good, zipfile.ZipFile(zipped, "w") as bad:
        for member in good.namelist():
            body = good.read(member)
            bad.writestr(member, pickle.dumps(RunsOnLoad(marker, "system"), 2) if member.endswith("data.pkl") else body)
    legacy = pt_bytes({"g_ema": RunsOnLoad(marker, "eval")}, legacy=True)
    nested = nested_bytes(pt_bytes(RunsOnLoad(marker, "system"), legacy=True))
    return {
        "pickle-system": (pickle.dumps(RunsOnLoad(marker, "system"), 4), "posix.system"),
        "pickle-eval": (pickle.dumps(RunsOnLoad(marker, "eval"), 2), "eval"),
        "pickle-open": (pickle.dumps({"G_ema": RunsOnLoad(marker, "open")}, 5), "io.open"),
        "inside-a-good-pickle": (nvidia_bytes(inside), "posix.system"),
        "zip-pt": (zipped.getvalue(), "posix.system"),
        "legacy-pt": (legacy, "eval"),
        "nested-storage": (nested, "posix.system"),
        "opts-of-an-encoder": (psp_bytes(x=RunsOnLoad(marker, "system")), "posix.system"),
        "namespace-of-an-encoder": (psp_bytes(namespace=True, x=RunsOnLoad(marker, "eval")), "eval"),
        "attribute-of-a-namespace": (
            proto() + global_("argparse", "Namespace.__init__.__globals__") + STOP,
            "__globals__",
        ),
        "inst-opcode": (proto() + b"(X\x02\x00\x00\x00idiposix\nsystem\n" + STOP, "instruction"),
        "protocol-0": (pickle.dumps(RunsOnLoad(marker, "system"), 0), "not a weight file"),
        "allowed-then-attribute": (
            proto() + global_("torch._utils", "_rebuild_tensor_v2.__globals__") + STOP,
            "__globals__",
        ),
        "other-torch": (proto() + global_("torch", "load") + b"(" + text(marker) + b"tR" + STOP, "torch.load"),
        "code-object": (proto() + global_("builtins", "compile") + STOP, "builtins.compile"),
        "unprintable-name": (proto() + b"\x8c\x02os\x8c\x05a\x1b[2J\x93" + STOP, "refused"),
    }


def nested_bytes(inner: bytes) -> bytes:
    """A pickle in which `inner` is loaded as a storage."""
    load = global_("torch.storage", "_load_from_bytes")
    return proto() + b"}" + text("G_ema") + load + b"B" + struct.pack("<I", len(inner)) + inner + b"\x85Rs" + STOP


def rebuild(arguments: bytes) -> bytes:
    """A table whose G_ema is a tensor built from `arguments`."""
    return proto() + b"}" + text("G_ema") + global_("torch._utils", "_rebuild_tensor_v2") + arguments + b"Rs" + STOP


def exhausting() -> dict[str, bytes]:
    """Files that ask for memory or time without end."""
    laughs = proto() + b"]\x94" + b"".join(b"(" + (b"h" + bytes([i])) * 10 + b"l\x94" for i in range(200))
    hashed = (
        proto()
        + b"}"
        + b"K\x01\x85\x94"
        + b"".join(b"h" + bytes([i]) + b"h" + bytes([i]) + b"\x86\x94" for i in range(60))
    )
    many = nested_bytes(b"\x80\x02" + b"NN" * 10)[:-3]
    return {
        "billion-laughs": laughs + STOP,
        "hash-bomb": hashed + b"Ns" + STOP,
        "deep-lists": proto() + b"]" * 400_000 + b"a" * 399_999 + STOP,
        "deep-tuples": proto() + b"N" + b"\x85" * 800_000 + STOP,
        "endless-marks": proto() + b"(" * 900_000 + STOP,
        "too-many-parts": proto() + b"N0" * 3_000_000 + b"N" + STOP,
        "long4": proto() + b"\x8b\xff\xff\xff\x7f" + b"\x01" * 100 + STOP,
        "long4-negative": proto() + b"\x8b\xff\xff\xff\xff" + b"\x01" * 100 + STOP,
        "binbytes8": proto() + b"\x8e" + struct.pack("<Q", 1 << 62) + b"\x01" * 100 + STOP,
        "binunicode8": proto() + b"\x8d" + struct.pack("<Q", 1 << 62) + b"a" * 100 + STOP,
        "long-text": proto() + b"\x8d" + struct.pack("<Q", 17 << 20) + b"a" * (17 << 20) + STOP,
        "frame": proto() + b"\x95" + struct.pack("<Q", (1 << 64) - 1) + STOP,
        "memo-index": proto() + b"Nr\xff\xff\xff\xff" + STOP,
        "decimal-bomb": proto() + b"L" + b"9" * 3_000_000 + b"L\n" + STOP,
        "repeated-storages": many + b"".join(b"h\x00" for _ in range(10)) + STOP,
        "self-reference": proto() + b"}\x94" + text("G_ema") + b"h\x00s" + STOP,
        "set-of-nested": proto() + b"\x8f(" + b"]" * 1000 + b"\x90" + STOP,
        "shared-modules": (CASES / "exp_modules.pkl").read_bytes(),
        "shared-setting": (CASES / "exp_setting_z.pkl").read_bytes(),
        "shared-option": psp_bytes(output_size=shared_lists()),
        "shared-kind": psp_bytes(encoder_type=shared_lists()),
        "shared-empty-table": shared_tables(dict.fromkeys(map(str, range(20_000))), 2000),
        "long-names": shared_tables({"n" * (1 << 20): None}, 2000),
        "equal-hashes": proto() + b"}(" + b"".join(equal_hash(i) + b"N" for i in range(300_000)) + b"u" + STOP,
        "one-storage-again-and-again": again_and_again(1 << 20, 20_000),
    }


def shared_lists(depth: int = 60) -> list[Any]:
    """Lists that hold the next one ten times: a few hundred references, 10 ** depth paths."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value] * 10
    return value


def shared_tables(table: dict[str, Any], modules: int) -> bytes:
    """A network of many modules, each of its own, that all have the one table of parameters."""
    parts = {
        str(i): PickledNetwork("Part", {"_parameters": table, "_buffers": {}, "_modules": {}}) for i in range(modules)
    }
    state = {"_parameters": {}, "_buffers": {}, "_modules": parts, "_init_args": (), "_init_kwargs": {}}
    return nvidia_bytes({"G_ema": PickledNetwork("Generator", state)})


def equal_hash(i: int) -> bytes:
    """A whole number as an instruction; all of them have the hash 0 (Python's numbers hash modulo 2 ** 61 - 1)."""
    number = (i + 1) * (2**61 - 1)
    size = number.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + number.to_bytes(size, "little", signed=True)


def again_and_again(size: int, times: int) -> bytes:
    """One nested storage with a long text in it, loaded many times from the same bytes."""
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    inner = head + b"\x80\x02" + text("a" * size) + STOP + pickle.dumps([], 2)
    load = global_("torch.storage", "_load_from_bytes")
    start = proto() + b"B" + struct.pack("<I", len(inner)) + inner + b"q\x000" + load + b"q\x010("
    return start + b"h\x01h\x00\x85R0" * times + b"l" + STOP


def arguments() -> dict[str, bytes]:
    """Allow-listed names called with what they are not for."""
    ordered = global_("collections", "OrderedDict")
    namespace = global_("argparse", "Namespace")
    return {
        "tensor-without-storage": rebuild(b"(K\x01K\x01t"),
        "tensor-of-numbers": rebuild(b"(K\x01K\x00K\x01\x85K\x01\x85\x89Nt"),
        "parameter-of-text": proto() + global_("torch._utils", "_rebuild_parameter") + text("x") + b"\x85R" + STOP,
        "storage-of-text": proto() + global_("torch.storage", "_load_from_bytes") + text("x") + b"\x85R" + STOP,
        "storage-called": proto() + global_("torch", "FloatStorage") + b"J\xff\xff\xff\x7f\x85R" + STOP,
        "storage-in-storage": nested_bytes(nested_bytes(b"x")),
        "network-of-text": proto()
        + global_("torch_utils.persistence", "_reconstruct_persistent_obj")
        + text("x")
        + b"\x85R"
        + STOP,
        "namespace-with-arguments": proto() + namespace + text("x") + b"\x85\x81" + STOP,
        "namespace-of-a-list": opts(namespace + b")\x81]b"),
        "namespace-of-itself": opts(namespace + b")\x81\x94}" + text("encoder_type") + b"h\x00sb"),
        "ordered-of-pairs": proto() + ordered + b"]\x85R" + STOP,
        "call-of-a-number": proto() + b"K\x01)R" + STOP,
        "arguments-no-tuple": proto() + ordered + b"K\x01R" + STOP,
        "state-for-a-number": proto() + b"K\x01}b" + STOP,
        "state-for-a-tensor": proto() + b"]}b" + STOP,
        "persistent-id": proto() + text("x") + b"Q" + STOP,
        "items-of-a-number": proto() + b"K\x01K\x02K\x03s" + STOP,
        "append-to-a-table": proto() + b"}K\x01a" + STOP,
        "odd-items": proto() + b"}(K\x01u" + STOP,
        "empty-stack": proto() + STOP,
        "no-mark": proto() + b"t" + STOP,
        "unknown-memo": proto() + b"h\x07" + STOP,
        "protocol-9": proto(9) + b"N" + STOP,
        "not-utf8": proto() + b"\x8c\x02\xff\xfe" + STOP,
        "trailing": proto() + b"}" + STOP + b"more",
    }


def opts(value: bytes) -> bytes:
    """A table with an empty state_dict and `value` as opts."""
    return proto() + b"}(" + text("state_dict") + b"}" + text("opts") + value + b"u" + STOP


def legacy_tensor(storage: str, shape: tuple[int, ...], stride: tuple[int, ...], length: int, offset: int = 0) -> bytes:
    """An old-format .pt whose g_ema has one tensor as described, over `length` numbers that are really there."""
    head = b"".join(
        pickle.dumps(value, 2)
        for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    )
    identity = b"(" + text("storage") + global_("torch", storage) + text("0") + text("cpu")
    identity += pickle.dumps(length, 2)[2:-1] + b"NtQ"
    offset_, shape_, stride_ = (pickle.dumps(value, 2)[2:-1] for value in (offset, shape, stride))
    tensor = global_("torch._utils", "_rebuild_tensor_v2") + b"(" + identity + offset_ + shape_ + stride_ + b"\x89}tR"
    value = proto(2) + b"}" + text("g_ema") + b"}" + text("style.1.weight") + tensor + b"ss" + STOP
    return head + value + pickle.dumps(["0"], 2) + struct.pack("<q", length) + b"\0" * (4 * min(length, 1000))


def shapes() -> dict[str, bytes]:
    """Tensors that are not what they say."""
    return {
        "enormous": legacy_tensor("FloatStorage", (1 << 20, 1 << 20), (1 << 20, 1), 4),
        "overflowing": legacy_tensor("FloatStorage", (1 << 62, 1 << 62), (1, 1), 4),
        "expanded": legacy_tensor("FloatStorage", (100_000, 100_000), (0, 0), 1),
        "negative": legacy_tensor("FloatStorage", (-1, 4), (4, 1), 4),
        "overlapping": legacy_tensor("FloatStorage", (2, 2), (1, 1), 4),
        "beyond": legacy_tensor("FloatStorage", (2, 2), (2, 1), 4, offset=3),
        "long-storage-cut": legacy_tensor("FloatStorage", (1 << 30,), (1,), 1 << 30),
        "negative-storage": legacy_tensor("FloatStorage", (1,), (1,), -5),
        "unknown-kind": legacy_tensor("ComplexFloatStorage", (2,), (1,), 4),
        "many-dimensions": legacy_tensor("FloatStorage", (1,) * 60, (1,) * 60, 4),
    }


def changed_network(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A good small training pickle in which `change` altered the generator's state."""
    table = nvidia_table(*small_networks())
    change(table["G_ema"].state)
    return nvidia_bytes(table)


def child(state: dict[str, Any], *names: str) -> dict[str, Any]:
    """State of the module below by its names."""
    for name in names:
        state = state["_modules"][name].state
    return state


def _replace(state: dict[str, Any], kind: str, name: str, value: Any) -> None:
    state[kind][name] = value


def _settings(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(state: dict[str, Any]) -> None:
        state["_init_kwargs"] = {**state["_init_kwargs"], **changes}

    return change


def _deeper(state: dict[str, Any]) -> None:
    inner = PickledNetwork("X", {"_parameters": {}, "_buffers": {}, "_modules": {}})
    for _ in range(40):
        inner = PickledNetwork("X", {"_parameters": {}, "_buffers": {}, "_modules": {"a": inner, "b": inner}})
    state["_modules"]["deep"] = inner


def _shared(state: dict[str, Any]) -> None:
    numbers = torch.zeros(8, 8, 3, 3)
    for block, layer in (("b4", "conv1"), ("b8", "conv0"), ("b8", "conv1")):
        child(state, "synthesis", block, layer)["_parameters"]["weight"] = numbers


def networks() -> dict[str, tuple[bytes, str]]:
    """Well-formed pickles whose networks do not fit, and a piece of what is to be said."""
    nan = torch.zeros(12, 8)
    nan[3, 4] = float("nan")
    infinite = torch.full((12, 8), float("inf"))
    stylegan3 = PickledNetwork(
        "SynthesisInput", {"_parameters": {"weight": torch.zeros(2, 2)}, "_buffers": {}, "_modules": {}}
    )
    weight = ("_parameters", "weight")
    return {
        "wrong-shape": (
            changed_network(lambda s: _replace(child(s, "mapping", "fc0"), *weight, torch.zeros(9, 9))),
            "fc0.weight",
        ),
        "missing": (changed_network(lambda s: child(s, "mapping", "fc0")["_parameters"].pop("weight")), "lacks"),
        "unknown-tensor": (
            changed_network(lambda s: _replace(child(s, "mapping"), "_buffers", "extra", torch.zeros(1))),
            "extra",
        ),
        "nan": (changed_network(lambda s: _replace(child(s, "mapping", "fc0"), *weight, nan)), "finite"),
        "infinite": (changed_network(lambda s: _replace(child(s, "mapping", "fc0"), *weight, infinite)), "finite"),
        "whole-numbers": (
            changed_network(lambda s: _replace(child(s, "mapping", "fc0"), *weight, nan.int())),
            "floating",
        ),
        "text-for-tensor": (
            changed_network(lambda s: _replace(child(s, "mapping", "fc0"), *weight, "hello")),
            "fc0.weight",
        ),
        "unprintable-name": (
            changed_network(lambda s: _replace(child(s, "mapping"), "_buffers", "\x1b[2J\n", "hello")),
            "should be",
        ),
        "text-for-module": (changed_network(lambda s: _replace(s, "_modules", "mapping", "hello")), "mapping"),
        "other-filter": (
            changed_network(
                lambda s: _replace(child(s, "synthesis", "b4"), "_buffers", "resample_filter", torch.ones(4, 4))
            ),
            "filter",
        ),
        "absurd-resolution": (changed_network(_settings(img_resolution=1 << 20)), "img_resolution"),
        "odd-resolution": (changed_network(_settings(img_resolution=24)), "img_resolution"),
        "negative-resolution": (changed_network(_settings(img_resolution=-8)), "img_resolution"),
        "resolution-as-text": (changed_network(_settings(img_resolution="8")), "img_resolution"),
        "grey": (changed_network(_settings(img_channels=1)), "img_channels"),
        "endless-mapping": (changed_network(_settings(mapping_kwargs={"num_layers": 10**9})), "num_layers"),
        "endless-channels": (
            changed_network(_settings(synthesis_kwargs={"channel_base": 2**40, "channel_max": 2**40})),
            "channel",
        ),
        "unknown-setting": (changed_network(_settings(magnitude_ema_beta=0.99)), "magnitude_ema_beta"),
        "other-architecture": (changed_network(_settings(synthesis_kwargs={"architecture": "plain"})), "architecture"),
        "settings-as-text": (changed_network(lambda s: s.update(_init_kwargs="x")), "how its Generator"),
        "too-many-positions": (changed_network(lambda s: s.update(_init_args=tuple(range(9)))), "built"),
        "stylegan3": (
            changed_network(lambda s: _replace(child(s, "synthesis"), "_modules", "input", stylegan3)),
            "StyleGAN3",
        ),
        "deep-modules": (changed_network(_deeper), "deeper"),
        "shared-numbers": (changed_network(_shared), "same numbers"),
        "without-g-ema": (nvidia_bytes({"G": nvidia_table(small_networks()[0])["G_ema"]}), "G_ema"),
        "wrong-class": (nvidia_bytes({"G_ema": nvidia_table(small_networks()[0], small_networks()[1])["D"]}), "G_ema"),
        "g-ema-as-number": (pickle.dumps({"G_ema": 3}, 4), "G_ema"),
        "a-list": (pickle.dumps([1, 2, 3], 4), "no table"),
        "discriminator-of-another": (
            nvidia_bytes(nvidia_table(small_networks()[0], other_discriminator())),
            "discriminator",
        ),
    }


def other_discriminator() -> torch.nn.Module:
    return Discriminator(0, 16, 3, channel_base=64, channel_max=8)


def state_dicts() -> dict[str, tuple[bytes, str]]:
    """`.pt` files that are torch's but not this generator, and a piece of what is to be said."""
    good = small_rosinality_state()

    def changed(**changes: Any) -> bytes:
        return pt_bytes({"g_ema": OrderedDict({**good, **changes})})

    without = OrderedDict((key, value) for key, value in good.items() if key != "convs.1.conv.weight")
    nan = good["style.2.weight"].clone()
    nan[0, 0] = float("nan")
    return {
        "other-state-dict": (pt_bytes(torch.nn.Linear(3, 3).state_dict()), "no generator"),
        "tensor-only": (pt_bytes(torch.zeros(3)), "no table"),
        "g-ema-as-list": (pt_bytes({"g_ema": [1, 2]}), "g_ema"),
        "g-ema-empty": (pt_bytes({"g_ema": {}}), "lacks"),
        "no-generator": (pt_bytes({"d": good}), "G_ema"),
        "number-in-state": (changed(**{"style.1.bias": 3}), "style.1.bias"),
        "missing-layer": (pt_bytes({"g_ema": without}), "lacks"),
        "extra": (changed(**{"encoder.weight": torch.zeros(3)}), "encoder.weight"),
        "unprintable": (changed(**{"\x1b[2J\n": torch.zeros(3)}), "no place"),
        "wrong-rank": (changed(**{"input.input": torch.zeros(8)}), "b4.const"),
        "wrong-shape": (changed(**{"convs.0.conv.weight": torch.zeros(1, 9, 8, 3, 3)}), "as"),
        "two-constants": (changed(**{"input.input": torch.zeros(2, 8, 4, 4)}), "b4.const"),
        "other-filter": (changed(**{"convs.0.conv.blur.kernel": torch.ones(4, 4)}), "filter"),
        "nan": (changed(**{"style.2.weight": nan}), "finite"),
        "mean-code": (pt_bytes({"g_ema": good, "latent_avg": torch.zeros(5)}), "latent_avg"),
        "huge-layer-number": (changed(**{"convs.99.conv.weight": torch.zeros(1)}), "synthesis.b"),
    }


def encoders() -> dict[str, tuple[bytes, str]]:
    """e4e and pSp files of torch that do not fit, and a piece of what is to be said."""

    def changed(**tensors: Any) -> bytes:
        """With tensors put in by name, or left out where None is given."""
        table = psp_table()
        state = {**table["state_dict"], **{key.replace("__", "."): value for key, value in tensors.items()}}
        return pt_bytes({**table, "state_dict": {key: value for key, value in state.items() if value is not None}})

    good = psp_table()["state_dict"]
    nan = good["encoder.latlayer1.weight"].clone()
    nan[0] = float("nan")
    numbers = good["encoder.body.0.res_layer.1.weight"].clone()
    other = small_rosinality_state(w_dim=12)
    return {
        "state-dict-as-list": (pt_bytes({"state_dict": [1, 2]}), "state_dict"),
        "state-dict-empty": (pt_bytes({"state_dict": {}}), "no encoder"),
        "other-model": (pt_bytes({"state_dict": torch.nn.Linear(3, 3).state_dict()}), "no place"),
        "generator-alone": (pt_bytes({"state_dict": {k: v for k, v in good.items() if "decoder" in k}}), "no encoder"),
        "encoder-alone": (psp_bytes(decoder={}), "--encoder-for"),
        "number-in-state": (changed(encoder__x=3), "encoder.x"),
        "extra": (changed(encoder__body__24=torch.zeros(3)), "body.24"),
        "unprintable": (changed(**{"encoder__\x1b[2J\n": torch.zeros(3)}), "no place"),
        "extra-counter": (changed(encoder__body__0__num_batches_tracked=torch.tensor(1)), "num_batches_tracked"),
        "missing": (changed(encoder__latlayer2__bias=None), "latlayer2.bias"),
        "missing-stem": (changed(encoder__input_layer__0__weight=None), "input_layer.0.weight"),
        "missing-head": (changed(encoder__styles__3__linear__weight=None), "3 layers of W+"),
        "no-heads": (pt_bytes({"state_dict": {"encoder.input_layer.0.weight": torch.zeros(16, 3, 3, 3)}}), "say"),
        "odd-width": (changed(encoder__input_layer__0__weight=torch.zeros(24, 3, 3, 3)), "multiple of 16"),
        "endless-width": (changed(encoder__input_layer__0__weight=torch.zeros(4096, 3, 1, 1)), "width"),
        "no-width": (changed(encoder__input_layer__0__weight=torch.zeros(0, 3, 3, 3)), "width"),
        "of-drawings": (changed(encoder__input_layer__0__weight=torch.zeros(16, 19, 3, 3)), "19 channels"),
        "wrong-rank": (changed(encoder__input_layer__0__weight=torch.zeros(16)), "input_layer.0.weight"),
        "wrong-shape": (changed(encoder__body__5__res_layer__1__weight=torch.zeros(32, 32, 1, 1)), "res_layer.1"),
        "wrong-matrix": (changed(encoder__styles__1__linear__weight=torch.zeros(16, 15)), "styles.1.linear"),
        "nan": (changed(encoder__latlayer1__weight=nan), "finite"),
        "whole-numbers": (changed(encoder__latlayer1__weight=nan.int()), "floating"),
        "negative-variance": (changed(encoder__input_layer__1__running_var=torch.full((16,), -1.0)), "negative"),
        "same-numbers": (
            changed(**{f"encoder__body__{n}__res_layer__1__weight": numbers for n in (0, 1, 2)}),
            "same numbers",
        ),
        "generator-of-another": (psp_bytes(decoder=other), "codes of 4 x 16 numbers"),
        "mean-code-of-another": (psp_bytes(average=torch.zeros(5)), "latent_avg"),
        "mean-code-of-other-layers": (psp_bytes(average=torch.zeros(6, 16)), "latent_avg"),
        "mean-code-nan": (psp_bytes(average=torch.full((16,), float("nan"))), "finite"),
        "mean-code-as-text": (pt_bytes({**psp_table(), "latent_avg": "x"}), "latent_avg"),
        "opts-as-list": (pt_bytes({**psp_table(), "opts": [1]}), "opts"),
        "no-opts": (pt_bytes({"state_dict": good}), "--encoder-kind"),
        "other-encoder": (psp_bytes(encoder_type="ProgressiveBackboneEncoder"), "ProgressiveBackboneEncoder"),
        "encoder-as-list": (psp_bytes(encoder_type=["GradualStyleEncoder"]), "of the type"),
        "unprintable-encoder": (psp_bytes(encoder_type="\x1b[2J\n"), "of the type"),
        "start-as-text": (psp_bytes(start_from_latent_avg="yes"), "start_from_latent_avg"),
        "other-size": (psp_bytes(stylegan_size=1024), "stylegan_size 1024"),
        "size-as-text": (psp_bytes(output_size="\x1b" * 90), "output_size"),
    }


def zips() -> dict[str, tuple[bytes, str]]:
    """Zip containers that torch would not write, and a piece of what is to be said."""
    bomb, renamed, twice = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"g_ema": 0}, 2))
        archive.writestr("archive/data/0", b"\0" * (64 << 20))
    with zipfile.ZipFile(renamed, "w") as archive:
        archive.writestr("word/document.xml", "<xml/>")
    with (
        zipfile.ZipFile(io.BytesIO(pt_bytes({"g_ema": small_rosinality_state()}))) as good,
        zipfile.ZipFile(twice, "w") as bad,
    ):
        for member in good.namelist():
            if not member.endswith("/3"):
                bad.writestr(member, good.read(member))
    whole = pt_bytes({"g_ema": small_rosinality_state()})
    end = whole.rfind(b"PK\x05\x06")
    count = int.from_bytes(whole[end + 10 : end + 12], "little")
    overlap = bytearray(whole)
    directory = int.from_bytes(whole[end + 16 : end + 20], "little")
    second = whole.find(b"PK\x01\x02", directory + 4)
    overlap[second + 42 : second + 46] = whole[directory + 42 : directory + 46]  # two entries, one place
    big = bytearray(whole)
    big[directory + 20 : directory + 28] = b"\xfe\xff\xff\xff" * 2
    crowd = bytearray(whole)
    crowd[end + 8 : end + 12] = b"\xff\xff\xff\xff"
    astray = bytearray(whole)
    astray[end + 16 : end + 20] = b"\xff\xff\xff\x7f"
    assert count > 3
    return {
        "bomb": (bomb.getvalue(), "compressed"),
        "other-zip": (renamed.getvalue(), "data.pkl"),
        "missing-member": (twice.getvalue(), "missing"),
        "overlapping": (bytes(overlap), "zip"),
        "member-beyond": (bytes(big), "cut short"),
        "crowded": (bytes(crowd), "more members"),
        "directory-astray": (bytes(astray), "damaged"),
        "header-only": (b"PK\x03\x04" + b"\0" * 200, "damaged"),
        "end-only": (b"PK\x03\x04" + b"\0" * 100 + b"PK\x05\x06" + b"\0" * 18, "data.pkl"),
    }


def kinds() -> dict[str, bytes]:
    """Files of another kind."""
    return {
        "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(256)) * 8,
        "png": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "text": b"weights, honestly\n" * 50,
        "json": b'{"G_ema": 1}',
        "zeros": bytes(5000),
        "one-byte": b"\x80",
        "safetensors": struct.pack("<Q", 2) + b"{}",
        "python": b"import os\nos.system('true')\n",
    }


def good_pickle() -> bytes:
    return nvidia_bytes(nvidia_table(*small_networks()))


def good_encoder(legacy: bool) -> bytes:
    return psp_bytes(legacy)


def good_pt(legacy: bool) -> bytes:
    return pt_bytes({"g_ema": small_rosinality_state()}, legacy)
