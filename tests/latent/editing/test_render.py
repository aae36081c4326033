"""Pictures of codes: batches are single pictures, codes of another model are refused."""

import numpy as np
import pytest

from latent.checkpoints import Checkpoint
from latent.editing.render import synthesize
from latent.errors import LatentError
from tests.latent.tiny import own_codes, tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return tiny_checkpoint(16)


def test_a_batch_is_its_single_pictures(checkpoint: Checkpoint) -> None:
    codes = own_codes(checkpoint, 5)
    pictures = synthesize(checkpoint, codes)
    assert (pictures.shape, pictures.dtype) == ((5, 16, 16, 3), np.uint8)
    for code, picture in zip(codes, pictures, strict=True):
        assert np.abs(synthesize(checkpoint, code[None])[0].astype(int) - picture).max() <= 1
    assert np.any(pictures[0] != pictures[-1])
    assert synthesize(checkpoint, codes[:0]).shape == (0, 16, 16, 3)


def test_codes_of_another_model_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(LatentError, match="invert the photo with this model"):
        synthesize(checkpoint, own_codes(checkpoint, 1)[:, :-1])
