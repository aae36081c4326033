"""`python -m latent warmstart`: a StyleGAN2 from rendered portraits with known factors, on a CPU, in two phases.

1. *Regression.* Every image comes with the z that has to produce it (`factor_codes`), so the generator is trained like a
   decoder: centre-weighted L1 on a pyramid + face-feature distance. Columns of z beyond the factors are drawn anew each
   time, so that they carry nothing. This takes far fewer images than an adversary, and leaves fine texture as a mean.
2. *Adversary.* Non-saturating logistic loss with lazy R1 (Karras et al. 2020, section 2) on half paired, half free z;
   the paired half keeps the regression loss, which holds the factors in place while texture and free samples sharpen.

The run folder keeps `state.pt` (tensors only, read with weights_only) after every tick; the same command goes on from it.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from latent.checkpoints import load_checkpoint, save_checkpoint
from latent.dataset import load
from latent.errors import LatentError
from latent.factor_codes import gaussian_codes
from latent.perceptual import face_feature_distance
from latent.stylegan2 import Discriminator, Generator

R1_EVERY = 16
TICK_SECONDS = 120.0


@dataclass(frozen=True)
class Settings:
    """What a run is made of; written to the checkpoint's config."""

    resolution: int = 64
    channel_base: int = 3072
    channel_max: int = 256
    z_dim: int = 256
    batch: int = 16
    learning_rate: float = 2e-3
    feature_weight: float = 0.5
    adversarial_weight: float = 0.08
    ema_kimg: float = 2.0
    seed: int = 0

    @property
    def r1_gamma(self) -> float:
        return 2e-4 * self.resolution**2 / self.batch  # the heuristic of StyleGAN2-ADA's `auto` configuration


def build_networks(s: Settings) -> tuple[Generator, Discriminator]:
    torch.manual_seed(s.seed)
    generator = Generator(
        z_dim=s.z_dim,
        c_dim=0,
        w_dim=512,
        img_resolution=s.resolution,
        img_channels=3,
        mapping_kwargs={"num_layers": 4, "lr_multiplier": 0.1},
        synthesis_kwargs={"channel_base": s.channel_base, "channel_max": s.channel_max},
    )
    discriminator = Discriminator(
        c_dim=0,
        img_resolution=s.resolution,
        img_channels=3,
        channel_base=2048 * s.resolution // 64,
        channel_max=s.channel_max,
        epilogue_kwargs={"mbstd_group_size": 4},
    )
    return generator, discriminator


class PairedImages:
    """Images (N, 3, R, R) uint8 with their codes; draws batches without repeating within an epoch."""

    def __init__(self, folder: Path, settings: Settings, device: torch.device) -> None:
        images, table = load(folder, settings.resolution)
        codes = gaussian_codes(table, settings.seed)
        if codes.shape[1] > settings.z_dim:
            raise LatentError(f"{codes.shape[1]} factor scores do not fit into z_dim {settings.z_dim}: raise --z-dim.")
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        self.codes = torch.from_numpy(codes)
        self.z_dim, self.device = settings.z_dim, device
        self._order: list[int] = []

    def batch(self, size: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """(x (B, 3, R, R) in [-1, 1], z (B, z_dim))."""
        if len(self._order) < size:
            self._order = torch.randperm(len(self.images), generator=rng).tolist()
        rows, self._order = self._order[:size], self._order[size:]
        free = torch.randn(size, self.z_dim - self.codes.shape[1], generator=rng)
        z = torch.cat([self.codes[rows], free], dim=1)
        return self.images[rows].to(self.device).float() / 127.5 - 1, z.to(self.device)


def _centre_weight(resolution: int, device: torch.device) -> Tensor:
    """(1, 1, R, R), mean 1: an error in the face counts about three times one in the corner."""
    axis = torch.linspace(-1, 1, resolution, device=device)
    bump = torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 0.5)
    weight = 0.5 + bump
    return (weight / weight.mean())[None, None]


def regression_loss(fake: Tensor, real: Tensor, weight: Tensor, feature_weight: float) -> dict[str, Tensor]:
    """Pyramid L1 (three scales) and face-feature distance of (B, 3, R, R) pairs in [-1, 1]; `total` is what to minimise."""
    pixel = fake.new_zeros(())
    a, b, w = fake, real, weight
    for _ in range(3):
        pixel = pixel + ((a - b).abs() * w).mean()
        a, b, w = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2), F.avg_pool2d(w, 2)
    feature = face_feature_distance(fake, real).mean() if feature_weight else fake.new_zeros(())
    return {"pixel": pixel, "feature": feature, "total": pixel + feature_weight * feature}


class Trainer:
    """Networks, optimisers and the two kinds of step."""

    def __init__(self, settings: Settings, data: PairedImages, device: torch.device) -> None:
        self.s, self.data, self.device = settings, data, device
        self.g, self.d = (net.to(device).train() for net in build_networks(settings))
        self.ema = copy.deepcopy(self.g).eval().requires_grad_(False)
        lr = settings.learning_rate
        self.g_opt = torch.optim.Adam(self.g.parameters(), lr=lr, betas=(0.0, 0.99), eps=1e-8)
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=lr, betas=(0.0, 0.99), eps=1e-8)
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.weight = _centre_weight(settings.resolution, device)
        self.seen = {"regression": 0, "adversary": 0}

    def regression_step(self) -> dict[str, float]:
        real, z = self.data.batch(self.s.batch, self.rng)
        fake = self.g.synthesis(self.g.mapping(z, None, update_emas=True), noise_mode="none")
        losses = regression_loss(fake, real, self.weight, self.s.feature_weight)
        self._update_generator(losses["total"], "regression")
        return {k: float(v) for k, v in losses.items()}

    def adversarial_step(self, index: int) -> dict[str, float]:
        real, z = self.data.batch(self.s.batch, self.rng)
        half = self.s.batch // 2
        z = torch.cat([z[:half], torch.randn(half, self.s.z_dim, generator=self.rng).to(self.device)])
        fake = self.g.synthesis(self.g.mapping(z, None, update_emas=True), noise_mode="random")
        losses = regression_loss(fake[:half], real[:half], self.weight, self.s.feature_weight)
        self.d.requires_grad_(False)
        adversarial = F.softplus(-self.d(fake, None)).mean()
        self._update_generator(losses["total"] + self.s.adversarial_weight * adversarial, "adversary")
        self.d.requires_grad_(True)
        out = {k: float(v) for k, v in losses.items()} | {"adversarial": float(adversarial)}
        return out | self._update_discriminator(fake.detach(), real, index)

    def _update_generator(self, loss: Tensor, phase: str) -> None:
        if not torch.isfinite(loss):
            raise LatentError(f"The generator's loss is not finite after {sum(self.seen.values())} images.")
        self.g_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.g_opt.step()
        self.seen[phase] += self.s.batch
        half_life = min(self.s.ema_kimg * 1000, sum(self.seen.values()) * 0.05 + 1)
        beta = 0.5 ** (self.s.batch / half_life)
        with torch.no_grad():
            for average, now in zip(self.ema.parameters(), self.g.parameters(), strict=True):
                average.lerp_(now, 1 - beta)
            for average, now in zip(self.ema.buffers(), self.g.buffers(), strict=True):
                average.copy_(now)

    def _update_discriminator(self, fake: Tensor, real: Tensor, index: int) -> dict[str, float]:
        penalise = index % R1_EVERY == 0
        real = real.detach().requires_grad_(penalise)
        on_real, on_fake = self.d(real, None), self.d(fake, None)
        loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        if penalise:
            (gradient,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            loss = loss + gradient.square().sum((1, 2, 3)).mean() * (self.s.r1_gamma / 2 * R1_EVERY)
        self.d_opt.zero_grad(set_to_none=True)
        loss.backward()
        self.d_opt.step()
        return {"d_loss": float(loss), "d_sign": float(on_real.sign().mean())}

    def set_learning_rate(self, rate: float) -> None:
        for group in [*self.g_opt.param_groups, *self.d_opt.param_groups]:
            group["lr"] = rate

    def save(self, path: Path) -> None:
        nets = {name: getattr(self, name).state_dict() for name in ("g", "d", "ema", "g_opt", "d_opt")}
        temporary = path.with_suffix(".tmp")
        torch.save(nets | {"seen": self.seen, "rng": self.rng.get_state()}, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name in ("g", "d", "ema", "g_opt", "d_opt"):
            getattr(self, name).load_state_dict(state[name])
        self.seen = state["seen"]
        self.rng.set_state(state["rng"].cpu())


def _to_pixels(images: Tensor) -> np.ndarray:
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


@torch.no_grad()
def sample_sheet(trainer: Trainer, path: Path, columns: int = 12) -> None:
    """Rows: real, the same from their codes, free samples at psi 1, free samples at psi 0.7."""
    fixed = torch.Generator().manual_seed(123)
    order, trainer.data._order = trainer.data._order, []
    real, z = trainer.data.batch(columns, fixed)
    trainer.data._order = order
    free = torch.randn(columns, trainer.s.z_dim, generator=fixed).to(trainer.device)
    rows = [_to_pixels(real)]
    for codes, psi in ((z, 1.0), (free, 1.0), (free, 0.7)):
        ws = trainer.ema.mapping(codes, None, truncation_psi=psi)
        rows.append(_to_pixels(trainer.ema.synthesis(ws, noise_mode="const")))
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    cv2.imwrite(str(path), sheet[..., ::-1])


def train(trainer: Trainer, run: Path, regression_images: int, adversary_images: int) -> None:
    """Run both phases to the given numbers of images, with a tick (state, sheet, log line) every two minutes."""
    began, ticked = time.monotonic(), time.monotonic()
    start = sum(trainer.seen.values())
    totals = {"regression": regression_images, "adversary": adversary_images}
    for phase, total in totals.items():
        sums: dict[str, float] = {}
        steps = 0
        while trainer.seen[phase] < total:
            done = trainer.seen[phase] / total
            peak = trainer.s.learning_rate
            trainer.set_learning_rate(peak * (min(1.0, 1.25 - done) if phase == "regression" else 0.75 * (1.1 - done)))
            index = trainer.seen[phase] // trainer.s.batch
            losses = trainer.regression_step() if phase == "regression" else trainer.adversarial_step(index)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            steps += 1
            if time.monotonic() - ticked > TICK_SECONDS or trainer.seen[phase] >= total:
                seen = sum(trainer.seen.values())
                speed = (seen - start) / (time.monotonic() - began)
                left = (regression_images + adversary_images - seen) / speed
                line = {"phase": phase, "kimg": round(seen / 1000, 2), "images_per_s": round(speed, 2)}
                line |= {"minutes_left": round(left / 60, 1)} | {k: round(v / steps, 4) for k, v in sums.items()}
                print(json.dumps(line), flush=True)
                with (run / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                trainer.save(run / "state.pt")
                sample_sheet(trainer, run / f"sheet_{seen // 1000:04d}.png")
                ticked, sums, steps = time.monotonic(), {}, 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, help="training set made by `python -m latent dataset` with factor columns")
    parser.add_argument("--run", required=True, type=Path, help="folder for state, log and sample sheets")
    parser.add_argument("--out", required=True, type=Path, help="checkpoint folder to write at the end")
    parser.add_argument("--regression-kimg", type=float, default=60.0)
    parser.add_argument("--adversary-kimg", type=float, default=40.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)


def run(args: argparse.Namespace) -> int:
    settings = Settings(**{name: getattr(args, name) for name in asdict(Settings())})
    device = torch.device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, PairedImages(args.data, settings, device), device)
    if (args.run / "state.pt").exists():
        trainer.load(args.run / "state.pt")
    train(trainer, args.run, int(args.regression_kimg * 1000), int(args.adversary_kimg * 1000))
    provenance = {
        "source": "trained by `python -m latent warmstart` on portraits rendered from known factors",
        "licence": "as the project (GPL-3.0-or-later); no photograph of a person was used",
        "training": asdict(settings) | {"images_seen": trainer.seen, "training_images": len(trainer.data.images)},
    }
    save_checkpoint(args.out, trainer.ema, discriminator=trainer.d, config=provenance)
    checkpoint = load_checkpoint(args.out)
    print(f"{args.out}: {checkpoint.resolution} px, {checkpoint.num_ws} codes, sha256 {checkpoint.sha256[:12]}")
    return 0
