"""The baseline projector: its schedule, its noise regulariser, and that it projects; the benchmark's own table."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench import invert as bench_invert
from bench.parts.projector import learning_rate, noise_autocorrelation, noise_maps, project
from latent.features.image_metrics import psnr
from latent.inversion.settings import InversionSettings
from tests.latent.tiny import own_faces, tiny_checkpoint


def test_schedule() -> None:
    assert learning_rate(0.0) == 0
    assert learning_rate(0.025) == pytest.approx(0.05)
    assert learning_rate(0.4) == pytest.approx(0.1)
    assert learning_rate(0.75) == pytest.approx(0.1)
    assert learning_rate(0.875) == pytest.approx(0.05)
    assert learning_rate(0.999) < 1e-5


@pytest.mark.slow
def test_autocorrelation_tells_white_noise_from_a_picture() -> None:
    rng = torch.Generator().manual_seed(0)
    white = torch.randn(64, 64, generator=rng)
    smooth = torch.nn.functional.interpolate(white[None, None, :8, :8], size=64, mode="bicubic")[0, 0]
    assert noise_autocorrelation([white]) < 0.05
    assert noise_autocorrelation([smooth / smooth.std()]) > 1
    # One scale of 8 px, written out: neighbours alternate, so each product is -1 in both directions.
    board = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)
    torch.testing.assert_close(noise_autocorrelation([board]), torch.tensor(2.0))


@pytest.mark.slow
def test_projects_and_leaves_the_checkpoint_alone() -> None:
    checkpoint = tiny_checkpoint(16)
    face = own_faces(checkpoint, 1)[0]
    before = {name: tensor.clone() for name, tensor in checkpoint.generator.state_dict().items()}
    short, longer = project(checkpoint, face, steps=2), project(checkpoint, face, steps=20)
    assert psnr(face, longer.reconstruction) > psnr(face, short.reconstruction) + 2
    assert longer.w.shape == (checkpoint.w_dim,)
    assert len(noise_maps(checkpoint.generator)) == 5
    for name, tensor in checkpoint.generator.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.slow
def test_table_of_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tiny_checkpoint(16)
    monkeypatch.setattr(bench_invert, "load_checkpoint", lambda path: checkpoint)
    monkeypatch.setattr(bench_invert, "portraits", lambda folder, n: list(own_faces(checkpoint, n)))
    monkeypatch.setattr(bench_invert, "PRESETS", {"fast": InversionSettings("fast", steps=2)})
    monkeypatch.setattr(bench_invert, "PIVOT", bench_invert.PRESETS["fast"])
    folders = [str(tmp_path), str(tmp_path)]
    first, result = bench_invert.run(["--n", "2", "--steps", "3", "--tuning", "2", "--checkpoint", *folders])[
        "checkpoints"
    ]
    assert first["resolution"] == result["resolution"] == 16
    assert [row["method"] for row in result["medians"]] == ["encoder only", "fast", "pivotal tuning", "projector"]
    printed = capsys.readouterr().out
    assert result["perceptual_name"] in printed
    assert "ST-LPIPS took no part in it." in printed
    assert all(0 < row["st_lpips"] < 2 for row in result["medians"])
    assert all(row["st_lpips from"] <= row["st_lpips"] <= row["st_lpips to"] for row in result["paired"])
    assert all(len(rows) == 2 for rows in result["portraits"].values())
    row = result["medians"][-1]
    seconds = np.median([measured["seconds"] for measured in result["portraits"]["projector"]])
    assert row["seconds"] == pytest.approx(seconds)
    assert row["times faster"] == pytest.approx(1)
    for tuned, code in zip(result["portraits"]["pivotal tuning"], result["portraits"]["fast"], strict=True):
        assert tuned["code"]["psnr"] == code["psnr"], "tuned around the code that the preset finds"
        assert tuned["psnr"] > code["psnr"]
        assert tuned["seconds"] > tuned["tuning_seconds"] > 0


@pytest.mark.slow
def test_held_out_portraits_are_there_and_aligned() -> None:
    faces = bench_invert.portraits(bench_invert.PORTRAITS, 2)
    assert [face.shape for face in faces] == [(256, 256, 3)] * 2
