"""Imported encoders: they compute what the published implementations do, and travel with a checkpoint."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from latent.__main__ import main
from latent.checkpoints import load_checkpoint, save_checkpoint
from latent.encoders.psp import StyleEncoder
from latent.encoders.psp.backbone import FixedNorm
from latent.encoders.registry import encoder_layout, encoder_settings, fill_encoder
from latent.encoders.wplus import WPlusEncoder
from latent.errors import CheckpointError, ImportRefused
from latent.importing import psp
from latent.importing.cli import attach_encoder
from latent.importing.reader import import_file, read_networks
from latent.importing.tensors import Storage, TensorRecord
from latent.inversion.invert import invert, start_codes
from latent.inversion.settings import PRESETS
from tests.latent.importing.psp_files import (
    TYPES,
    e4e1024_keys,
    golden_input,
    golden_keys,
    golden_tensor,
    psp_bytes,
    psp_table,
    record,
    small_encoder_state,
)
from tests.latent.importing.weight_files import GOLDENS, small_rosinality_state
from tests.latent.tiny import own_faces
from tests.latent.tiny import tiny_checkpoint as loose_checkpoint


def small_encoder(kind: str = "psp", num_ws: int = 4, w_dim: int = 16, resolution: int = 0) -> StyleEncoder:
    """The narrow encoder of the test files, built without a file."""
    sizes = {"resolution": resolution or 1 << (num_ws // 2 + 1), "num_ws": num_ws, "w_dim": w_dim, "width": 16}
    state = {
        key: value
        for key, value in small_encoder_state(num_ws, w_dim).items()
        if not key.endswith("num_batches_tracked")
    }
    network = fill_encoder(
        encoder_layout({"kind": kind, **sizes}), {**state, "latent_avg": torch.linspace(-1, 1, w_dim).repeat(num_ws, 1)}
    )
    assert isinstance(network, StyleEncoder)
    return network


def images(n: int, resolution: int) -> torch.Tensor:
    return torch.rand(n, 3, resolution, resolution, generator=torch.Generator().manual_seed(5)) * 2 - 1


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def bundle(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the 32 px checkpoint that a test may change (8 layers of W+, 64 numbers each, an encoder of ours)."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoints" / "tiny"))


def attached(bundle: Path, file: Path, *words: str) -> int:
    return main(["import", str(file), "--encoder-for", bundle.name, "--root", str(bundle.parent), *words])


# What is computed


@pytest.fixture(scope="module")
def golden_encoder() -> StyleEncoder:
    """The whole network of the golden data, for 256 px, read as from a file."""
    keys = golden_keys(8)
    records = {f"encoder.{key}": record(golden_tensor(key, shape, keys)) for key, shape in keys.items()}
    file = psp.read_encoder({"state_dict": records, "opts": {"encoder_type": TYPES["psp"], "output_size": 32}})
    assert file.settings == {"kind": "psp", "resolution": 32, "num_ws": 8, "w_dim": 512, "width": 64}
    encoder = psp.build_encoder(file, torch.zeros(512))
    assert isinstance(encoder, StyleEncoder)
    encoder.resolution = 256  # the reference is for the network's own input size
    return encoder


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["psp", "e4e"])
@pytest.mark.parametrize(
    ("dtype", "agreement"),
    [
        # Share of the output's range. Measured with AVX-512, AVX2 and SSE on one and two threads: 2.5e-15 and 1.5e-6,
        # the second as much as float32 rounds over the 60 layers in a row.
        (torch.float64, 1e-12),
        (torch.float32, 2e-5),
    ],
)
def test_both_encoders_agree_with_the_published_implementations(
    golden_encoder: StyleEncoder, kind: str, dtype: torch.dtype, agreement: float
) -> None:
    golden_encoder.to(dtype).kind = kind
    with np.load(GOLDENS / "psp_family32.npz") as want:
        codes = want[f"{kind}_codes"]
    assert np.abs(golden_encoder(golden_input().to(dtype)).numpy() - codes).max() <= agreement * np.ptp(codes)


@pytest.mark.parametrize("kind", ["psp", "e4e"])
def test_the_1024_px_layout_maps_without_a_tensor_left_over(kind: str) -> None:
    """Names and shapes only: 267 million numbers are not needed to see that each tensor has its place."""
    state = {}
    for key, shape in e4e1024_keys().items():
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
        storage = Storage(torch.float32, 4, int(np.prod(shape)), None)
        state[f"encoder.{key}"] = TensorRecord(storage, 0, tuple(shape), strides)
    file = psp.read_encoder({"state_dict": state, "opts": {"encoder_type": TYPES[kind], "stylegan_size": 1024}})
    assert file.settings == {"kind": kind, "resolution": 1024, "num_ws": 18, "w_dim": 512, "width": 64}
    network = encoder_layout(file.settings)
    assert network.state_dict().keys() - {"latent_avg"} == file.records.keys()
    assert len(file.records) == sum("num_batches_tracked" not in key for key in e4e1024_keys())


@pytest.mark.slow
def test_e4e_gives_offsets_from_the_first_layer() -> None:
    one, other = small_encoder("psp", 8), small_encoder("e4e", 8)
    x = images(2, 32)
    codes, offsets = one(x) - one.latent_avg, other(x) - other.latent_avg
    torch.testing.assert_close(offsets[:, 0], codes[:, 0])
    torch.testing.assert_close(offsets[:, 1:], codes[:, 1:] + codes[:, :1])
    assert float((codes[0] - codes[1]).abs().max()) > 1e-3 * float(codes.abs().max())


def test_large_photos_are_averaged_over_areas() -> None:
    """Where every pixel of 256 px is repeated, the larger photo gives the same code."""
    small, large = small_encoder(resolution=256), small_encoder(resolution=512)
    x = images(1, 256)
    torch.testing.assert_close(large(x.repeat_interleave(2, 2).repeat_interleave(2, 3)), small(x))


def test_a_batch_gives_what_single_photos_give() -> None:
    encoder = small_encoder("e4e")
    x = images(3, 8)
    torch.testing.assert_close(encoder(x)[1:2], encoder(x[1:2]), rtol=1e-4, atol=1e-5)


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), channels=st.integers(1, 9))
def test_normalisation_is_that_of_torch_in_evaluation(seed: int, channels: int) -> None:
    torch.manual_seed(seed)
    theirs = torch.nn.BatchNorm2d(channels).eval()
    for value in theirs.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 2)
    ours = FixedNorm(channels)
    ours.load_state_dict({key: v for key, v in theirs.state_dict().items() if key != "num_batches_tracked"})
    x = torch.randn(2, channels, 5, 4)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.train()(x), theirs(x))  # never by the batch at hand


def test_settings_that_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="psp or e4e"):
        StyleEncoder("restyle", 32, 8)
    with pytest.raises(ValueError, match="multiple of 16"):
        StyleEncoder("psp", 32, 8, 32, width=24)
    with pytest.raises(ValueError, match="built for 8 px"):
        small_encoder()(images(1, 16))


# What is read from a file


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("namespace", [False, True], ids=["table", "namespace"])
@pytest.mark.parametrize("kind", ["psp", "e4e"])
def test_a_whole_file_is_read(tmp_path: Path, kind: str, namespace: bool, legacy: bool) -> None:
    file = tmp_path / "weights.pt"
    average = torch.linspace(-1, 1, 16).repeat(4, 1)
    file.write_bytes(psp_bytes(legacy, kind=kind, namespace=namespace, average=average))
    networks = read_networks(file)
    assert networks.format == {"psp": "pSp .pt", "e4e": "e4e .pt"}[kind]
    assert (networks.generator.img_resolution, networks.generator.num_ws, networks.discriminator) == (8, 4, None)
    torch.testing.assert_close(networks.generator.mapping.w_avg, average[0])
    assert networks.encoder is not None
    assert not any(parameter.requires_grad for parameter in networks.encoder.parameters())
    torch.testing.assert_close(networks.encoder(images(1, 8)), small_encoder(kind)(images(1, 8)))


@pytest.mark.parametrize(
    ("options", "average", "want"),
    [
        ({}, "layers", "layers"),
        ({}, "one", "one"),
        ({"start_from_latent_avg": None}, "layers", "layers"),
        ({"start_from_latent_avg": None}, None, "nothing"),
        ({"start_from_latent_avg": False}, "layers", "nothing"),
        ({}, None, "sampled"),
    ],
)
def test_which_mean_code_is_added(tmp_path: Path, options: Mapping[str, Any], average: str | None, want: str) -> None:
    """`layers`: a mean code a layer; `one` for all; `sampled`: the file starts from one and does not hold it."""
    layers = torch.arange(64.0).reshape(4, 16) / 64
    given_ = {"layers": layers, "one": layers[0], None: None}[average]
    file = tmp_path / "weights.pt"
    file.write_bytes(psp_bytes(average=given_, **options))
    networks = read_networks(file)
    assert isinstance(networks.encoder, StyleEncoder)
    expected = {
        "layers": layers,
        "one": layers[:1].repeat(4, 1),
        "nothing": torch.zeros(4, 16),
        "sampled": networks.generator.mapping.w_avg.repeat(4, 1),
    }[want]
    torch.testing.assert_close(networks.encoder.latent_avg, expected)


def test_a_file_that_does_not_name_its_encoder_needs_a_word(tmp_path: Path) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(psp_bytes(encoder_type=None))
    with pytest.raises(ImportRefused, match="--encoder-kind"):
        read_networks(file)
    for kind in ("psp", "e4e"):
        encoder = read_networks(file, kind).encoder
        assert isinstance(encoder, StyleEncoder)
        assert encoder.kind == kind
    file.write_bytes(psp_bytes(kind="e4e"))
    with pytest.raises(ImportRefused, match="says that its encoder is e4e's"):
        read_networks(file, "psp")


# What is written


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["psp", "e4e"])
def test_a_whole_file_becomes_a_whole_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    file, root = tmp_path / "weights.pt", tmp_path / "checkpoints"
    file.write_bytes(psp_bytes(kind=kind, average=torch.randn(4, 16)))
    assert main(["import", str(file), "--name", "faces", "--root", str(root), "--licence", "MIT"]) == 0
    assert "imported as" in capsys.readouterr().out
    config = json.loads((root / "faces" / "config.json").read_text(encoding="utf-8"))
    assert config["encoder"] == {"kind": kind, "resolution": 8, "num_ws": 4, "w_dim": 16, "width": 16}
    assert (config["imported_from"]["format"], config["licence"]) == ({"psp": "pSp .pt", "e4e": "e4e .pt"}[kind], "MIT")
    checkpoint, networks = load_checkpoint(root / "faces"), read_networks(file)
    assert networks.encoder is not None
    assert checkpoint.encoder is not None
    x = images(2, 8)
    assert torch.equal(checkpoint.encoder(x), networks.encoder(x))
    assert torch.equal(checkpoint.generator.mapping.w_avg, networks.generator.mapping.w_avg)
    again = save_checkpoint(root / "again", checkpoint.generator, None, checkpoint.encoder, checkpoint.config)
    assert digests(again)["encoder.safetensors"] == digests(root / "faces")["encoder.safetensors"]


@pytest.mark.slow
def test_an_encoder_joins_a_checkpoint(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "encoder.pt"
    file.write_bytes(psp_bytes(num_ws=8, w_dim=64, decoder={}))
    before = digests(bundle)
    assert attached(bundle, file) == 1
    assert "already has an encoder; add --replace" in capsys.readouterr().err
    assert digests(bundle) == before
    assert attached(bundle, file, "--replace", "--source", "made by a test") == 0
    assert "Note" not in capsys.readouterr().out
    after = digests(bundle)
    kept = {"generator.safetensors", "discriminator.safetensors", "statistics.safetensors"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    checkpoint = load_checkpoint(bundle)
    assert checkpoint.config["encoder"]["kind"] == "e4e"
    facts = checkpoint.config["encoder_imported_from"]
    assert (facts["source"], facts["format"], facts["generator"]) == ("made by a test", "e4e .pt", "not in the file")
    assert isinstance(checkpoint.encoder, StyleEncoder)  # the file has no mean code: the generator's
    torch.testing.assert_close(checkpoint.encoder.latent_avg[3], checkpoint.generator.mapping.w_avg)


@pytest.mark.slow
def test_whether_the_file_has_the_same_generator(tmp_path: Path) -> None:
    file, root = tmp_path / "weights.pt", tmp_path / "checkpoints"
    file.write_bytes(psp_bytes(kind="psp"))
    import_file(file, "faces", root)
    checkpoint = load_checkpoint(root / "faces")
    save_checkpoint(root / "half", checkpoint.generator, config={"half_precision": True})
    assert attach_encoder(file, "half", root) == (root / "half", True)
    other = small_rosinality_state()
    other["style.1.weight"] = other["style.1.weight"] * 1.1
    file.write_bytes(psp_bytes(decoder=other))
    assert attach_encoder(file, "half", root, replace=True) == (root / "half", False)
    assert load_checkpoint(root / "half").config["encoder_imported_from"]["generator"].startswith("another")
    wider = small_rosinality_state(width=12)
    file.write_bytes(psp_bytes(decoder=wider))
    assert attach_encoder(file, "half", root, replace=True) == (root / "half", False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_ws": 4, "w_dim": 64}, "codes of 4 x 64 numbers, for a 8 px generator; that of checkpoint tiny (32 px)"),
        ({"num_ws": 8, "w_dim": 16}, "codes of 8 x 16 numbers"),
        ({"num_ws": 8, "w_dim": 64, "average": torch.zeros(5)}, "latent_avg"),
    ],
)
def test_an_encoder_of_another_generator_is_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], said: str
) -> None:
    file = tmp_path / "encoder.pt"
    file.write_bytes(psp_bytes(decoder={}, **changes))
    before = digests(bundle)
    assert attached(bundle, file, "--replace") == 1
    assert said in capsys.readouterr().err
    assert digests(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["tiny"]


def test_a_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "encoder.pt"
    file.write_bytes(psp_bytes(decoder={}))
    with pytest.raises(ImportRefused, match="no checkpoint in faces"):
        attach_encoder(file, "faces", tmp_path)
    with pytest.raises(ImportRefused, match="cannot be the name"):
        attach_encoder(file, "../faces", tmp_path)


def test_the_kind_of_an_encoder_is_checked_when_a_checkpoint_is_read(bundle: Path) -> None:
    file = bundle / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    assert config["encoder"]["kind"] == "ours"

    def said(**changes: Any) -> str:
        settings_ = {key: value for key, value in (config["encoder"] | changes).items() if value is not None}
        file.write_text(json.dumps(config | {"encoder": settings_}), encoding="utf-8")
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(bundle)
        return str(caught.value)

    assert "unknown kind, 'restyle'" in said(kind="restyle")
    assert "unknown kind, 'a table or list'" in said(kind=[1])
    assert "lacks the tensor" in said(kind="psp", width=16)
    assert "multiple of 16" in said(kind="e4e")
    assert "width" in said(kind="psp", width=1 << 20)
    assert "are not kind" in said(depth=50)
    assert "are not kind" in said(width=None)
    del config["encoder"]["kind"]  # as checkpoints had it before there were others
    file.write_text(json.dumps(config), encoding="utf-8")
    assert isinstance(load_checkpoint(bundle).encoder, WPlusEncoder)


def test_settings_build_the_same_network() -> None:
    for encoder in (small_encoder("e4e"), WPlusEncoder(32, 8, 64, width=8)):
        again = encoder_layout(encoder_settings(encoder))
        assert type(again) is type(encoder)
        assert encoder_settings(again) == encoder_settings(encoder)
        assert again.state_dict().keys() == encoder.state_dict().keys()


# What it is for


@pytest.mark.slow
def test_an_inversion_starts_from_an_imported_encoder(tmp_path: Path) -> None:
    """Whatever the encoder answers is where the search begins, and the search gets closer to the photo from there."""
    checkpoint = loose_checkpoint(32)
    file = tmp_path / "encoder.pt"
    file.write_bytes(psp_bytes(num_ws=8, w_dim=32, decoder={}))
    save_checkpoint(tmp_path / "loose", checkpoint.generator, samples=2000)
    attach_encoder(file, "loose", tmp_path)
    checkpoint = load_checkpoint(tmp_path / "loose")
    face = own_faces(checkpoint, 1)
    targets = torch.from_numpy(face).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert checkpoint.encoder is not None
    codes = start_codes(checkpoint, targets)
    assert torch.equal(codes, checkpoint.encoder(targets))
    alone = invert(checkpoint, face, replace(PRESETS["fast"], steps=0))[0]
    np.testing.assert_allclose(alone.ws, codes[0].numpy(), atol=1e-3)
    found = invert(checkpoint, face, replace(PRESETS["fast"], steps=8))[0]
    assert np.array_equal(found.start, alone.reconstruction)
    assert found.losses["total"][-1] < found.losses["total"][0]


def test_the_trunk_against_plain_operations() -> None:
    """Block 7 (stride, other channels) and block 1 written out once more, without modules."""
    encoder = small_encoder()
    state = encoder.state_dict()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scaled = (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return scaled * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    def block(x: torch.Tensor, number: int, stride: int) -> torch.Tensor:
        name = f"body.{number}.res_layer"
        y = F.conv2d(norm(x, f"{name}.0"), state[f"{name}.1.weight"], padding=1)
        y = torch.where(y > 0, y, y * state[f"{name}.2.weight"][:, None, None])
        y = norm(F.conv2d(y, state[f"{name}.3.weight"], stride=stride, padding=1), f"{name}.4")
        squeezed = (state[f"{name}.5.fc1.weight"][:, :, 0, 0] @ y.mean((2, 3)).T).clamp_min(0)
        y = y / (1 + torch.exp(-(state[f"{name}.5.fc2.weight"][:, :, 0, 0] @ squeezed))).T[:, :, None, None]
        short = f"body.{number}.shortcut_layer"
        if f"{short}.0.weight" not in state:
            return y + F.max_pool2d(x, 1, stride)
        return y + norm(F.conv2d(x, state[f"{short}.0.weight"], stride=stride), f"{short}.1")

    for number, channels, stride in ((0, 16, 2), (1, 16, 1), (7, 32, 2)):
        x = torch.randn(2, channels, 12, 12, generator=torch.Generator().manual_seed(number))
        torch.testing.assert_close(encoder.body[number](x), block(x, number, stride), rtol=1e-4, atol=1e-4)


def test_the_table_of_a_test_file_is_what_torch_reads(tmp_path: Path) -> None:
    """The test files are files of torch: read by torch itself, they hold the table they were made from."""
    file = tmp_path / "weights.pt"
    file.write_bytes(psp_bytes())
    value = torch.load(file, weights_only=True)
    assert value["opts"] == psp_table()["opts"]
    assert value["state_dict"].keys() == psp_table()["state_dict"].keys()
