"""Encoder training: it lowers the error, resumes, and begins with another checkpoint's encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from latent.checkpoints import load_checkpoint
from latent.encoders.wplus import WPlusEncoder
from latent.errors import LatentError
from latent.training import train_encoder


@pytest.mark.slow
def test_encoder_training_lowers_the_error_and_resumes(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, parts=("generator",))
    checkpoint.generator.requires_grad_(False)
    images, _ = train_encoder.sample(checkpoint, 32, torch.Generator().manual_seed(9))

    def error(trainer: train_encoder.Trainer) -> float:
        with torch.no_grad():
            again = checkpoint.generator.synthesis(trainer.encoder(images), noise_mode="const")
        return float((again - images).abs().mean())

    trainer = train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=0)
    before = error(trainer)
    trainer.step(400)
    trainer.save(tmp_path / "state.pt")
    again = train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=1)
    again.load(tmp_path / "state.pt")
    assert again.seen == 4
    assert error(again) == pytest.approx(error(trainer), abs=1e-6)
    for _ in range(60):
        again.step(400)
    assert error(again) < 0.95 * before
    later = train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=2, start=again.encoder)
    assert error(later) == pytest.approx(error(again), abs=1e-6)
    other = WPlusEncoder(again.encoder.resolution, again.encoder.num_ws, again.encoder.w_dim, width=16)
    with pytest.raises(LatentError, match="other pictures or codes"):
        train_encoder.Trainer(checkpoint, None, batch=4, rate=2e-3, seed=2, start=other)
