"""From pictures to the features that evaluate a generator: dlib's descriptors, detected faces, Inception."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from faces.align import resize
from faces.encoder import chips_from_aligned, load_face_encoder
from faces.landmarks import detect_faces
from faces.photo import Photo
from latent.checkpoints import Checkpoint
from latent.features.inception import FEATURES, InceptionFeatures
from latent.images import to_tensor, to_uint8
from latent.space import sample_ws

DETECT_SIDE = 256  # px: smaller pictures are enlarged to this for the detector, which wants faces of 80 px
BATCH = 16


@dataclass(frozen=True, eq=False)
class Features:
    """Of n images, in their order: descriptors float32 (n, 128); has_face bool (n,), whether dlib finds a face;
    inception float32 (n, 2048), None without that network."""

    descriptors: NDArray[np.float32]
    has_face: NDArray[np.bool_]
    inception: NDArray[np.float32] | None


@torch.no_grad()
def face_descriptors(images: NDArray[np.uint8], device: str | torch.device = "cpu") -> NDArray[np.float32]:
    """dlib's descriptors (n, 128) of aligned faces uint8 (n, S, S, 3), from the chip at its fixed place."""
    encoder = load_face_encoder(device)
    parts = [
        encoder(chips_from_aligned(to_tensor(images[i : i + BATCH], device))).cpu().numpy()
        for i in range(0, len(images), BATCH)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, 128), np.float32)


def has_face(image: NDArray[np.uint8]) -> bool:
    """Whether the app would find a face in an aligned picture (S, S, 3)."""
    side = max(DETECT_SIDE, image.shape[0])
    return bool(detect_faces(Photo(resize(image, side), "sample")))


@torch.no_grad()
def features_of(
    batches: Iterable[NDArray[np.uint8]],
    device: str | torch.device = "cpu",
    inception: InceptionFeatures | None = None,
    seen: Callable[[int], None] = lambda images: None,
) -> Features:
    """Features of batches uint8 (n, S, S, 3); no picture is kept. `seen` gets the size of each finished batch."""
    descriptors, detected, deep = [np.zeros((0, 128), np.float32)], [], [np.zeros((0, FEATURES), np.float32)]
    for images in batches:
        descriptors.append(face_descriptors(images, device))
        detected += [has_face(image) for image in images]
        if inception is not None:
            deep.append(inception(to_tensor(images, device)).cpu().numpy())
        seen(len(images))
    features = None if inception is None else np.concatenate(deep)
    return Features(np.concatenate(descriptors), np.array(detected, dtype=bool), features)


@torch.no_grad()
def sample_images(checkpoint: Checkpoint, n: int, psi: float, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """Batches of n pictures uint8 (b, R, R, 3) of the seeds seed, seed + 1, ..., with the generator's noise fixed."""
    codes = sample_ws(checkpoint.generator, list(range(seed, seed + n)), psi)
    for ws in np.array_split(codes, max(1, -(-n // BATCH))):
        images = checkpoint.generator.synthesis(torch.from_numpy(ws).to(checkpoint.device), noise_mode="const")
        yield to_uint8(images)
