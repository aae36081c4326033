"""What models look at in the aligned photos of a study, a row a photo: pixels and regions at 64 px, and dlib's 128
numbers of the face."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from faces.align import resize
from faces.appearance.colour import COLOURS, colours
from study.photos.aligned_store import DESCRIPTOR, AlignedStore, OnProgress
from study.photos.prepare import ALIGNED_SIZE

SIZE = 64  # px
FINE, NO_REGIONS, NO_FACE = range(3)


@dataclass(frozen=True, eq=False)
class AlignedPhotos:
    """pixels uint8 (n, S, S, 3); regions uint8 (n, S, S), index into faces.regions.REGION_NAMES; state (n,): FINE,
    NO_REGIONS (a face, but no landmarks in it: regions are 0) or NO_FACE (pixels are 0 too)."""

    pixels: NDArray[np.uint8]
    regions: NDArray[np.uint8]
    state: NDArray[np.uint8]


def aligned_photos(
    store: AlignedStore,
    photos: Sequence[Path],
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> AlignedPhotos:
    """These photos of the store's study, in order. on_progress, cancelled: as in `AlignedStore.blocks`."""
    n, step = len(photos), ALIGNED_SIZE // SIZE
    pixels, regions = np.zeros((n, SIZE, SIZE, 3), np.uint8), np.zeros((n, SIZE, SIZE), np.uint8)
    state = np.full(n, NO_FACE, np.uint8)
    for start, block in store.blocks(photos, on_progress, cancelled):
        for row, (_, stored) in enumerate(block, start):
            if stored.face is None:
                continue
            pixels[row] = resize(stored.face.pixels, SIZE)
            state[row] = NO_REGIONS if stored.face.regions is None else FINE
            if stored.face.regions is not None:
                regions[row] = stored.face.regions[step // 2 :: step, step // 2 :: step]
    return AlignedPhotos(pixels, regions, state)


def colours_of(
    store: AlignedStore,
    photos: Sequence[Path],
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float32]:
    """(n, len(COLOURS)) colours of the faces in these photos of the store's study, in order; nan where a photo shows no
    face, or no landmarks were found in it. on_progress, cancelled: as in `AlignedStore.blocks`."""
    out = np.full((len(photos), len(COLOURS)), np.nan, np.float32)
    for start, block in store.blocks(photos, on_progress, cancelled):
        for row, (_, stored) in enumerate(block, start):
            if stored.face is not None and stored.face.landmarks is not None:
                out[row] = colours(stored.face.pixels, stored.face.landmarks)
    return out


def descriptors(
    store: AlignedStore,
    photos: Sequence[Path],
    on_progress: OnProgress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> NDArray[np.float32]:
    """(n, 128) face descriptors of these photos of the store's study, in order; nan where a photo shows no face.

    on_progress, cancelled: as in `AlignedStore.blocks`.
    """
    import torch

    from faces.encoder import chips_from_aligned, load_face_encoder

    out = np.full((len(photos), DESCRIPTOR), np.nan, np.float32)
    for start, block in store.blocks(photos, on_progress, cancelled):
        new = []
        for row, (digest, stored) in enumerate(block, start):
            if stored.descriptor is not None:
                out[row] = stored.descriptor[0]
            elif stored.face is not None:
                new.append((row, digest, stored))
        if not new:
            continue
        with torch.inference_mode():
            images = torch.as_tensor(np.stack([stored.picture for *_, stored in new])).permute(0, 3, 1, 2)
            rows = load_face_encoder()(chips_from_aligned(images.float() / 127.5 - 1)).numpy()
        for (row, digest, stored), descriptor in zip(new, rows, strict=True):
            out[row] = descriptor
            store.keep_descriptor(digest, stored, descriptor)
    return out
