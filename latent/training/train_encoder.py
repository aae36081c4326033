"""`python -m latent train-encoder`: teach a checkpoint's W+ encoder on its own samples and, if given, real portraits.

Half of a batch are samples of the generator (style-mixed half of the time), whose codes are known; the other half are
aligned portraits, whose codes are compared by the picture they give. Loss: pyramid L1 + face-feature distance of the
reconstruction, squared error of the known codes in units of the W standard deviation, and a pull of the others
towards the W distribution (the delta regularisation of e4e, Tov et al. 2021, section 4.2, in the same units).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from common.command import folder_argument
from common.files import why_not_writable
from latent.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from latent.datasets.build import TRAIN, load, read_table
from latent.encoders.wplus import WPlusEncoder
from latent.errors import LatentError
from latent.images import to_tensor
from latent.training.inputs import require
from latent.training.losses import centre_weight, reconstruction_loss
from latent.training.run_folder import write_whole

TICK_IMAGES = 1000  # between reports and states


def sample(checkpoint: Checkpoint, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (n, 3, R, R) and their codes (n, num_ws, w_dim); half of them mix two codes at a random layer."""
    g = checkpoint.generator
    z = torch.randn(2, n, g.z_dim, generator=rng).to(checkpoint.device)
    with torch.no_grad():
        first, second = (g.mapping(part, None, truncation_psi=0.9) for part in z)
        cut = torch.randint(1, g.num_ws, (n, 1, 1), generator=rng).to(first.device)
        mixed = torch.rand(n, 1, 1, generator=rng).to(first.device) < 0.5
        layer = torch.arange(g.num_ws, device=first.device)[None, :, None]
        ws = torch.where(mixed & (layer >= cut), second, first)
        return g.synthesis(ws, noise_mode="const").clamp(-1, 1), ws


class Trainer:
    """One encoder, its optimiser, and where it is in its schedule."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        data: Path | None,
        batch: int,
        rate: float,
        seed: int,
        start: WPlusEncoder | None = None,
    ) -> None:
        """start: an encoder to begin with. Raises LatentError for one that was built for other codes."""
        self.checkpoint, self.batch, self.rate = checkpoint, batch, rate
        torch.manual_seed(seed)
        statistics = checkpoint.statistics
        self.mean = torch.as_tensor(statistics.mean, dtype=torch.float32, device=checkpoint.device)
        self.scale = torch.as_tensor(statistics.std, dtype=torch.float32, device=checkpoint.device).clamp_min(1e-3)
        self.encoder = WPlusEncoder(checkpoint.resolution, checkpoint.num_ws, checkpoint.w_dim)
        self.encoder.set_w_avg(self.mean, self.scale)
        if start is not None:
            if start.settings() != self.encoder.settings():
                raise LatentError("The encoder to start from was built for other pictures or codes.")
            self.encoder.load_state_dict(start.state_dict())
        self.encoder.to(checkpoint.device).train()
        self.opt = torch.optim.Adam(self.encoder.parameters(), lr=rate, betas=(0.9, 0.99))
        self.rng = torch.Generator().manual_seed(seed)
        self.weight = centre_weight(checkpoint.resolution, checkpoint.device)
        self.images: np.ndarray | None = load(data, checkpoint.resolution)[0] if data else None
        self.seen = 0

    def step(self, total: int) -> dict[str, Tensor]:
        """One update; learning rate falls to zero over the last half of `total` images. Losses stay on the device."""
        rate = self.rate * min(1.0, 2 * (1 - self.seen / total) + 0.02)
        for group in self.opt.param_groups:
            group["lr"] = rate
        sampled = self.batch if self.images is None else self.batch // 2
        x, ws = sample(self.checkpoint, sampled, self.rng)
        if self.images is not None:
            rows = torch.randint(len(self.images), (self.batch - sampled,), generator=self.rng).numpy()
            x = torch.cat([x, to_tensor(self.images[rows], self.checkpoint.device)])
        predicted = self.encoder(x)
        fake = self.checkpoint.generator.synthesis(predicted, noise_mode="const")
        losses = reconstruction_loss(fake, x, self.weight, 0.5)
        code = ((predicted[:sampled] - ws) / self.scale).square().mean()
        offset = (predicted - self.mean) / self.scale
        losses |= {
            "code": code,
            "pull": offset.square().mean(),
            "spread": (offset - offset.mean(1, True)).square().mean(),
        }
        loss = losses["total"] + 0.1 * losses["code"] + 0.005 * losses["pull"] + 0.01 * losses["spread"]
        self.opt.zero_grad(set_to_none=True)
        loss.backward()
        self.opt.step()
        self.seen += self.batch
        return {name: value.detach() for name, value in losses.items()}

    def save(self, path: Path) -> None:
        """Raises LatentError where the disk does not take it; the state before it stays."""
        state = {"encoder": self.encoder.state_dict(), "opt": self.opt.state_dict(), "seen": self.seen}
        write_whole(path, lambda file: torch.save(state | {"rng": self.rng.get_state()}, file))

    def load(self, path: Path) -> None:
        """Raises LatentError for a state that is damaged or of another encoder."""
        try:
            state = torch.load(path, map_location=self.checkpoint.device, weights_only=True)
            self.encoder.load_state_dict(state["encoder"])
            self.opt.load_state_dict(state["opt"])
            self.rng.set_state(state["rng"].cpu())
            self.seen = int(state["seen"])
        except Exception as error:  # whatever a damaged file raises
            raise LatentError(f"{path} is damaged or of another encoder: start in a new --run.") from error


def train(trainer: Trainer, total: int, state: Path) -> None:
    """Train to `total` images seen, printing a JSON line and saving `state` every TICK_IMAGES."""
    began, start, steps = time.monotonic(), trainer.seen, 0
    sums: dict[str, Tensor] = {}
    while trainer.seen < total:
        for name, value in trainer.step(total).items():
            sums[name] = value + sums.get(name, 0.0)
        steps += 1
        if trainer.seen // TICK_IMAGES > (trainer.seen - trainer.batch) // TICK_IMAGES or trainer.seen >= total:
            speed = (trainer.seen - start) / (time.monotonic() - began)
            line = {"kimg": round(trainer.seen / 1000, 2), "images_per_s": round(speed, 2)}
            line |= {"minutes_left": round((total - trainer.seen) / speed / 60, 1)}
            print(json.dumps(line | {k: round(float(v) / steps, 4) for k, v in sums.items()}), flush=True)
            trainer.save(state)
            sums, steps = {}, 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", type=folder_argument, help="checkpoint folder; its encoder is replaced at the end"
    )
    parser.add_argument(
        "--data", type=folder_argument, help="training set of aligned portraits made by `python -m latent dataset`"
    )
    parser.add_argument(
        "--start", type=folder_argument, help="checkpoint whose encoder to begin with, as before a fine-tuning"
    )
    parser.add_argument("--run", required=True, type=folder_argument, help="folder for the state to resume from")
    parser.add_argument("--kimg", type=float, default=30.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def _check(args: argparse.Namespace) -> None:
    """What can be refused before anything is read or made. Raises LatentError."""
    require(0 < args.kimg <= 1e6, "kimg", "above 0 and at most a million", args)
    require(1 <= args.batch <= 4096, "batch", "1 to 4096", args)
    require(0 < args.learning_rate <= 1, "learning_rate", "above 0 and at most 1", args)
    require(0 <= args.seed < 2**31, "seed", f"0 to {2**31 - 1}", args)
    for path in (args.run / "encoder_state.pt", args.checkpoint):
        if why := why_not_writable(path):
            raise LatentError(f"{path} could not be written: {why}.")
    if args.data is not None:
        read_table(args.data, TRAIN)


def run(args: argparse.Namespace) -> int:
    _check(args)
    checkpoint = load_checkpoint(args.checkpoint, args.device, parts=("generator", "discriminator"))
    checkpoint.generator.requires_grad_(False)
    state = args.run / "encoder_state.pt"
    start: WPlusEncoder | None = None
    if args.start is not None:
        encoder = load_checkpoint(args.start, args.device).encoder
        if not isinstance(encoder, WPlusEncoder):
            raise LatentError(f"{args.start} has no encoder of this kind to start from.")
        start = encoder
    trainer = Trainer(checkpoint, args.data, args.batch, args.learning_rate, args.seed, start)
    args.run.mkdir(parents=True, exist_ok=True)
    if state.exists():
        trainer.load(state)
    train(trainer, int(args.kimg * 1000), state)
    facts = {"images_seen": trainer.seen, "learning_rate": args.learning_rate, "batch": args.batch, "seed": args.seed}
    config = {key: value for key, value in checkpoint.config.items() if key != "encoder_imported_from"}
    config["encoder_training"] = facts
    discriminator = checkpoint.discriminator
    save_checkpoint(args.checkpoint, checkpoint.generator, discriminator, trainer.encoder.eval(), config)
    print(f"{args.checkpoint}: encoder trained on {trainer.seen} images")
    return 0
