"""A mapping network, fitted in closed form, whose codes are distributed as an encoder's. No picture is computed.

1. *Origin.* All codes move by one vector, so that hardly any coordinate is negative; the affine layers of the synthesis
   network undo it exactly. The leaky ReLU that ends a mapping network is the identity then.
2. *Gaussian.* The mapping's two layers are set so that z ~ N(0, I) becomes a code with the mean and, along the leading
   axes, the covariance of the encoder's, times spread^2: the first layer is [R; -R] with R orthogonal, and
   lrelu(x) - lrelu(-x) = (1 + slope) x makes any linear map of z possible behind it.

Spread: an encoder's code is near the expectation of a code given its portrait. By the law of total variance their cloud
is narrower than that of the codes that would reproduce the portraits, and samples drawn from it differ less from
each other than portraits do. A spread above 1 makes up for that (docs/methods.md has what was measured).
"""

import torch
from torch import Tensor

from latent.encoders.wplus import WPlusEncoder
from latent.errors import LatentError
from latent.stylegan2.generator import Generator, MappingNetwork
from latent.stylegan2.layers import FullyConnectedLayer, SynthesisLayer, ToRGBLayer
from latent.stylegan2.ops import SLOPE

POSITIVE_AT = 4.0  # standard deviations below the mean at which a coordinate is still positive


def origin_for(w: Tensor, spread: float = 1.0) -> Tensor:
    """The shift (w_dim,) that makes codes w (N, w_dim), spread this wide about their mean, positive up to POSITIVE_AT
    deviations below it."""
    return (POSITIVE_AT * spread * w.std(0) - w.mean(0)).clamp_min(0)


@torch.no_grad()
def shift_codes(generator: Generator, encoder: WPlusEncoder, shift: Tensor) -> None:
    """Move W by `shift` (w_dim,) in place: the encoder gives moved codes, the synthesis network the same pictures."""
    for module in generator.synthesis.modules():
        if isinstance(module, (SynthesisLayer, ToRGBLayer)):
            affine = module.affine
            affine.bias.sub_(affine.weight @ shift * (affine.weight_gain / affine.bias_gain))
    encoder.w_avg.add_(shift)


def fit_mapping(mapping: MappingNetwork, w: Tensor, seed: int = 0, spread: float = 1.0) -> None:
    """Set `mapping` so that its codes have the mean of w (N, w_dim) and its leading covariance times spread^2. Raises
    LatentError for one that does not have two layers, the hidden one at least twice as wide as z."""
    first, last = mapping.get_submodule("fc0"), mapping.get_submodule("fc1")
    assert isinstance(first, FullyConnectedLayer)
    assert isinstance(last, FullyConnectedLayer)
    if mapping.num_layers != 2 or len(first.weight) < 2 * mapping.z_dim:
        raise LatentError("A mapping network is fitted with two layers, the hidden one at least twice as wide as z.")
    mean, k = w.mean(0), mapping.z_dim
    values, vectors = torch.linalg.eigh(torch.cov(w.T.double()))
    axes, variances = vectors.T.flip(0).to(w), values.flip(0).clamp_min(0).to(w)  # [d, d] rows; [d], largest first
    rng = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(k, k, generator=rng))[0].to(w)
    load = spread * (axes[:k] * variances[:k, None].sqrt()).T @ rotation.T / (1 + SLOPE)  # [d, k]
    with torch.no_grad():
        first.weight[: 2 * k] = torch.cat([rotation, -rotation]) / first.weight_gain
        first.bias.zero_()
        last.weight.zero_()
        last.weight[:, : 2 * k] = torch.cat([load, -load], dim=1) / last.weight_gain
        last.bias.copy_(mean / last.bias_gain)
        mapping.w_avg.copy_(mean)
