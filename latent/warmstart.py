"""`python -m latent warmstart`: a StyleGAN2 from rendered portraits with known factors, on a CPU, in three phases.

1. *Autoencoding.* A W+ encoder and the synthesis network learn to reproduce portraits (centre-weighted L1 on a
   pyramid + face-feature distance). Half of each batch uses the mean of its layers' codes for all layers, so that W
   means something. This takes far fewer images than an adversary, and leaves fine texture as a mean.
2. *Mapping.* Codes w of all portraits are paired with z ~ N(0, I): the first columns are the portrait's known factors
   (`factor_codes`), the free ones the leading principal scores of what the factors do not explain of w. The mapping
   network is fitted to the pairs; no picture is computed.
3. *Adversary.* Non-saturating logistic loss with lazy R1 (Karras et al. 2020, section 2) on free samples and
   reconstructions; the reconstruction loss goes on, and holds faces in place while texture sharpens.

The run folder keeps `state.pt` (tensors only, read with weights_only) after every tick; the same command goes on from
it.
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
from torch import Tensor, nn
from torch.nn import functional as F

from latent.checkpoints import load_checkpoint, save_checkpoint
from latent.dataset import load
from latent.encoder import WPlusEncoder
from latent.errors import LatentError
from latent.factor_codes import gaussian_codes
from latent.images import to_uint8
from latent.mapping_fit import fit_mapping, pair_codes, unexplained
from latent.perceptual import face_feature_distance
from latent.stylegan2 import Discriminator, Generator

R1_EVERY = 16
TICK_SECONDS = 90.0
PHASES = ("autoencoding", "mapping", "adversary")


@dataclass(frozen=True)
class Settings:
    """What a run is made of; written to the checkpoint's config."""

    resolution: int = 64
    channel_base: int = 2048
    channel_max: int = 256
    z_dim: int = 256
    batch: int = 8
    learning_rate: float = 4e-3
    encoder_rate: float = 1e-3
    feature_weight: float = 0.5
    feature_from: int = 8000  # images seen before the feature loss joins: there is no face to compare sooner
    adversarial_weight: float = 0.05
    ema_kimg: float = 2.0
    seed: int = 0

    @property
    def r1_gamma(self) -> float:
        return 2e-4 * self.resolution**2 / self.batch  # the heuristic of StyleGAN2-ADA's `auto` configuration


def build_networks(s: Settings) -> tuple[Generator, Discriminator, WPlusEncoder]:
    """The three networks, freshly initialised from the seed."""
    torch.manual_seed(s.seed)
    generator = Generator(
        z_dim=s.z_dim,
        c_dim=0,
        w_dim=512,
        img_resolution=s.resolution,
        img_channels=3,
        mapping_kwargs={"num_layers": 2, "lr_multiplier": 1.0},
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
    return generator, discriminator, WPlusEncoder(s.resolution, generator.num_ws, 512)


class Portraits:
    """Images (N, 3, R, R) uint8 with their factor codes (N, k); draws batches without repeating within an epoch."""

    def __init__(self, folder: Path, settings: Settings, device: torch.device) -> None:
        images, table = load(folder, settings.resolution)
        self.codes = torch.from_numpy(gaussian_codes(table, settings.seed))
        if self.codes.shape[1] > settings.z_dim:
            raise LatentError(f"{self.codes.shape[1]} factor scores do not fit into z_dim {settings.z_dim}: raise it.")
        self.images = torch.from_numpy(images).permute(0, 3, 1, 2)
        self.device = device
        self._order: list[int] = []

    def __getitem__(self, rows: Tensor | slice | list[int]) -> Tensor:
        return self.images[rows].to(self.device).float() / 127.5 - 1

    def batch(self, size: int, rng: torch.Generator) -> Tensor:
        """(size, 3, R, R) in [-1, 1]."""
        if len(self._order) < size:
            self._order = torch.randperm(len(self.images), generator=rng).tolist()
        rows, self._order = self._order[:size], self._order[size:]
        return self[rows]


def _centre_weight(resolution: int, device: torch.device) -> Tensor:
    """(1, 1, R, R), mean 1: an error in the face counts about three times one in the corner."""
    axis = torch.linspace(-1, 1, resolution, device=device)
    bump = torch.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / 0.5)
    weight = 0.5 + bump
    return (weight / weight.mean())[None, None]


def regression_loss(fake: Tensor, real: Tensor, weight: Tensor, feature_weight: float) -> dict[str, Tensor]:
    """Pyramid L1 (three scales) and face-feature distance of pairs (B, 3, R, R) in [-1, 1]; minimise `total`."""
    pixel = fake.new_zeros(())
    a, b, w = fake, real, weight
    for _ in range(3):
        pixel = pixel + ((a - b).abs() * w).mean()
        a, b, w = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2), F.avg_pool2d(w, 2)
    half = max(1, len(fake) // 2)  # the feature network costs as much as the generator: half a batch will do
    feature = face_feature_distance(fake[:half], real[:half]).mean() if feature_weight else fake.new_zeros(())
    return {"pixel": pixel, "feature": feature, "total": pixel + feature_weight * feature}


class Trainer:
    """Networks, optimisers and the kinds of step."""

    def __init__(self, settings: Settings, data: Portraits, device: torch.device) -> None:
        self.s, self.data, self.device = settings, data, device
        self.g, self.d, self.e = build_networks(settings)
        self.nets: dict[str, nn.Module] = {"g": self.g, "d": self.d, "e": self.e}
        for net in self.nets.values():
            net.to(device).train()
        self.ema_g, self.ema_e = copy.deepcopy(self.g), copy.deepcopy(self.e)
        self.ema: dict[str, nn.Module] = {"g": self.ema_g, "e": self.ema_e}
        for net in self.ema.values():
            net.eval().requires_grad_(False)
        groups = [
            {"params": self.g.synthesis.parameters(), "lr": settings.learning_rate},
            {"params": self.e.parameters(), "lr": settings.encoder_rate},
            {"params": self.g.mapping.parameters(), "lr": settings.encoder_rate},
        ]
        self.opt = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-8)
        self.d_opt = torch.optim.Adam(self.d.parameters(), lr=2e-3, betas=(0.0, 0.99), eps=1e-8)
        self.peaks = [group["lr"] for group in self.opt.param_groups]
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.weight = _centre_weight(settings.resolution, device)
        self.seen = dict.fromkeys(PHASES, 0)

    def _reconstruct(self, real: Tensor, noise_mode: str) -> tuple[Tensor, Tensor]:
        """Reconstructions of (B, 3, R, R), the second half from one code for all layers, and what the codes cost."""
        ws = self.e(real)
        common = ws.mean(1, keepdim=True)
        half = len(real) // 2
        fake = self.g.synthesis(torch.cat([ws[:half], common[half:].expand_as(ws[half:])]), noise_mode=noise_mode)
        return fake, 1e-3 * ws.square().mean() + 1e-2 * (ws - common).square().mean()

    def autoencoding_step(self) -> dict[str, float]:
        real = self.data.batch(self.s.batch, self.rng)
        fake, cost = self._reconstruct(real, "none")
        weight = self.s.feature_weight if self.seen["autoencoding"] >= self.s.feature_from else 0.0
        losses = regression_loss(fake, real, self.weight, weight)
        self._update_generator(losses["total"] + cost, "autoencoding")
        return {k: float(v.detach()) for k, v in losses.items()}

    def adversarial_step(self, index: int) -> dict[str, float]:
        real = self.data.batch(self.s.batch, self.rng)
        half = self.s.batch // 2
        again, cost = self._reconstruct(real[:half], "random")
        losses = regression_loss(again, real[:half], self.weight, self.s.feature_weight)
        z = torch.randn(half, self.s.z_dim, generator=self.rng).to(self.device)
        free = self.g.synthesis(self.g.mapping(z, None, update_emas=True), noise_mode="random")
        fake = torch.cat([again, free])
        self.d.requires_grad_(False)
        losses["adversarial"] = F.softplus(-self.d(fake, None)).mean()
        self._update_generator(losses["total"] + cost + self.s.adversarial_weight * losses["adversarial"], "adversary")
        self.d.requires_grad_(True)
        out = {k: float(v.detach()) for k, v in losses.items()}
        return out | self._update_discriminator(fake.detach(), real, index)

    @torch.no_grad()
    def _all_codes(self) -> Tensor:
        """Common codes (N, w_dim) of every training portrait."""
        chunks = range(0, len(self.data.images), 64)
        return torch.cat([self.ema_e(self.data[slice(i, i + 64)]).mean(1) for i in chunks])

    def fit_mapping(self) -> None:
        """Phase 2: the mapping network learns to give the codes of the training portraits."""
        w = self._all_codes()
        z = pair_codes(self.data.codes.to(self.device), w, self.s.z_dim)
        fit_mapping(self.g.mapping, z, w)
        self.seen["mapping"] = len(w)
        self.ema_g.mapping.load_state_dict(self.g.mapping.state_dict())
        left = unexplained(self.g.mapping, z, w)
        print(json.dumps({"phase": "mapping", "unexplained": round(left, 4)}), flush=True)

    def _update_generator(self, loss: Tensor, phase: str) -> None:
        if not torch.isfinite(loss):
            raise LatentError(f"The generator's loss is not finite after {sum(self.seen.values())} images.")
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        self.opt.step()
        self.seen[phase] += self.s.batch
        half_life = min(self.s.ema_kimg * 1000, self.images_seen * 0.05 + 1)
        beta = 0.5 ** (self.s.batch / half_life)
        with torch.no_grad():
            for name, average_net in self.ema.items():
                for average, now in zip(average_net.parameters(), self.nets[name].parameters(), strict=True):
                    average.lerp_(now, 1 - beta)
                for kept, fresh in zip(average_net.buffers(), self.nets[name].buffers(), strict=True):
                    kept.copy_(fresh)

    @property
    def images_seen(self) -> int:
        return self.seen["autoencoding"] + self.seen["adversary"]

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
        return {"d_loss": float(loss.detach()), "d_sign": float(on_real.detach().sign().mean())}

    def set_rate(self, share: float) -> None:
        """Learning rates as a share of their peaks."""
        for group, peak in zip(self.opt.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share

    def save(self, path: Path) -> None:
        state: dict[str, object] = {name: net.state_dict() for name, net in self.nets.items()}
        state |= {f"ema_{name}": net.state_dict() for name, net in self.ema.items()}
        state |= {"opt": self.opt.state_dict(), "d_opt": self.d_opt.state_dict()}
        temporary = path.with_suffix(".tmp")
        torch.save(state | {"seen": self.seen, "rng": self.rng.get_state()}, temporary)
        os.replace(temporary, path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        for name, net in self.nets.items():
            net.load_state_dict(state[name])
        for name, net in self.ema.items():
            net.load_state_dict(state[f"ema_{name}"])
        self.opt.load_state_dict(state["opt"])
        self.d_opt.load_state_dict(state["d_opt"])
        self.seen = state["seen"]
        self.rng.set_state(state["rng"].cpu())


@torch.no_grad()
def sample_sheet(trainer: Trainer, path: Path, columns: int = 12) -> None:
    """Rows: real, reconstructed from W+, from W, free samples at psi 1 and 0.7."""
    g, e = trainer.ema_g, trainer.ema_e
    real = trainer.data[slice(0, columns)]
    ws = e(real)
    z = torch.randn(columns, trainer.s.z_dim, generator=torch.Generator().manual_seed(123)).to(trainer.device)
    codes = [ws, ws.mean(1, keepdim=True).expand_as(ws)]
    codes += [g.mapping(z, None, truncation_psi=psi) for psi in (1.0, 0.7)]
    rows = [to_uint8(real)] + [to_uint8(g.synthesis(code, noise_mode="const")) for code in codes]
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    cv2.imwrite(str(path), sheet[..., ::-1])


def train(trainer: Trainer, run: Path, autoencoding_images: int, adversary_images: int) -> None:
    """Run the phases to the given numbers of images, with a tick (state, sheet, log line) every 90 s."""
    began, start = time.monotonic(), trainer.images_seen
    totals = {"autoencoding": autoencoding_images, "adversary": adversary_images}
    for phase, total in totals.items():
        if phase == "adversary" and not trainer.seen["mapping"] and total:
            trainer.fit_mapping()
        sums: dict[str, float] = {}
        steps, ticked = 0, time.monotonic()
        while trainer.seen[phase] < total:
            done = trainer.seen[phase] / total
            trainer.set_rate(min(1.0, 1.6 - 1.4 * done) if phase == "autoencoding" else 0.4 * (1.1 - done))
            index = trainer.seen[phase] // trainer.s.batch
            losses = trainer.autoencoding_step() if phase == "autoencoding" else trainer.adversarial_step(index)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + value
            steps += 1
            if time.monotonic() - ticked > TICK_SECONDS or trainer.seen[phase] >= total:
                seen = trainer.images_seen
                speed = (seen - start) / (time.monotonic() - began)
                left = (autoencoding_images + adversary_images - seen) / speed
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
    parser.add_argument("--autoencoding-kimg", type=float, default=60.0)
    parser.add_argument("--adversary-kimg", type=float, default=40.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)


def run(args: argparse.Namespace) -> int:
    settings = Settings(**{name: getattr(args, name) for name in asdict(Settings())})
    device = torch.device(args.device)
    args.run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, Portraits(args.data, settings, device), device)
    if (args.run / "state.pt").exists():
        trainer.load(args.run / "state.pt")
    train(trainer, args.run, int(args.autoencoding_kimg * 1000), int(args.adversary_kimg * 1000))
    provenance = {
        "source": "trained by `python -m latent warmstart` on portraits rendered from known factors",
        "licence": "as the project (GPL-3.0-or-later); no photograph of a person was used",
        "training": asdict(settings) | {"images_seen": trainer.seen, "training_images": len(trainer.data.images)},
    }
    save_checkpoint(args.out, trainer.ema_g, trainer.d.eval(), trainer.ema_e, provenance)
    checkpoint = load_checkpoint(args.out)
    print(f"{args.out}: {checkpoint.resolution} px, {checkpoint.num_ws} codes, sha256 {checkpoint.sha256[:12]}")
    return 0
