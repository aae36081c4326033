"""Inception v3 up to its last pooling: the features of the Fréchet and kernel distances known as FID and KID.

Szegedy et al. 2015 (arXiv:1512.00567), figures 5 to 7 and table 1, with torchvision's names of the parameters, so that
its state dict fits as well as that of the network that published FIDs use: TensorFlow's of December 2015, ported to
torch with the same names (`pt_inception-2015-12-05`). The two differ in weights and in three poolings, and so do their
figures: `InceptionFeatures.name` says which one it is. Nothing is ever downloaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from latent.errors import LatentError

TENSORFLOW = "Inception v3, TensorFlow 2015 (the network of published FIDs)"
TORCHVISION = "Inception v3, torchvision (ImageNet; not comparable to published FIDs)"
CLASSES = {1008: TENSORFLOW, 1000: TORCHVISION}
FEATURES = 2048
SIDE = 299  # px
MAX_BYTES = 512 << 20
FOLDER = Path(__file__).resolve().parents[2] / "checkpoints" / "inception"
HUB_PATTERNS = ("pt_inception-*.pth", "inception_v3_google-*.pth")

Kernel = tuple[int, int]
Unit = tuple[str, int, Kernel]  # name, channels out, kernel
Step = Unit | tuple[Unit, Unit]
K1, K3, K5, ACROSS3, DOWN3, ACROSS7, DOWN7 = (1, 1), (3, 3), (5, 5), (1, 3), (3, 1), (1, 7), (7, 1)
DOUBLE_3X3: list[Step] = [("branch3x3dbl_1", 64, K1), ("branch3x3dbl_2", 96, K3), ("branch3x3dbl_3", 96, K3)]
# Stem: name, channels in and out, kernel, stride, padding, whether a 3x3 pooling of stride 2 comes before.
STEM = (
    ("Conv2d_1a_3x3", 3, 32, 3, 2, 0, False),
    ("Conv2d_2a_3x3", 32, 32, 3, 1, 0, False),
    ("Conv2d_2b_3x3", 32, 64, 3, 1, 1, False),
    ("Conv2d_3b_1x1", 64, 80, 1, 1, 0, True),
    ("Conv2d_4a_3x3", 80, 192, 3, 1, 0, False),
)


class ConvUnit(nn.Module):
    """Convolution without bias, batch normalisation with its running statistics, relu."""

    def __init__(self, channels_in: int, channels: int, kernel: Kernel, stride: int, padding: Kernel) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Chains of convolutions side by side, and a pooled branch, concatenated.

    chains: units in a row; where the last entry of a chain is a pair of units, both read what comes before. The last
    unit of each chain has stride 2 in a `down` block, whose pooled branch is a maximum without a convolution.
    """

    def __init__(self, channels_in: int, chains: list[list[Step]], pooled: int, pool: str) -> None:
        super().__init__()
        self.pool = pool
        self.layout: list[list[tuple[str, ...]]] = []
        self.channels = pooled or channels_in
        for chain in chains:
            channels, names = channels_in, []
            for position, entry in enumerate(chain):
                units = entry if isinstance(entry[0], tuple) else (entry,)
                down = pool == "down" and position == len(chain) - 1
                for name, out, (high, wide) in units:
                    padding = (0, 0) if down else (high // 2, wide // 2)
                    setattr(self, name, ConvUnit(channels, out, (high, wide), 2 if down else 1, padding))
                names.append(tuple(str(unit[0]) for unit in units))
                channels = sum(int(unit[1]) for unit in units)
            self.layout.append(names)
            self.channels += channels
        if pooled:
            self.branch_pool = ConvUnit(channels_in, pooled, K1, 1, (0, 0))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, channels, H', W']."""
        parts = []
        for names in self.layout:
            y = x
            for step in names:
                y = torch.cat([getattr(self, name)(y) for name in step], 1)
            parts.append(y)
        return torch.cat([*parts, self._pooled(x)], 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "down":
            return F.max_pool2d(x, 3, 2)
        if self.pool == "maximum":
            return self.branch_pool(F.max_pool2d(x, 3, 1, 1))
        return self.branch_pool(F.avg_pool2d(x, 3, 1, 1, count_include_pad=self.pool == "average of nine"))


def _inner(channels_in: int, pooled: int, pool: str) -> Mixed:
    five: list[Step] = [("branch5x5_1", 48, K1), ("branch5x5_2", 64, K5)]
    return Mixed(channels_in, [[("branch1x1", 64, K1)], five, DOUBLE_3X3], pooled, pool)


def _factorised(c: int, pool: str) -> Mixed:
    seven: list[Step] = [
        ("branch7x7_1", c, K1),
        ("branch7x7_2", c, ACROSS7),
        ("branch7x7_3", 192, DOWN7),
    ]
    double: list[Step] = [
        ("branch7x7dbl_1", c, K1),
        ("branch7x7dbl_2", c, DOWN7),
        ("branch7x7dbl_3", c, ACROSS7),
        ("branch7x7dbl_4", c, DOWN7),
        ("branch7x7dbl_5", 192, ACROSS7),
    ]
    return Mixed(768, [[("branch1x1", 192, K1)], seven, double], 192, pool)


def _wide(channels_in: int, pool: str) -> Mixed:
    three: list[Step] = [
        ("branch3x3_1", 384, K1),
        (("branch3x3_2a", 384, ACROSS3), ("branch3x3_2b", 384, DOWN3)),
    ]
    double: list[Step] = [
        ("branch3x3dbl_1", 448, K1),
        ("branch3x3dbl_2", 384, K3),
        (("branch3x3dbl_3a", 384, ACROSS3), ("branch3x3dbl_3b", 384, DOWN3)),
    ]
    return Mixed(channels_in, [[("branch1x1", 320, K1)], three, double], 192, pool)


def _first_reduction() -> Mixed:
    return Mixed(288, [[("branch3x3", 384, K3)], DOUBLE_3X3], 0, "down")


def _second_reduction() -> Mixed:
    three: list[Step] = [("branch3x3_1", 192, K1), ("branch3x3_2", 320, K3)]
    seven: list[Step] = [
        ("branch7x7x3_1", 192, K1),
        ("branch7x7x3_2", 192, ACROSS7),
        ("branch7x7x3_3", 192, DOWN7),
        ("branch7x7x3_4", 192, K3),
    ]
    return Mixed(768, [three, seven], 0, "down")


class InceptionFeatures(nn.Module):
    """Images (N, 3, R, R) in [-1, 1] to features (N, 2048); `name` says whose weights and poolings."""

    def __init__(self, name: str = TENSORFLOW) -> None:
        super().__init__()
        self.name = name
        # TensorFlow's averages leave the border out of the count, and its last block takes a maximum.
        average, last = ("average", "maximum") if name == TENSORFLOW else ("average of nine", "average of nine")
        for unit, channels_in, channels, kernel, stride, padding, _ in STEM:
            setattr(self, unit, ConvUnit(channels_in, channels, (kernel, kernel), stride, (padding, padding)))
        self.blocks = {
            "Mixed_5b": _inner(192, 32, average),
            "Mixed_5c": _inner(256, 64, average),
            "Mixed_5d": _inner(288, 64, average),
            "Mixed_6a": _first_reduction(),
            "Mixed_6b": _factorised(128, average),
            "Mixed_6c": _factorised(160, average),
            "Mixed_6d": _factorised(160, average),
            "Mixed_6e": _factorised(192, average),
            "Mixed_7a": _second_reduction(),
            "Mixed_7b": _wide(1280, average),
            "Mixed_7c": _wide(2048, last),
        }
        for block, module in self.blocks.items():
            self.add_module(block, module)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Scaled to 299 px bilinearly without antialiasing, as both networks' published figures are made."""
        x = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        for unit, *_, pooled in STEM:
            x = getattr(self, unit)(F.max_pool2d(x, 3, 2) if pooled else x)
        x = F.max_pool2d(x, 3, 2)
        for module in self.blocks.values():
            x = module(x)
        return x.mean((2, 3))


def inception_from(tensors: Mapping[str, Tensor]) -> InceptionFeatures:
    """The network with the weights of a state dict, whose classifier tells which network it is.

    Raises LatentError where a tensor is missing or has another shape; the classifiers themselves are not used.
    """
    head = tensors.get("fc.weight")
    name = CLASSES.get(head.shape[0]) if head is not None and head.ndim == 2 else None
    if name is None:
        raise LatentError("The Inception weights are neither torchvision's nor the ported TensorFlow ones.")
    network = InceptionFeatures(name)
    own = network.state_dict()
    for key, value in own.items():
        if key.endswith("num_batches_tracked"):
            continue
        given = tensors.get(key)
        if given is None or given.shape != value.shape or not given.is_floating_point():
            raise LatentError(f"The Inception weights do not fit: {key} is missing or has another shape.")
        own[key] = given
    network.load_state_dict(own)
    return network


def weights_file() -> Path | None:
    """Inception weights where a person or torchvision has put them, those of published FIDs first; else None."""
    placed = sorted(path for path in FOLDER.glob("*") if path.suffix in (".safetensors", ".pth", ".pt"))
    cached = [path for pattern in HUB_PATTERNS for path in (Path(torch.hub.get_dir()) / "checkpoints").glob(pattern)]
    return next(iter([*placed, *cached]), None)


def load_inception(file: Path, device: torch.device | str = "cpu") -> InceptionFeatures:
    """Read a state dict from .safetensors, .pth or .pt, without executing anything in it. Raises LatentError."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise LatentError(f"{file.name} is larger than any Inception network.")
        if file.suffix == ".safetensors":
            tensors = load_file(file)
        else:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except LatentError:
        raise
    except (OSError, SafetensorError) as error:
        raise LatentError(
            f"{file.name} cannot be read as Inception weights; delete it or download it again."
        ) from error
    except Exception as error:  # torch raises nearly anything on a damaged file
        raise LatentError(f"{file.name} cannot be read as Inception weights: it must be a plain state dict.") from error
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise LatentError(f"{file.name} cannot be read as Inception weights: it must be a plain state dict.")
    return inception_from(tensors).to(device)
