"""The networks against what NVIDIA's and rosinality's implementations compute, and their own laws."""

import numpy as np
import pytest
import torch

from latent.importing.reader import read_networks
from latent.stylegan2 import Discriminator, Generator, ops
from tests.latent.importing.weight_files import GOLDENS, PICKLES, pt_bytes, rosinality_state

TOLERANCE = 1e-4  # of the reference's range


def small_generator(architecture: str = "skip", resolution: int = 16, **synthesis: object) -> Generator:
    torch.manual_seed(3)
    kwargs = {"channel_base": 256, "channel_max": 16, "architecture": architecture, **synthesis}
    return Generator(8, 0, 12, resolution, 3, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=kwargs).eval()


def small_discriminator(architecture: str = "resnet", c_dim: int = 0, **kwargs: object) -> Discriminator:
    torch.manual_seed(4)
    return Discriminator(c_dim, 16, 3, architecture, channel_base=256, channel_max=16, **kwargs).eval()  # type: ignore[arg-type]


def agree(ours: torch.Tensor, reference: np.ndarray) -> None:
    ours_array = ours.detach().numpy()
    assert ours_array.shape == reference.shape
    assert np.abs(ours_array - reference).max() <= TOLERANCE * np.ptp(reference)


@pytest.fixture(scope="module", params=PICKLES)
def golden(request: pytest.FixtureRequest) -> tuple[Generator, Discriminator, dict[str, np.ndarray]]:
    networks = read_networks(GOLDENS / f"{request.param}.pkl")
    generator, discriminator = networks.generator, networks.discriminator
    assert discriminator is not None
    with np.load(GOLDENS / f"{request.param}.npz") as arrays:
        return generator, discriminator, dict(arrays)


def test_mapping_agrees(golden: tuple[Generator, Discriminator, dict[str, np.ndarray]]) -> None:
    generator, _, want = golden
    z, c = torch.from_numpy(want["z"]), torch.from_numpy(want["c"])
    agree(generator.mapping(z, c), want["ws"])
    agree(generator.mapping(z, c, truncation_psi=0.7), want["ws_psi07"])
    agree(generator.mapping(z, c, truncation_psi=0.5, truncation_cutoff=4), want["ws_psi05_cut4"])


def test_images_agree(golden: tuple[Generator, Discriminator, dict[str, np.ndarray]]) -> None:
    generator, _, want = golden
    ws = torch.from_numpy(want["ws"])
    agree(generator.synthesis(ws, noise_mode="const"), want["img_const"])
    agree(generator.synthesis(ws, noise_mode="none"), want["img_none"])
    agree(generator(torch.from_numpy(want["z"]), torch.from_numpy(want["c"]), noise_mode="const"), want["img_const"])


def test_gradient_in_wplus_agrees(golden: tuple[Generator, Discriminator, dict[str, np.ndarray]]) -> None:
    generator, _, want = golden
    ws = torch.from_numpy(want["wplus"]).requires_grad_()
    image = generator.synthesis(ws, noise_mode="const")
    agree(image, want["img_wplus"])
    (gradient,) = torch.autograd.grad(image.square().mean(), ws)
    agree(gradient, want["grad_wplus_of_mean_square"])


def test_discriminator_agrees(golden: tuple[Generator, Discriminator, dict[str, np.ndarray]]) -> None:
    _, discriminator, want = golden
    agree(discriminator(torch.from_numpy(want["img_const"]), torch.from_numpy(want["c"])), want["D_logits"])


@pytest.mark.slow
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_rosinality_agrees(tmp_path, legacy: bool) -> None:
    file = tmp_path / "g.pt"
    file.write_bytes(pt_bytes({"g_ema": rosinality_state()}, legacy))
    networks = read_networks(file)
    generator, discriminator = networks.generator, networks.discriminator
    assert discriminator is None
    with np.load(GOLDENS / "rosinality32.npz") as want:
        agree(generator.mapping(torch.from_numpy(want["z"]))[:, 0], want["w"])
        ws = torch.from_numpy(want["w"])[:, None].repeat(1, generator.num_ws, 1)
        agree(generator.synthesis(ws, noise_mode="const"), want["img_w"])
        agree(generator.synthesis(torch.from_numpy(want["wplus"]), noise_mode="const"), want["img_wplus"])


def reference_layer(layer: torch.nn.Module, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Modulated convolution as the paper has it: a kernel for each sample, normalised, noise, bias, leaky ReLU."""
    styles = layer.affine(w)
    weight = layer.weight[None] * styles[:, None, :, None, None]
    weight = weight * (weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    rows = []
    for sample, kernel in zip(x, weight, strict=True):
        if layer.up == 2:
            large = torch.zeros(1, sample.shape[0], 2 * sample.shape[1], 2 * sample.shape[2])
            large[:, :, ::2, ::2] = sample
            large = torch.nn.functional.conv2d(torch.nn.functional.pad(large, (2, 2, 2, 2)), kernel.flip((2, 3)))
            taps = (4 * ops.resample_filter())[None, None].repeat(large.shape[1], 1, 1, 1)
            large = torch.nn.functional.pad(large, (1, 0, 1, 0))
            rows.append(torch.nn.functional.conv2d(large, taps, groups=large.shape[1]))
        else:
            rows.append(torch.nn.functional.conv2d(sample[None], kernel, padding=1))
    y = torch.cat(rows) + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
    return torch.nn.functional.leaky_relu(y, 0.2) * 2**0.5


@pytest.mark.parametrize("name", ["conv0", "conv1"])
def test_layer_equals_the_formula(name: str) -> None:
    generator = small_generator()
    layer = getattr(generator.synthesis.b8, name)
    with torch.no_grad():
        layer.noise_strength.fill_(0.3)
        layer.bias.normal_()
        size = 4 if name == "conv0" else 8
        x, w = torch.randn(3, 16, size, size), torch.randn(3, 12)
        torch.testing.assert_close(layer(x, w, "const"), reference_layer(layer, x, w), rtol=1e-4, atol=1e-4)


def test_noise_modes() -> None:
    generator = small_generator()
    ws = generator.mapping(torch.randn(2, 8))
    with torch.no_grad():
        plain = generator.synthesis(ws, noise_mode="none")
        assert torch.equal(plain, generator.synthesis(ws, noise_mode="const"))  # strengths begin at zero
        for block in (generator.synthesis.b8, generator.synthesis.b16):
            block.conv1.noise_strength.fill_(0.5)
        assert not torch.equal(plain, generator.synthesis(ws, noise_mode="const"))
        assert torch.equal(generator.synthesis(ws), generator.synthesis(ws, noise_mode="const"))
        first, second = (generator.synthesis(ws, noise_mode="random") for _ in range(2))
        assert not torch.equal(first, second)
        assert torch.equal(plain, generator.synthesis(ws, noise_mode="none"))
    with pytest.raises(ValueError, match="noise_mode"):
        generator.synthesis(ws, noise_mode="some")


def test_noise_of_strength_zero_still_learns() -> None:
    generator = small_generator().train()
    generator(torch.randn(2, 8)).square().mean().backward()
    assert generator.synthesis.b8.conv1.noise_strength.grad.abs() > 0


def test_frozen_squares_follow_the_weights() -> None:
    generator = small_generator().requires_grad_(False)
    ws = generator.mapping(torch.randn(1, 8))
    before = generator.synthesis(ws)
    generator.synthesis.b8.conv1.weight.mul_(3.0)  # demodulation takes the factor out again
    torch.testing.assert_close(generator.synthesis(ws), before, rtol=1e-4, atol=1e-4)


def test_truncation_at_zero_is_the_mean_and_cutoff_spares_the_rest() -> None:
    generator = small_generator()
    generator.mapping.w_avg.normal_()
    z = torch.randn(3, 8)
    ws = generator.mapping(z, truncation_psi=0.0)
    torch.testing.assert_close(ws, generator.mapping.w_avg.expand_as(ws))
    cut = generator.mapping(z, truncation_psi=0.0, truncation_cutoff=2)
    torch.testing.assert_close(cut[:, 2:], generator.mapping(z)[:, 2:])
    torch.testing.assert_close(cut[:, :2], ws[:, :2])


def test_w_avg_is_tracked_in_training_only() -> None:
    generator = small_generator()
    z = torch.randn(64, 8)
    generator.mapping(z)
    assert not generator.mapping.w_avg.any()
    generator.train()
    generator.mapping(z, update_emas=False)
    assert not generator.mapping.w_avg.any()
    mean = generator.mapping(z)[:, 0].mean(dim=0)
    torch.testing.assert_close(generator.mapping.w_avg, 0.005 * mean)


def test_conv_clamp_bounds_the_image() -> None:
    generator = small_generator(conv_clamp=0.01, resolution=8)
    image = generator.synthesis(100 * torch.randn(2, generator.num_ws, 12))
    assert image.abs().max() <= 0.02 + 1e-6  # two RGB layers of at most 0.01; upsampling adds nothing


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_gradients_are_right_twice(architecture: str) -> None:
    """Path-length and gradient penalties differentiate a gradient; finite differences in float64."""
    generator = small_generator(architecture, resolution=8).double().requires_grad_(False)
    w = torch.randn(1, generator.num_ws, 12, dtype=torch.float64, requires_grad=True)

    def corner(w: torch.Tensor) -> torch.Tensor:
        return generator.synthesis(w, noise_mode="none")[:, :, 2, 3]

    assert torch.autograd.gradcheck(corner, w, eps=1e-6, atol=1e-5, fast_mode=True)
    assert torch.autograd.gradgradcheck(corner, w, eps=1e-6, atol=1e-4, fast_mode=True)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_discriminator_gradient_penalty_reaches_its_weights(architecture: str) -> None:
    discriminator = small_discriminator(architecture).double()
    image = torch.randn(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    weight = discriminator.b16.conv0.weight

    def penalty() -> torch.Tensor:
        (gradient,) = torch.autograd.grad(discriminator(image).sum(), image, create_graph=True)
        return gradient.square().sum()

    (ours,) = torch.autograd.grad(penalty(), weight)
    step, index = 1e-6, (1, 2, 0, 1)
    with torch.no_grad():
        weight[index] += step
    high = penalty().item()
    with torch.no_grad():
        weight[index] -= 2 * step
    low = penalty().item()
    assert ours[index].item() == pytest.approx((high - low) / (2 * step), rel=1e-4)


@pytest.mark.parametrize(("stride", "padding", "transposed"), [(1, 1, False), (2, 0, False), (2, 0, True)])
def test_planar_weight_gradient(monkeypatch: pytest.MonkeyPatch, stride: int, padding: int, transposed: bool) -> None:
    """The faster way to a weight gradient gives torch's own first and second derivatives."""
    torch.manual_seed(5)
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    found = []
    for threshold in (1, 10**6):
        monkeypatch.setattr(ops, "PLANAR_FROM", threshold)
        y = ops.conv2d(x, weight, bias, stride, padding, transposed)
        first = torch.autograd.grad(y.square().sum(), (x, weight, bias), create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in first), (x, weight, bias))
        found.append((y, *first, *second))
    assert type(found[0][0].grad_fn) is not type(found[1][0].grad_fn)
    for ours, torchs in zip(*found, strict=True):
        torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize("padding", [0, 1, 2, 3])
def test_filter_adjoints(padding: int) -> None:
    x = torch.randn(1, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    for function in (lambda v: ops.blur(v, padding), ops.upsample2, ops.downsample2):
        assert torch.autograd.gradcheck(function, x, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, x, fast_mode=True)


def test_upsampling_then_downsampling_keeps_a_flat_picture() -> None:
    flat = torch.full((1, 3, 16, 16), 0.7)
    inside = ops.downsample2(ops.upsample2(flat))[..., 2:-2, 2:-2]
    torch.testing.assert_close(inside, torch.full_like(inside, 0.7))


def test_a_sample_does_not_depend_on_its_batch() -> None:
    generator = small_generator()
    ws = torch.randn(4, generator.num_ws, 12)
    together = generator.synthesis(ws)
    torch.testing.assert_close(together[2:3], generator.synthesis(ws[2:3]), rtol=1e-4, atol=1e-5)


def test_a_smaller_picture_is_what_the_larger_ones_are_added_to() -> None:
    generator = small_generator()
    ws = torch.randn(2, generator.num_ws, 12)
    whole = generator.synthesis(ws)
    assert torch.equal(generator.synthesis(ws, resolution=16), whole)
    generator.synthesis.b16.torgb.weight.data.zero_()
    generator.synthesis.b16.torgb.bias.data.zero_()
    agree(generator.synthesis(ws), ops.upsample2(generator.synthesis(ws, resolution=8)).detach().numpy())
    for network, resolution in ((generator, 12), (small_generator("resnet"), 8)):
        with pytest.raises(ValueError, match="no picture"):
            network.synthesis(ws, resolution=resolution)


def test_conditional_networks_heed_their_condition() -> None:
    torch.manual_seed(0)
    generator = Generator(8, 4, 12, 8, 3, synthesis_kwargs={"channel_base": 64, "channel_max": 8}).eval()
    z, classes = torch.randn(1, 8).repeat(2, 1), torch.eye(4)[:2]
    ws = generator.mapping(z, classes)
    assert not torch.allclose(ws[0], ws[1])
    with pytest.raises(ValueError, match="conditional"):
        generator.mapping(z)
    discriminator = small_discriminator(c_dim=4)
    logits = discriminator(torch.randn(1, 3, 16, 16).repeat(2, 1, 1, 1), classes)
    assert logits.shape == (2, 1)
    assert not torch.allclose(logits[0], logits[1])


def test_minibatch_deviation_tells_equal_from_different() -> None:
    discriminator = small_discriminator(epilogue_kwargs={"mbstd_group_size": 2, "mbstd_num_channels": 2})
    x = torch.randn(4, 16, 4, 4)
    maps = discriminator.b4.mbstd(torch.cat([x[:1]] * 4))[:, 16:]
    torch.testing.assert_close(maps, torch.full((4, 2, 4, 4), 1e-4))
    assert discriminator.b4.mbstd(x)[:, 16:].min() > 0.1
    with pytest.raises(ValueError, match="groups of 2"):
        discriminator(torch.randn(3, 3, 16, 16))


def test_training_step_lowers_the_losses() -> None:
    """A generator learns to be what a discriminator likes: the two fit together under an optimiser."""
    generator, discriminator = small_generator().train(), small_discriminator()
    discriminator.requires_grad_(False)
    optimiser = torch.optim.Adam(generator.parameters(), lr=0.01)
    z = torch.randn(8, 8)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.softplus(-discriminator(generator(z))).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small_generator(resolution=24), "power of two"),
        (lambda: small_generator().synthesis(torch.zeros(1, 3, 12)), "ws must have the shape"),
        (lambda: small_generator().mapping(torch.zeros(1, 3)), "z must have the shape"),
    ],
)
def test_wrong_use_is_said(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
