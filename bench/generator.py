"""`python -m bench generator`: our synthesis network against the plain way to write it, same weights, in turns.

The baseline is the formula of the paper put down directly in NCHW: modulate and normalise a kernel for every sample,
then one grouped convolution over the batch; enlarge with zeros between the pixels, one dense 4x4 filter, noise added
whatever its strength. Every row first checks that both give the same picture.

Rows: forward pass at 64, 128, 256 and 512 px, batch 1 and 8; and, for batch 1 up to 256 px, the gradient in W+ that
an inversion takes at each step.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from bench.parts.common import interleaved_medians, print_table
from latent.stylegan2 import Generator

RESOLUTIONS = (64, 128, 256, 512)
BATCHES = (1, 8)
CHANNEL_BASE, CHANNEL_MAX, W_DIM = 16384, 512, 512  # the published networks up to 256 px
SECONDS_PER_CELL = 6.0  # bounds the repeats of large cells
MIN_REPEATS, MAX_REPEATS = 3, 9
AGREEMENT = {"forward": 1e-4, "gradient": 1e-3}  # of the range; a leaky ReLU at zero may go either way


def _filter(x: torch.Tensor, pad: tuple[int, int], gain: float) -> torch.Tensor:
    """Dense 4x4 binomial filter on each channel after padding both sides of both axes."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = (torch.outer(taps, taps) / 64 * gain).repeat(x.shape[1], 1, 1, 1)
    return F.conv2d(F.pad(x, (*pad, *pad)), kernel, groups=x.shape[1])


def _enlarge(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W): zeros between the pixels, then the filter."""
    n, channels, height, width = x.shape
    wide = x.new_zeros(n, channels, height, 2, width, 2)
    wide[:, :, :, 0, :, 0] = x
    return _filter(wide.reshape(n, channels, 2 * height, 2 * width), (2, 1), 4.0)


def _layer(layer: nn.Module, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Modulated convolution, noise, bias, leaky ReLU, as the paper writes them."""
    n, channels, height, width = x.shape
    kernels = layer.get_parameter("weight").contiguous() * layer.affine(w)[:, None, :, None, None]  # type: ignore[operator]
    kernels = kernels * (kernels.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    grouped = x.reshape(1, n * channels, height, width)
    if layer.up == 2:
        swapped = kernels.transpose(1, 2).reshape(n * channels, -1, 3, 3)
        y = _filter(F.conv_transpose2d(grouped, swapped, stride=2, groups=n), (1, 1), 4.0)
    else:
        y = F.conv2d(grouped, kernels.flatten(0, 1), padding=1, groups=n)
    y = y.reshape(n, -1, *y.shape[2:]) + layer.noise_const * layer.noise_strength  # type: ignore[operator]
    return F.leaky_relu(y + layer.bias[None, :, None, None], 0.2) * math.sqrt(2)  # type: ignore[index]


def _rgb(layer: nn.Module, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    n, channels, height, width = x.shape
    styles = layer.affine(w) * layer.weight_gain  # type: ignore[operator]
    kernels = layer.weight[None] * styles[:, None, :, None, None]  # type: ignore[index]
    y = F.conv2d(x.reshape(1, n * channels, height, width), kernels.flatten(0, 1), groups=n)
    return y.reshape(n, 3, height, width) + layer.bias[None, :, None, None]  # type: ignore[index]


def baseline(generator: Generator, ws: torch.Tensor) -> torch.Tensor:
    """Picture (N, 3, R, R) of ws (N, num_ws, w_dim) from the same weights; architecture `skip`."""
    synthesis, row = generator.synthesis, 0
    x = synthesis.get_parameter("b4.const").repeat(len(ws), 1, 1, 1)
    image: torch.Tensor | None = None
    for resolution in synthesis.block_resolutions:
        block = getattr(synthesis, f"b{resolution}")
        for name in ("conv0", "conv1")[2 - block.num_conv :]:
            x = _layer(getattr(block, name), x, ws[:, row])
            row += 1
        rgb = _rgb(block.torgb, x, ws[:, row])
        image = rgb if image is None else _enlarge(image) + rgb
    assert image is not None
    return image


def random_generator(resolution: int) -> Generator:
    """Random weights, every noise map at work."""
    torch.manual_seed(resolution)
    kwargs = {"channel_base": CHANNEL_BASE, "channel_max": CHANNEL_MAX}
    generator = Generator(W_DIM, 0, W_DIM, resolution, 3, {"num_layers": 2}, kwargs).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    return generator


def gradient(synthesis: Callable[[torch.Tensor], torch.Tensor], ws: torch.Tensor) -> torch.Tensor:
    """d mean(picture^2) / d ws, as a step of an inversion needs it."""
    ws = ws.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(synthesis(ws).square().mean(), ws)
    return gradients


def measure(generator: Generator, batch: int, what: str) -> dict[str, Any]:
    """One row of the table. Raises RuntimeError where ours and the baseline disagree."""
    ws = torch.randn(batch, generator.num_ws, W_DIM, generator=torch.Generator().manual_seed(batch))

    ours_of, baseline_of = partial(generator.synthesis, noise_mode="const"), partial(baseline, generator)
    run: Callable[..., torch.Tensor] = gradient if what == "gradient" else lambda function, codes: function(codes)
    with torch.set_grad_enabled(what == "gradient"):
        wanted = run(baseline_of, ws)
        difference = float((run(ours_of, ws) - wanted).abs().max() / (wanted.max() - wanted.min()))
        if difference > AGREEMENT[what]:
            raise RuntimeError(f"ours and the baseline differ by {difference:.1e} of the range")
        start = time.perf_counter()
        run(baseline_of, ws)
        repeats = max(MIN_REPEATS, min(MAX_REPEATS, round(SECONDS_PER_CELL / 2 / (time.perf_counter() - start))))
        calls = {"ours": lambda: run(ours_of, ws), "baseline": lambda: run(baseline_of, ws)}
        seconds = interleaved_medians(calls, repeats, warmup=0)
    return {
        "px": generator.img_resolution,
        "batch": batch,
        "what": what,
        "ours ms": seconds["ours"] * 1e3,
        "baseline ms": seconds["baseline"] * 1e3,
        "times faster": seconds["baseline"] / seconds["ours"],
        "difference": difference,
        "repeats": repeats,
    }


def run() -> dict[str, Any]:
    """Print the table; the numbers as a dict."""
    rows = []
    for resolution in RESOLUTIONS:
        generator = random_generator(resolution)
        rows += [measure(generator, batch, "forward") for batch in BATCHES]
        if resolution <= 256:
            rows.append(measure(generator, 1, "gradient"))
    print_table(rows, "Synthesis network, random weights, float32: ours against one grouped convolution a layer")
    return {"channel_base": CHANNEL_BASE, "channel_max": CHANNEL_MAX, "w_dim": W_DIM, "rows": rows}
