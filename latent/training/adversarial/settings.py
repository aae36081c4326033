"""What a run is made of: published heuristics for the hardware, each of which a flag overrides.

The heuristics for GPUs are those of StyleGAN2-ADA's automatic configuration (Karras et al. 2020, appendix): batch by
resolution and number of GPUs, R1 weight 0.0002 R^2 / batch, learning rate 0.0025 (0.002 from 1024 px), half-life of
the averaged generator batch * 10 / 32 kimg, standard deviations over groups of at most 4. Choices for CPUs
are ours.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import torch

from latent.errors import FinetuneError
from latent.stylegan2.augment.pipeline import SMALLEST
from latent.training.inputs import check_same_flags, require

AUGMENTATIONS = ("ada", "fixed", "none")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
DISCRIMINATORS = ("stylegan2", "projected")
PROJECTED_RATE = 1.5e-3
SMALLEST_PROJECTED = 16
# What may change when a run is resumed: none of it changes what has been computed.
CHANGEABLE = frozenset({"kimg", "tick_kimg", "checkpoint_ticks", "frechet"})


@dataclass(frozen=True)
class Settings:
    """Plain values only: written to RUN/settings.json and into the checkpoint."""

    resolution: int
    batch: int  # images per step, over all processes
    micro_batch: int  # images a forward pass; random draws go by it, so it stays when the number of processes changes
    kimg: float  # length of the run in thousands of real images shown to the discriminator
    gamma: float  # weight of R1
    learning_rate: float
    ema_kimg: float  # half-life of the averaged generator
    mbstd: int  # group of the minibatch standard deviation; 0 leaves the layer out
    ada_kimg: float  # thousand images in which the augmentation strength may go from 0 to 1
    freeze_d: int  # convolutions of the discriminator that are frozen, from the image side
    precision: str
    tick_kimg: float
    discriminator: str = "stylegan2"  # "projected": on frozen features, its own augmentation, no R1, no path lengths
    ema_rampup: float = 0.05  # half-life is at most this share of the images seen; 0 switches it off
    g_rate: float = 1.0  # the generator's learning rate as a share of learning_rate
    g_rampup_kimg: float = 0.0  # the generator's learning rate rises from 0 over these thousand images
    r1_every: int = 16
    pl_every: int = 4
    pl_weight: float = 2.0
    pl_decay: float = 0.01
    pl_shrink: int = 2
    mixing: float = 0.9
    augment: str = "ada"
    augpipe: str = "bgc"
    target: float = 0.6
    p: float = 0.0  # strength of fixed augmentation; where adaptive augmentation starts
    mirror: bool = False
    channel_base: int | None = None  # None: as the start checkpoint has them
    channel_max: int | None = None
    fit_mapping: bool = False  # before the first step, give W the distribution of the training images' codes
    checkpoint_ticks: int = 4
    frechet: int = 0  # samples for the Fréchet distance on face descriptors at each tick; 0: none
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises FinetuneError naming the first flag whose value is not valid."""
        s = self
        for name in ("batch", "micro_batch", "r1_every", "pl_every", "pl_shrink", "checkpoint_ticks"):
            require(type(getattr(s, name)) is int and getattr(s, name) >= 1, name, "a whole number from 1", s)
        for name in ("kimg", "learning_rate", "ema_kimg", "ada_kimg", "tick_kimg", "g_rate"):
            require(0 < getattr(s, name) < 1e9, name, "above 0", s)
        for name in ("gamma", "pl_weight", "ema_rampup", "g_rampup_kimg", "freeze_d", "mbstd", "frechet"):
            require(0 <= getattr(s, name) < 1e9, name, "0 or above", s)
        for name in ("mixing", "p", "target", "pl_decay"):
            require(0 <= getattr(s, name) <= 1, name, "between 0 and 1", s)
        for name, legal in (
            ("augment", AUGMENTATIONS),
            ("precision", PRECISIONS[1:]),
            ("discriminator", DISCRIMINATORS),
        ):
            require(getattr(s, name) in legal, name, "one of " + ", ".join(legal), s)
        require(s.batch % s.micro_batch == 0, "micro_batch", f"a divisor of the batch, {s.batch}", s)
        require(
            s.mbstd == 0 or s.micro_batch % s.mbstd == 0, "mbstd", f"a divisor of the micro-batch, {s.micro_batch}", s
        )
        require(s.augment == "none" or s.resolution >= SMALLEST, "augment", f"none below {SMALLEST} px", s)
        if s.discriminator == "projected":
            require(s.augment == "none", "augment", "none with --discriminator projected, which has its own", s)
            require(s.gamma == 0, "gamma", "0 with --discriminator projected", s)
            require(s.freeze_d == 0, "freeze_d", "0 with --discriminator projected, whose features are frozen", s)
            require(s.resolution >= SMALLEST_PROJECTED, "discriminator", f"stylegan2 below {SMALLEST_PROJECTED} px", s)
        require(s.frechet == 0 or s.frechet >= 50, "frechet", "0 or at least 50 samples", s)


NAMES = tuple(field.name for field in fields(Settings))


def cpu_precision() -> str:
    """bf16 where this processor multiplies it in hardware, else fp32 (emulated bf16 is slower than fp32)."""
    return "bf16" if torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported() else "fp32"


def automatic(given: Mapping[str, Any], resolution: int, device: str, processes: int, from_start: bool) -> Settings:
    """Settings from the flags that were given (None: not given) and heuristics for the rest.

    Raises FinetuneError with a sentence about the first value that is not valid.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    on_cpu = device == "cpu"
    published = max(min(processes * min(4096 // resolution, 32), 64), processes)
    batch = chosen.get("batch", (16 if resolution <= 64 else 8) if on_cpu else published)
    micro = chosen.get("micro_batch", max(1, batch // processes))
    kimg = chosen.get("kimg", 16.0 if on_cpu else 1000.0)
    scale = 1 if resolution < 512 else 2
    projected = chosen.get("discriminator") == "projected"
    # Nothing that shapes the weights depends on kimg: a run that is made longer is the longer run from its beginning.
    auto: dict[str, Any] = {
        "batch": batch,
        "micro_batch": micro,
        "kimg": kimg,
        "gamma": 2e-4 * resolution**2 / batch if batch and not projected else 0.0,
        "learning_rate": 0.002 if resolution >= 1024 else 0.0025,
        "ema_kimg": min(batch * 10 / 32, 1.0) if on_cpu and from_start else batch * 10 / 32,
        "ema_rampup": 0.0 if from_start else 0.05,
        # A discriminator that has not seen the new images yet sends a trained generator on a random walk.
        "g_rampup_kimg": 1.0 if from_start else 0.0,
        "mbstd": min(micro, 4),
        "ada_kimg": (25.0 if on_cpu else 100.0) if from_start else 500.0,
        "freeze_d": 0,
        "tick_kimg": min(1.0 if on_cpu else 4.0, kimg),
    }
    if projected:
        auto |= {"augment": "none", "pl_weight": 0.0, "learning_rate": PROJECTED_RATE, "mbstd": 0}
    if not from_start:  # a processor trains a quarter of the width in a tenth of the time
        auto["channel_base"] = 32 * resolution if on_cpu else 16384 * scale
        auto["channel_max"] = 256 if on_cpu else 512
    precision = chosen.pop("precision", "auto")
    if precision == "auto":
        precision = cpu_precision() if on_cpu else ("bf16" if torch.cuda.is_bf16_supported() else "fp16")
    return Settings(**(auto | chosen | {"resolution": resolution, "precision": precision}))


def resumed(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """Settings of a resumed run: the stored ones, with what may change taken from the flags.

    Raises FinetuneError where a flag asks for another run than the one in the folder, or the file is damaged.
    """
    try:
        before = Settings(**stored)
    except TypeError as error:
        raise FinetuneError(f"settings.json of the run folder is damaged ({error}): start in a new --run.") from error
    chosen = {name: value for name, value in given.items() if value is not None and name in NAMES}
    changed = {name: chosen.pop(name) for name in CHANGEABLE & chosen.keys()}
    check_same_flags(asdict(before), chosen)
    return replace(before, **changed)


def check_hardware(settings: Settings, device: str, processes: int) -> None:
    """Raises FinetuneError where the run does not fit this device or number of processes."""
    chunks = settings.batch // settings.micro_batch
    if chunks % processes:
        raise FinetuneError(
            f"A batch of {settings.batch} in parts of {settings.micro_batch} does not divide among {processes} "
            f"processes: choose --micro-batch {max(1, settings.batch // processes)} in a new run, or other processes."
        )
    if device == "cpu" and settings.precision == "fp16":
        raise FinetuneError("fp16 is for CUDA: on a processor use --precision bf16 or fp32.")
