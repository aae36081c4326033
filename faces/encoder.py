"""dlib's face encoder as a torch module: identity descriptors and face features one can differentiate through.

The network is the 29-convolution residual network of dlib (King 2017, `dlib_face_recognition_resnet_model_v1`), the
one of Liang et al. 2020. Descriptors of one person lie within 0.6 of each other (Euclidean; its author's value).
Each affine layer is folded into the convolution before it. Inputs are chips: RGB 150 x 150, values 0-255, as
`dlib.get_face_chip(image, landmarks, 150, 0.25)` cuts them.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import prod

import dlib
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from faces.errors import FaceError
from faces.landmarks import Face
from faces.models import ENCODER, model_file
from faces.photo import Photo

CHIP = 150  # px
CHIP_PADDING = 0.25
MEAN = (122.782, 117.001, 104.298)
STAGES = ((3, 32), (4, 64), (3, 128), (3, 256), (1, 256))  # blocks, channels; all but the first begin with a down one
# Where dlib's chip lies in the FFHQ square: over 80 rendered portraits its side is 0.703 (sd 0.018), its centre (0.50,
# 0.598); on a real photo the side is 0.66. Of the squares tried, 220 px (side 0.68) kept descriptors closest.
SQUARE, LEFT, TOP = 220, 35, 57  # px: the square at the size that makes the chip 150 px, and the chip's corner in it


class Block(nn.Module):
    """conv 3x3, relu, conv 3x3, added to the shortcut, relu; a down block halves the sides without padding."""

    def __init__(self, channels_in: int, channels: int, down: bool) -> None:
        super().__init__()
        self.down = down
        self.first = nn.Conv2d(channels_in, channels, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, C', H', W']."""
        y = self.second(F.relu(self.first(x)))
        if not self.down:
            return F.relu(y + x)
        x = F.avg_pool2d(x, 2)
        return F.relu(_pad_to(y, x) + _pad_to(x, y))


class FaceEncoder(nn.Module):
    """Chips (N, 3, 150, 150), RGB 0-255, to descriptors (N, 128)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        stages, channels_in = [], 32
        for index, (blocks, channels) in enumerate(STAGES):
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(Block(channels_in, channels, down=index > 0 and block == 0))
                channels_in = channels
            stages.append(stage)
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """Activations after the stem and each stage; of (N, 3, 150, 150) [N, 32, 35, 35] ... [N, 256, 2, 2]."""
        if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < CHIP:
            raise ValueError(f"chips must be (N, 3, {CHIP}, {CHIP}), not {tuple(x.shape)}")
        mean = self.get_buffer("mean")
        x = (x - mean) / 256
        if self.stem.weight.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(F.relu(self.stem(x)), 3, stride=2)
        activations = [x]
        for stage in self.stages:
            activations.append(stage(activations[-1]))
        return activations

    def forward(self, x: Tensor) -> Tensor:
        """Descriptors (N, 128) of chips (N, 3, 150, 150)."""
        return self.head(self.features(x)[-1].mean(dim=(2, 3)))

    def convolutions(self) -> list[nn.Conv2d]:
        """All 29, from the input side to the output side, as they stand in dlib's file."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]


def _pad_to(x: Tensor, other: Tensor) -> Tensor:
    """Zeros at the end of channels, rows and columns where x is smaller than the other."""
    extra = [max(0, b - a) for a, b in zip(x.shape[1:], other.shape[1:], strict=True)]
    return F.pad(x, (0, extra[2], 0, extra[1], 0, extra[0])) if any(extra) else x


MAX_GAP = 512  # bytes of settings between two tensors; at most 341 in the file that is distributed


def read_tensors(data: bytes, shapes: Iterable[tuple[int, int, int, int]]) -> list[NDArray[np.float32]]:
    """Tensors of exactly these shapes in a file of dlib's own serialization; FaceError where one is missing, differs,
    or more follows. Nothing in the file is executed.

    A tensor: integers 2 (a version), num_samples, k, nr, nc, then that many little-endian float32. Between tensors
    stand short records of layer settings.
    """
    tensors, position = [], 0
    for number, shape in enumerate(shapes, start=1):
        header = b"".join(_integer(value) for value in (2, *shape))
        start = data.find(header, position, position + MAX_GAP + len(header))
        begin, count = start + len(header), prod(shape)
        if start < 0 or begin + 4 * count > len(data):
            raise FaceError(f"The face encoder's file is not the expected one (tensor {number}): install it again.")
        values = np.frombuffer(data, dtype="<f4", count=count, offset=begin).reshape(shape)
        if not np.isfinite(values).all():
            raise FaceError(f"The face encoder's file is damaged (tensor {number}): install it again.")
        tensors.append(values)
        position = begin + 4 * count
    if len(data) - position > MAX_GAP:
        raise FaceError("The face encoder's file holds more than the expected network: install it again.")
    return tensors


def _integer(value: int) -> bytes:
    """A positive integer as dlib writes it: the number of bytes that follow, then these, little endian."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "little")


def encoder_from_bytes(data: bytes) -> FaceEncoder:
    """The network with the weights of dlib's file; FaceError where the bytes are anything else."""
    encoder = FaceEncoder()
    convolutions = encoder.convolutions()
    shapes: list[tuple[int, int, int, int]] = []
    for conv in convolutions:
        filters = conv.out_channels
        shapes += [(conv.weight.numel() + filters, 1, 1, 1), (2 * filters, 1, 1, 1)]
    tensors = read_tensors(data, [*shapes, (256, 128, 1, 1)])
    with torch.no_grad():
        for conv, values, affine in zip(convolutions, tensors[0:-1:2], tensors[1:-1:2], strict=True):
            filters = conv.out_channels
            weights, bias = np.split(values.ravel().astype(np.float64), [conv.weight.numel()])
            gamma, beta = affine.ravel().astype(np.float64).reshape(2, filters)
            weights = weights.reshape(conv.weight.shape) * gamma[:, None, None, None]
            conv.weight.copy_(torch.from_numpy(weights))
            conv.bias.copy_(torch.from_numpy(bias * gamma + beta))  # type: ignore[union-attr]
        encoder.head.weight.copy_(torch.from_numpy(tensors[-1][:, :, 0, 0].T.copy()))
    return encoder.eval().requires_grad_(False)


@lru_cache(maxsize=4)
def _load(device: str) -> FaceEncoder:
    with torch.inference_mode(False):  # weights made inside inference mode could not carry gradients later
        encoder = encoder_from_bytes(model_file(ENCODER).read_bytes()).to(torch.device(device))
        return encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def load_face_encoder(device: str | torch.device = "cpu") -> FaceEncoder:
    """The encoder on a device, frozen, in eval mode; one copy a device is kept and shared."""
    return _load(str(device))


def chip(photo: Photo, face: Face) -> NDArray[np.uint8]:
    """dlib's own chip of a face, uint8 (150, 150, 3)."""
    left, top, right, bottom = (round(v) for v in face.box)
    points = [dlib.point(round(float(x)), round(float(y))) for x, y in face.landmarks]
    detection = dlib.full_object_detection(dlib.rectangle(left, top, right - 1, bottom - 1), dlib.points(points))
    return dlib.get_face_chip(np.ascontiguousarray(photo.pixels), detection, CHIP, CHIP_PADDING)


def chips_from_aligned(images: Tensor) -> Tensor:
    """Chips (N, 3, 150, 150), 0-255, cut from aligned faces (N, 3, S, S) in [-1, 1] at a fixed place; differentiable.

    The crop is the mean chip of the FFHQ square, so it needs no landmarks and no gradient goes through a detector.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
        raise ValueError(f"aligned faces must be (N, 3, S, S), not {tuple(images.shape)}")
    shrinks = images.shape[-1] > SQUARE
    mode = "bilinear" if shrinks else "bicubic"  # small faces lose less to cubic
    scaled = F.interpolate(images, size=(SQUARE, SQUARE), mode=mode, align_corners=False, antialias=shrinks)
    return (scaled[:, :, TOP : TOP + CHIP, LEFT : LEFT + CHIP] + 1) * 127.5


def descriptors(chips: NDArray[np.uint8], device: str | torch.device = "cpu") -> NDArray[np.float32]:
    """Descriptors float32 (N, 128) of chips uint8 (N, 150, 150, 3)."""
    if chips.ndim != 4 or chips.shape[1:] != (CHIP, CHIP, 3):
        raise FaceError(f"Face chips must be {CHIP} x {CHIP} RGB pictures, not {chips.shape}.")
    encoder = load_face_encoder(device)
    with torch.inference_mode():
        parts = [
            encoder(torch.tensor(chips[i : i + 32], device=device).permute(0, 3, 1, 2).float()).cpu().numpy()
            for i in range(0, len(chips), 32)
        ]
    return np.concatenate(parts) if parts else np.zeros((0, 128), np.float32)
