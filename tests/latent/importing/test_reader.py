"""Foreign weight files become checkpoints that compute the same."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from common.files import PLAIN
from latent.__main__ import main
from latent.checkpoints import load_checkpoint
from latent.importing import import_file
from latent.importing.pickle_reader import PickleReader
from latent.importing.reader import read_networks
from latent.importing.rosinality import read_generator
from latent.importing.tensors import Storage, TensorRecord
from latent.stylegan2 import Discriminator, Generator
from latent.stylegan2.building import check_shapes, generator_layout
from tests.latent.importing.weight_files import (
    GOLDENS,
    nvidia_bytes,
    nvidia_table,
    pt_bytes,
    rosinality_keys,
    rosinality_tensor,
    small_rosinality_state,
)


def small_networks() -> tuple[Generator, Discriminator]:
    torch.manual_seed(11)
    synthesis = {"channel_base": 64, "channel_max": 8, "conv_clamp": 256, "num_fp16_res": 1}
    generator = Generator(8, 0, 12, 8, 3, {"num_layers": 2}, synthesis).eval()
    generator.mapping.w_avg.normal_()
    return generator, Discriminator(0, 8, 3, channel_base=64, channel_max=8).eval()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_pickle_round_trip(tmp_path: Path, protocol: int) -> None:
    """Protocols of the Python versions that wrote such files, 3.7 to today's."""
    generator, discriminator = small_networks()
    file = tmp_path / "network.pkl"
    file.write_bytes(nvidia_bytes(nvidia_table(generator, discriminator), protocol))
    networks = read_networks(file)
    ours, judge = networks.generator, networks.discriminator
    assert networks.format == "NVIDIA .pkl"
    assert networks.encoder is None
    z = torch.randn(2, 8)
    with torch.no_grad():
        image = generator(z, truncation_psi=0.6)
        assert torch.equal(ours(z, truncation_psi=0.6), image)
        assert judge is not None
        assert torch.equal(judge(image), discriminator(image))
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_channels_last_and_half_tensors_are_read(tmp_path: Path) -> None:
    generator, _ = small_networks()
    generator.half().to(memory_format=torch.channels_last)
    file = tmp_path / "network.pkl"
    file.write_bytes(nvidia_bytes(nvidia_table(generator)))
    networks = read_networks(file)
    ours = networks.generator
    assert networks.discriminator is None
    for name, value in generator.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value.float(), rtol=0, atol=0)


def test_command_line_writes_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = GOLDENS / "orig16.pkl"
    words = ["import", str(file), "--name", "orig", "--root", str(tmp_path / "checkpoints")]
    assert main([*words, "--source", "random weights", "--licence", "CC0"]) == 0
    assert "orig" in capsys.readouterr().out
    folder = tmp_path / "checkpoints" / "orig"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert {name: config[name] for name in ("name", "resolution", "num_ws", "z_dim", "c_dim", "w_dim")} == {
        "name": "orig",
        "resolution": 16,
        "num_ws": 6,
        "z_dim": 32,
        "c_dim": 0,
        "w_dim": 32,
    }
    assert (config["source"], config["licence"]) == ("random weights", "CC0")
    assert config["imported_from"]["sha256"] == PLAIN.sha256_of(file)
    assert config["imported_at"].startswith("20")
    assert config["statistics"]["samples"] == 10_000
    checkpoint = load_checkpoint(folder, parts=("generator", "discriminator", "encoder"))
    assert checkpoint.encoder is None
    assert checkpoint.discriminator is not None
    assert checkpoint.sha256 == PLAIN.sha256_of(folder / "generator.safetensors")
    with np.load(GOLDENS / "orig16.npz") as want:
        ours = checkpoint.generator.synthesis(torch.from_numpy(want["ws"]), noise_mode="const").numpy()
        assert np.abs(ours - want["img_const"]).max() <= 1e-4 * np.ptp(want["img_const"])


def test_an_existing_checkpoint_is_not_replaced(tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = PLAIN.sha256_of(tiny_checkpoint / "config.json")
    words = ["import", str(GOLDENS / "orig16.pkl"), "--name", "tiny", "--root", str(tiny_checkpoint.parent)]
    assert main(words) == 1
    assert "already" in capsys.readouterr().err
    assert PLAIN.sha256_of(tiny_checkpoint / "config.json") == before


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_rosinality_mean_code(tmp_path: Path, legacy: bool) -> None:
    state = small_rosinality_state()
    file = tmp_path / "g.pt"
    average = torch.randn(16)
    file.write_bytes(pt_bytes({"g_ema": state, "latent_avg": average, "iteration": 7}, legacy))
    networks = read_networks(file)
    generator = networks.generator
    assert networks.format == "rosinality .pt"
    assert (generator.img_resolution, generator.w_dim, generator.num_ws) == (8, 16, 4)
    torch.testing.assert_close(generator.mapping.w_avg, average)
    file.write_bytes(pt_bytes({"g_ema": state, "latent_avg": average.repeat(4, 1)}, legacy))
    torch.testing.assert_close(read_networks(file).generator.mapping.w_avg, average)


def test_rosinality_without_mean_code_gets_one_from_samples(tmp_path: Path) -> None:
    file = tmp_path / "g.pt"
    file.write_bytes(pt_bytes({"g_ema": small_rosinality_state()}))
    generator = read_networks(file).generator
    mean = generator.mapping(torch.randn(4000, 16))[:, 0].mean(dim=0)
    torch.testing.assert_close(generator.mapping.w_avg, mean, rtol=0, atol=0.1 * float(mean.abs().max()))


def test_rosinality_imports_through_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "g.pt"
    file.write_bytes(pt_bytes({"g_ema": small_rosinality_state()}))
    folder = import_file(file, "small", tmp_path / "checkpoints")
    checkpoint = load_checkpoint(folder)
    assert checkpoint.resolution == 8
    assert checkpoint.config["imported_from"]["format"] == "rosinality .pt"
    assert "ask" in checkpoint.config["licence"]


def test_the_1024_px_layout_maps_without_a_tensor_left_over() -> None:
    """Names and shapes only: 30 million numbers are not needed to see that each has its place."""
    records = {}
    for key, shape in rosinality_keys(1024).items():
        numbers = int(np.prod(shape))
        data = memoryview(rosinality_tensor(key, shape).numpy().tobytes()) if "kernel" in key else None
        strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
        records[key] = TensorRecord(Storage(torch.float32, 4, numbers, data), 0, tuple(shape), strides)
    kwargs, parts, average = read_generator({"g_ema": records})
    assert average is None
    assert kwargs["img_resolution"] == 1024
    layout = generator_layout(kwargs)
    constants = {name for name in layout.state_dict() if name.endswith("resample_filter")} | {"mapping.w_avg"}
    shapes = {name: convert.shape(record.shape) for name, (record, convert) in parts.items()}
    check_shapes(layout, shapes | {name: layout.state_dict()[name].shape for name in constants}, "the generator")
    assert layout.num_ws == 18
    assert len(parts) == sum("kernel" not in key for key in rosinality_keys(1024))


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**120), 2**120)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(st.text(max_size=8) | st.integers(0, 70000), inner, max_size=5)
    ),
    max_leaves=20,
)


def same(ours: object, theirs: object) -> bool:
    """Equal values; byte strings are views of the file here."""
    if isinstance(ours, memoryview):
        return bytes(ours) == theirs
    if isinstance(theirs, dict):
        return (
            isinstance(ours, dict)
            and list(ours) == list(theirs)
            and all(same(ours[key], theirs[key]) for key in theirs)
        )
    if isinstance(theirs, (list, tuple)):
        return isinstance(ours, type(theirs)) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


@pytest.mark.slow
@settings(max_examples=80)
@given(value=plain, protocol=st.integers(3, 5))
def test_plain_pickles_read_as_python_does(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    reader = PickleReader(memoryview(data), {})
    assert same(reader.load(), pickle.loads(data))
    assert reader.position == len(data)
