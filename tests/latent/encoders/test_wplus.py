"""The W+ encoder: shapes, its start at the mean code, equal answers for a photo and a batch, and that it can learn."""

import pytest
import torch

from latent.encoders.wplus import WPlusEncoder


def random_encoder(resolution: int = 16, num_ws: int = 6, w_dim: int = 32) -> WPlusEncoder:
    """An encoder whose zero-initialised parts are random too, so that its codes depend on the image."""
    torch.manual_seed(0)
    encoder = WPlusEncoder(resolution, num_ws, w_dim, width=8, w_avg=torch.randn(w_dim), w_std=0.5)
    for parameter in encoder.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return encoder.eval()


@pytest.mark.parametrize(("resolution", "num_ws"), [(16, 6), (64, 10), (256, 14), (512, 16)])
def test_shape_at_each_resolution(resolution: int, num_ws: int) -> None:
    encoder = random_encoder(resolution, num_ws)
    codes = encoder(torch.rand(2, 3, resolution, resolution) * 2 - 1)
    assert codes.shape == (2, num_ws, 32)
    assert torch.isfinite(codes).all()
    assert (codes[0] - codes[1]).abs().max() > 1e-3


@pytest.mark.slow
def test_new_encoder_answers_the_mean_code() -> None:
    w_avg = torch.randn(32)
    encoder = WPlusEncoder(32, 8, 32, width=8, w_avg=w_avg, w_std=torch.rand(32))
    torch.testing.assert_close(encoder(torch.randn(2, 3, 32, 32)), w_avg.expand(2, 8, 32))


def test_batch_equals_single() -> None:
    encoder = random_encoder()
    images = torch.rand(5, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(encoder(images)[3:4], encoder(images[3:4]), atol=1e-5, rtol=1e-5)


def test_statistics_and_weights_survive_a_state_dict() -> None:
    encoder = random_encoder()
    again = WPlusEncoder(**encoder.settings())
    again.load_state_dict(encoder.state_dict())
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(again.eval()(images), encoder(images))


@pytest.mark.slow
def test_learns_a_code_from_an_image() -> None:
    """Images that are a linear picture of a code: 100 steps must remove most of the error of answering the mean."""
    torch.manual_seed(1)
    encoder = WPlusEncoder(16, 6, 4, width=8)
    picture = torch.randn(4, 3 * 16 * 16) * 0.3
    optimizer = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    for _ in range(100):
        codes = torch.randn(32, 4)
        predicted = encoder((codes @ picture).reshape(-1, 3, 16, 16))
        loss = (predicted - codes[:, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3


def test_refusals() -> None:
    with pytest.raises(ValueError, match="power of two"):
        WPlusEncoder(48, 8)
    with pytest.raises(ValueError, match="width"):
        WPlusEncoder(32, 8, width=20)
    with pytest.raises(ValueError, match="built for 16 px"):
        random_encoder()(torch.zeros(1, 3, 32, 32))
