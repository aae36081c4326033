"""The torch encoder against dlib's own, its gradients, its file reader, and the fixed crop."""

from collections.abc import Callable

import dlib
import numpy as np
import pytest
import torch

from faces import encoder as encoder_module
from faces.align import align
from faces.encoder import (
    CHIP,
    chip,
    chips_from_aligned,
    descriptors,
    encoder_from_bytes,
    load_face_encoder,
    read_tensors,
)
from faces.errors import FaceError
from faces.landmarks import Face
from faces.models import ENCODER, model_file
from faces.photo import Photo

SAME_PERSON = 0.6  # descriptor distance under which two photos count as one person, by the network's author


@pytest.fixture(scope="module")
def chips(
    astronaut: Photo, astronaut_face: Face, portraits: dict[str, Photo], portrait_faces: dict[str, Face]
) -> np.ndarray:
    rendered = [chip(photo, portrait_faces[name]) for name, photo in portraits.items()]
    return np.stack([chip(astronaut, astronaut_face), *rendered])


@pytest.fixture(scope="module")
def file() -> bytes:
    return model_file(ENCODER).read_bytes()


def aligned_batch(photos: list[Photo], faces: list[Face], size: int) -> torch.Tensor:
    pixels = np.stack([align(photo, face, size).pixels for photo, face in zip(photos, faces, strict=True)])
    return torch.tensor(pixels).permute(0, 3, 1, 2) / 127.5 - 1


@pytest.mark.slow
def test_descriptors_agree_with_dlib(chips: np.ndarray) -> None:
    reference = dlib.face_recognition_model_v1(str(model_file(ENCODER)))
    expected = np.array([list(reference.compute_face_descriptor(one)) for one in chips])
    ours = descriptors(chips)
    assert ours.shape == (7, 128)
    assert ours.dtype == np.float32
    assert np.abs(ours - expected).max() < 1e-5


def test_noise_agrees_with_dlib() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, CHIP, CHIP, 3), dtype=np.uint8)
    reference = dlib.face_recognition_model_v1(str(model_file(ENCODER)))
    expected = np.array([list(reference.compute_face_descriptor(one)) for one in noise])
    assert np.abs(descriptors(noise) - expected).max() < 1e-5


def test_different_people_lie_apart(chips: np.ndarray) -> None:
    found = descriptors(chips)
    distances = np.linalg.norm(found[:, None] - found[None], axis=-1)
    assert distances[np.triu_indices(7, 1)].min() > 0.35
    mirrored = descriptors(np.ascontiguousarray(chips[:, :, ::-1]))
    assert np.linalg.norm(mirrored - found, axis=1).max() < SAME_PERSON


def test_features_per_stage() -> None:
    net = load_face_encoder()
    shapes = [tuple(stage.shape[1:]) for stage in net.features(torch.zeros(2, 3, CHIP, CHIP))]
    assert shapes == [(32, 35, 35), (32, 35, 35), (64, 17, 17), (128, 8, 8), (256, 4, 4), (256, 2, 2)]
    assert len(net.convolutions()) == 29
    assert net(torch.zeros(3, 3, CHIP, CHIP)).shape == (3, 128)
    for bad in (torch.zeros(3, CHIP, CHIP), torch.zeros(1, 1, CHIP, CHIP), torch.zeros(1, 3, 64, 64)):
        with pytest.raises(ValueError, match="150"):
            net(bad)


def test_it_is_frozen_shared_and_usable_after_inference_mode() -> None:
    encoder_module._load.cache_clear()
    with torch.inference_mode():
        net = load_face_encoder()
    assert load_face_encoder("cpu") is net
    assert load_face_encoder(torch.device("cpu")) is net
    assert not net.training
    assert not any(parameter.requires_grad for parameter in net.parameters())
    x = torch.full((1, 3, CHIP, CHIP), 100.0, requires_grad=True)
    net(x).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_the_gradient_is_the_slope(chips: np.ndarray) -> None:
    """Along a random direction the gradient predicts what a small step does, in double precision."""
    net = encoder_from_bytes(model_file(ENCODER).read_bytes()).double()
    x = torch.tensor(chips[:1]).permute(0, 3, 1, 2).double().requires_grad_(True)
    target = torch.randn(1, 128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (net(x) * target).sum().backward()
    assert x.grad is not None
    step = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h = 1e-7  # small, so that few of the relus are crossed
    with torch.no_grad():
        slope = ((net(x + h * step) - net(x - h * step)) * target).sum() / (2 * h)
    assert float(slope) == pytest.approx(float((x.grad * step).sum()), rel=1e-3)


@pytest.mark.parametrize("size", [32, 64, 128, 220, 256, 500])
def test_chips_from_aligned_faces(size: int) -> None:
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images.requires_grad_(True)
    out = chips_from_aligned(images)
    assert out.shape == (2, 3, CHIP, CHIP)
    out.square().sum().backward()
    assert images.grad is not None
    assert torch.isfinite(images.grad).all()
    middle = images.grad[..., size // 2 :, size // 3 : 2 * size // 3]
    assert (middle.abs().sum(dim=1) > 0).float().mean() > 0.8
    assert torch.allclose(chips_from_aligned(torch.full((1, 3, size, size), 0.5)), torch.tensor(191.25), atol=1e-3)


def test_chips_refuse_other_shapes() -> None:
    for bad in (torch.zeros(3, 64, 64), torch.zeros(1, 1, 64, 64), torch.zeros(1, 3, 64, 65)):
        with pytest.raises(ValueError, match="aligned faces"):
            chips_from_aligned(bad)


@pytest.mark.parametrize(("size", "near"), [(64, 0.30), (256, 0.20)])
def test_the_fixed_crop_stands_in_for_dlibs_chip(
    chips: np.ndarray,
    astronaut: Photo,
    astronaut_face: Face,
    portraits: dict[str, Photo],
    portrait_faces: dict[str, Face],
    size: int,
    near: float,
) -> None:
    """Its descriptors lie near those of the true chips, and each nearest to its own person."""
    photos, faces = [astronaut, *portraits.values()], [astronaut_face, *portrait_faces.values()]
    with torch.no_grad():
        fixed = load_face_encoder()(chips_from_aligned(aligned_batch(photos, faces, size))).numpy()
    true = descriptors(chips)
    distances = np.linalg.norm(fixed[:, None] - true[None], axis=-1)
    assert np.array_equal(distances.argmin(axis=1), np.arange(7))
    assert np.median(np.diag(distances)) < near


def test_the_fixed_crop_lies_on_dlibs_chip(chips: np.ndarray, astronaut: Photo, astronaut_face: Face) -> None:
    fixed = chips_from_aligned(aligned_batch([astronaut], [astronaut_face], 256))[0].permute(1, 2, 0).numpy()
    shift = np.abs(fixed - chips[0]).mean()
    assert shift < 15
    for dx, dy in ((12, 0), (-12, 0), (0, 12), (0, -12)):
        assert np.abs(np.roll(fixed, (dy, dx), (0, 1)) - chips[0]).mean() > shift


def test_bad_chips_are_refused() -> None:
    with pytest.raises(FaceError, match="150"):
        descriptors(np.zeros((1, 64, 64, 3), np.uint8))
    assert descriptors(np.zeros((0, CHIP, CHIP, 3), np.uint8)).shape == (0, 128)


@pytest.mark.parametrize("cut", [0, 1, 10, 1000, 5_000_000, -80, -1000])
def test_a_truncated_file_is_refused(file: bytes, cut: int) -> None:
    with pytest.raises(FaceError, match="install it again"):
        encoder_from_bytes(file[:cut])


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file + bytes(1000),  # more than the network
        lambda file: bytes(600) + file,  # the first tensor is not where it should be
        lambda file: file.replace(b"\x01\x02\x02\x80\x12\x01\x01", b"\x01\x02\x02\x81\x12\x01\x01", 1),  # another size
        lambda file: file[:4000] + b"\0\0\xc0\x7f" * 100 + file[4400:],  # weights that are no numbers
        lambda file: bytes(len(file)),
        lambda file: np.random.default_rng(0).bytes(100_000),
    ],
)
def test_other_files_are_refused(file: bytes, change: Callable[[bytes], bytes]) -> None:
    changed = change(file)
    assert changed != file
    with pytest.raises(FaceError, match="install it again"):
        encoder_from_bytes(changed)


def test_reading_tensors() -> None:
    values = np.arange(6, dtype="<f4")
    data = b"head" + b"\x01\x02\x01\x02\x01\x03\x01\x01\x01\x01" + values.tobytes() + b"tail"
    (found,) = read_tensors(data, [(2, 3, 1, 1)])
    assert np.array_equal(found.ravel(), values)
    with pytest.raises(FaceError, match="tensor 1"):
        read_tensors(data, [(3, 2, 1, 1)])
    with pytest.raises(FaceError, match="tensor 2"):
        read_tensors(data, [(2, 3, 1, 1), (2, 3, 1, 1)])
    with pytest.raises(FaceError, match="more than"):
        read_tensors(data + bytes(600), [(2, 3, 1, 1)])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu(chips: np.ndarray) -> None:
    assert np.abs(descriptors(chips, "cuda") - descriptors(chips)).max() < 1e-3
