"""What an inversion minimises: the terms, one number per photo, with the photos' own features computed once."""

import torch
from torch import Tensor
from torch.nn import functional as F

from faces.encoder import chips_from_aligned, load_face_encoder
from latent.features.perceptual import FaceFeatureDistance, PerceptualDistance
from latent.inversion.settings import InversionSettings
from latent.inversion.whitening import Whitening

PYRAMID_LEVELS = 3
MIN_PYRAMID_SIDE = 8
OPPONENT = ((0.5**0.5, -(0.5**0.5), 0.0), (6**-0.5, 6**-0.5, -2 * 6**-0.5))  # red - green, yellow - blue, of length 1
OPPONENT_WEIGHT = 4.0
NEAR, FAR = 0.12, 0.18  # pixel distance after the first steps: renders lie below the one, photographs above the other


def pyramid(images: Tensor) -> list[Tensor]:
    """The images and their halves, quarters, ... by area, down to 8 px at most."""
    levels = [images]
    while len(levels) < PYRAMID_LEVELS and levels[-1].shape[-1] >= 2 * MIN_PYRAMID_SIDE:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def pixel_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Mean over octaves of mean absolute + mean squared difference, (N,): the square penalises large errors, the
    absolute value keeps sharpening small ones."""
    differences = [(x - y).flatten(1) for x, y in zip(a, b, strict=True)]
    return torch.stack([d.abs().mean(1) + d.square().mean(1) for d in differences]).mean(0)


def colours(levels: list[Tensor]) -> list[Tensor]:
    """Two opponent channels of each octave, (N, 2, h, w)."""
    axes = torch.tensor(OPPONENT, device=levels[0].device)
    return [torch.einsum("kc,nchw->nkhw", axes, level) for level in levels]


def strangeness(pixel: Tensor) -> Tensor:
    """How far photos lie from what the generator can draw, 0 to 1, by their pixel distance after the first steps."""
    return ((pixel - NEAR) / (FAR - NEAR)).clamp(0, 1)


class InversionLoss:
    """Terms for photos (N, 3, R, R) in [-1, 1]; called with pictures of some of them.

    strange (N,): `strangeness` of each, 0 until it is known.
    """

    def __init__(
        self, targets: Tensor, weights: InversionSettings, perceptual: PerceptualDistance, whitening: Whitening
    ) -> None:
        self.weights, self.perceptual, self.whitening = weights, perceptual, whitening
        self.strange = torch.zeros(len(targets), device=targets.device)
        with torch.no_grad():
            self._pyramid = pyramid(targets)
            self._features, self._descriptors = self._features_of(targets)
        self._chosen: tuple[Tensor, list[Tensor], list[Tensor], Tensor | None] | None = None

    def _features_of(self, images: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """Perceptual features and the person's descriptor, as far as the weights ask for them, in one pass if one
        network gives both."""
        perceptual, identity = self.weights.perceptual > 0, self.weights.identity > 0
        if perceptual and identity and isinstance(self.perceptual, FaceFeatureDistance):
            return self.perceptual.features_and_descriptor(images)
        features = self.perceptual.features(images) if perceptual else []
        encoder = load_face_encoder(images.device)
        return features, encoder(chips_from_aligned(images)) if identity else None

    def __call__(self, pictures: Tensor, x: Tensor, rows: Tensor) -> dict[str, Tensor]:
        """Each term (n,), unweighted, and their weighted sum "total" for pictures (n, 3, R, R) of whitened codes x
        (n, num_ws, k) that belong to photos `rows` (n,)."""
        if self._chosen is None or not torch.equal(self._chosen[0], rows):  # selected only when the rows change
            chosen = None if self._descriptors is None else self._descriptors[rows]
            self._chosen = (rows, [p[rows] for p in self._pyramid], [f[rows] for f in self._features], chosen)
        _, photo_pyramid, photo_features, photo_descriptors = self._chosen
        levels = pyramid(pictures)
        terms = {"pixel": pixel_distance(levels, photo_pyramid)}
        if (strange := self.strange[rows]).any():
            opponent = pixel_distance(colours(levels), colours(photo_pyramid))
            terms["colour"] = strange * (terms["pixel"] + OPPONENT_WEIGHT * opponent)
        features, descriptors = self._features_of(pictures)
        if features:
            terms["perceptual"] = self.perceptual.between(features, photo_features)
        if descriptors is not None and photo_descriptors is not None:
            terms["identity"] = (descriptors - photo_descriptors).square().sum(1)
        terms["plausibility"] = self.whitening.implausibility(x)
        total = torch.stack([getattr(self.weights, name) * value for name, value in terms.items()]).sum(0)
        return terms | {"total": total}
