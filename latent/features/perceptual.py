"""How different two faces look: LPIPS where its backbone is installed, else a face-feature distance under its own name.

Both have one form (Zhang et al. 2018, arXiv:1801.03924, equation 1): the images pass a network, the features of each
stage are scaled to length one across channels, squared differences are weighted by channel, averaged over the grid and
added over stages:

    d(x, y) = sum_l  mean_hw  sum_c  v_lc (f_lc(x) - f_lc(y))^2 ,   f_l = F_l / |F_l|_channels

- *LPIPS (AlexNet)*: stages are AlexNet's five activations, v the learned weights that the `lpips` package ships. The
  backbone is looked for in torch's hub cache and in `checkpoints/lpips/`; nothing is ever downloaded here.
- *Face-feature distance (dlib)*: stages are those of dlib's face encoder on its chip, v = 1 / number of stages. It sees
  the face alone, not hair, neck or background, and is not LPIPS: values of the two must not be compared.
"""

import functools
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faces.encoder import chips_from_aligned, load_face_encoder
from faces.models import package_file
from latent.errors import LatentError

LPIPS_NAME = "LPIPS (AlexNet)"
FACE_NAME = "Face-feature distance (dlib)"
BACKBONE_FOLDER = Path(__file__).resolve().parents[2] / "checkpoints" / "lpips"
BACKBONE_PATTERN = "alexnet*.pth"
LPIPS_MIN_SIDE = 64  # AlexNet's pooling leaves nothing of a smaller image
EPSILON = 1e-8  # added to squared lengths: where all channels are off a direction has no meaning and no gradient

# torchvision's AlexNet: index in `features`, (out, in, kernel), stride, padding, pooled before
ALEXNET = (
    (0, (64, 3, 11), 4, 2, False),
    (3, (192, 64, 5), 1, 2, True),
    (6, (384, 192, 3), 1, 1, True),
    (8, (256, 384, 3), 1, 1, False),
    (10, (256, 256, 3), 1, 1, False),
)
# mean and deviation of ImageNet, moved from [0, 1] to [-1, 1]
LPIPS_SHIFT = (-0.030, -0.088, -0.188)
LPIPS_SCALE = (0.458, 0.448, 0.450)


def unit_channels(features: Tensor) -> Tensor:
    """(N, C, h, w) scaled to length one across channels at every place."""
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + EPSILON)


class PerceptualDistance(nn.Module):
    """Differentiable distance of images (N, 3, R, R) in [-1, 1]: (N,), 0 for equal images, the same both ways.

    `features` may be computed once for an image that stays (the photo of an inversion) and compared with `between`.
    """

    name: str

    def features(self, images: Tensor) -> list[Tensor]:
        """Per stage (N, C, h, w), channels of unit length."""
        raise NotImplementedError

    def between(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Distance (N,) of two lists that `features` returned."""
        raise NotImplementedError

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.between(self.features(x), self.features(y))


class FaceFeatureDistance(PerceptualDistance):
    """Features of dlib's face encoder, every stage with the same weight."""

    name = FACE_NAME

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.encoder = load_face_encoder(device)

    def features(self, images: Tensor) -> list[Tensor]:
        return self.features_and_descriptor(images)[0]

    def features_and_descriptor(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """`features`, and from the same pass the encoder's descriptor (N, 128) of the person."""
        stages = self.encoder.features(chips_from_aligned(images))
        return [unit_channels(stage) for stage in stages], self.encoder.head(stages[-1].mean((2, 3)))

    def between(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        parts = [(x - y).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)]
        return torch.stack(parts).mean(0)


class LearnedDistance(PerceptualDistance):
    """LPIPS 0.1 with AlexNet: `backbone` is torchvision's AlexNet state dict, `heads` the `lpips` package's alex.pth.

    Raises LatentError if a tensor is missing or has another shape.
    """

    name = LPIPS_NAME

    def __init__(self, backbone: dict[str, Tensor], heads: dict[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("shift", torch.tensor(LPIPS_SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(LPIPS_SCALE)[:, None, None])
        self.convolutions = nn.ModuleList()
        for stage, (index, (out, channels, kernel), stride, padding, _) in enumerate(ALEXNET):
            convolution = nn.Conv2d(channels, out, kernel, stride, padding)
            weight, bias = (backbone.get(f"features.{index}.{part}") for part in ("weight", "bias"))
            head = heads.get(f"lin{stage}.model.1.weight")
            if weight is None or bias is None or head is None:
                raise LatentError(f"The LPIPS weights hold no layer {stage + 1}; use torchvision's AlexNet file.")
            if weight.shape != convolution.weight.shape or bias.shape != (out,) or head.numel() != out:
                raise LatentError(f"Layer {stage + 1} of the LPIPS weights is not AlexNet's: {tuple(weight.shape)}.")
            convolution.load_state_dict({"weight": weight, "bias": bias})
            self.convolutions.append(convolution)
            self.register_buffer(f"head{stage}", head.reshape(1, out, 1, 1))
        self.eval().requires_grad_(False)

    def features(self, images: Tensor) -> list[Tensor]:
        if images.shape[-1] < LPIPS_MIN_SIDE:
            images = F.interpolate(images, size=LPIPS_MIN_SIDE, mode="bilinear", align_corners=False)
        x = (images - cast(Tensor, self.shift)) / cast(Tensor, self.scale)
        stages = []
        for convolution, (_, _, _, _, pooled) in zip(self.convolutions, ALEXNET, strict=True):
            x = F.relu(convolution(F.max_pool2d(x, 3, 2) if pooled else x))
            stages.append(unit_channels(x))
        return stages

    def between(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        parts = [
            ((x - y).square() * cast(Tensor, getattr(self, f"head{stage}"))).sum(1).mean((1, 2))
            for stage, (x, y) in enumerate(zip(a, b, strict=True))
        ]
        return torch.stack(parts).sum(0)


def lpips_heads_file() -> Path | None:
    """The learned channel weights inside the installed `lpips` package, by path: its import takes torchvision along."""
    return package_file("lpips", "weights/v0.1/alex.pth")


def backbone_file() -> Path | None:
    """AlexNet's weights where torchvision or a person has put them, or None."""
    folders = (BACKBONE_FOLDER, Path(torch.hub.get_dir()) / "checkpoints")
    return next((file for folder in folders for file in sorted(folder.glob(BACKBONE_PATTERN))), None)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise LatentError(f"{file.name} cannot be read as LPIPS weights; delete it or download it again.") from error


@functools.lru_cache(maxsize=4)
def load_face_distance(device: torch.device | str = "cpu") -> FaceFeatureDistance:
    """The face-feature distance on `device`, kept for the next caller."""
    return FaceFeatureDistance(device)


@functools.lru_cache(maxsize=4)
def _load_lpips(backbone: Path, heads: Path, device: torch.device | str) -> LearnedDistance:
    return LearnedDistance(_read(backbone), _read(heads)).to(device)


def load_perceptual(device: torch.device | str = "cpu") -> PerceptualDistance:
    """LPIPS if its backbone is on this machine, else the face-feature distance. Ask `.name` before showing a number."""
    backbone, heads = backbone_file(), lpips_heads_file()
    if backbone is not None and heads is not None:
        return _load_lpips(backbone, heads, device)
    return load_face_distance(device)


def face_feature_distance(x: Tensor, y: Tensor) -> Tensor:
    """`FaceFeatureDistance` of two batches (N, 3, R, R) in [-1, 1] on their own device: (N,)."""
    return load_face_distance(x.device)(x, y)
