"""W statistics of a checkpoint folder: values that are not those of its generator are refused like a wrong shape."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.files import PLAIN
from latent.checkpoints import load_checkpoint
from latent.errors import CheckpointError

Tensors = dict[str, torch.Tensor]
CHANGES: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "negative-std": (lambda t: t | {"std": -t["std"]}, "negative"),
    "one-negative-std": (lambda t: t | {"std": t["std"].index_fill(0, torch.tensor([3]), -1e-3)}, "negative"),
    "zero-std": (lambda t: t | {"std": torch.zeros_like(t["std"])}, "not those of its generator"),
    "huge-std": (lambda t: t | {"std": t["std"] * 1e6}, "not those of its generator"),
    "overflowing-std": (lambda t: t | {"std": torch.full_like(t["std"], 3e38)}, "not those of its generator"),
    "nan-std": (lambda t: t | {"std": t["std"] * float("nan")}, "not finite"),
    "negative-variance": (lambda t: t | {"variances": t["variances"] - 2 * t["variances"].max()}, "negative"),
    "zero-variances": (lambda t: t | {"variances": torch.zeros_like(t["variances"])}, "all codes are the same"),
    "huge-variances": (lambda t: t | {"variances": t["variances"] * 1e9}, "not those of its generator"),
    "tiny-variances": (lambda t: t | {"variances": t["variances"] * 1e-9}, "not those of its generator"),
    "infinite-variances": (lambda t: t | {"variances": t["variances"] / 0}, "not finite"),
    "variances-backwards": (lambda t: t | {"variances": t["variances"].flip(0)}, "largest variance first"),
    "huge-mean": (lambda t: t | {"mean": t["mean"] + 1e6}, "not those of its generator"),
    "mean-of-another": (lambda t: t | {"mean": t["mean"] + 3 * t["std"]}, "not those of its generator"),
    "nan-mean": (lambda t: t | {"mean": t["mean"] * float("nan")}, "not finite"),
    "zero-components": (lambda t: t | {"components": torch.zeros_like(t["components"])}, "orthonormal"),
    "huge-components": (lambda t: t | {"components": t["components"] * 1e3}, "orthonormal"),
    "one-component-twice": (lambda t: t | {"components": t["components"][[0, *range(63)]]}, "orthonormal"),
}


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))


def rewrite(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    """Changed statistics with the size and digest that config.json then needs."""
    file = folder / "statistics.safetensors"
    save_file({name: value.contiguous() for name, value in change(load_file(file)).items()}, file)
    config = json.loads((folder / "config.json").read_text())
    config["files"][file.name] = {"bytes": file.stat().st_size, "sha256": PLAIN.sha256_of(file)}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", CHANGES)
def test_statistics_that_are_not_the_generators_are_refused(folder: Path, name: str) -> None:
    change, said = CHANGES[name]
    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_checkpoint(folder)
    assert str(caught.value).startswith("Checkpoint tiny cannot be used: its W statistics ")


def test_statistics_of_other_samples_are_the_generators(folder: Path) -> None:
    """The bounds are wide enough for an estimate from a few codes, and for a rounded one."""
    rewrite(folder, lambda t: {name: value.half().float() for name, value in t.items()})
    assert load_checkpoint(folder).statistics.samples == 2000


@pytest.mark.parametrize("samples", [1, -1, 10**12, True, "many", 2.5])
def test_a_number_of_samples_that_cannot_be_is_refused(folder: Path, samples: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["statistics"]["samples"] = samples
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="how many samples"):
        load_checkpoint(folder)


@pytest.mark.parametrize("value", ["[" * 500 + "]" * 500, "1" * 4000, "1e999", "NaN", '{"a": [' * 30 + "]}" * 30])
@pytest.mark.parametrize("key", ["resolution", "generator", "encoder", "files", "format", "statistics", "extra"])
def test_config_json_of_any_nesting_is_one_sentence(folder: Path, key: str, value: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    config[key] = "HERE"
    (folder / "config.json").write_text(json.dumps(config).replace('"HERE"', value))
    if key == "extra" and value in ("NaN", '{"a": [' * 30 + "]}" * 30):
        load_checkpoint(folder)  # says nothing about the networks
        return
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert len(str(caught.value)) < 300
