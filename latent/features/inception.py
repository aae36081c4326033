"""Inception v3 up to its last pooling: the features of the Fréchet and kernel distances known as FID and KID.

The network (Szegedy et al. 2015, arXiv:1512.00567) is torchvision's. Its state dict fits, and so does that of the
network that published FIDs use: TensorFlow's of December 2015, ported to torch with the same names
(`pt_inception-2015-12-05`). The two differ in weights and in three poolings, and so do their values:
`InceptionFeatures.name` says which one it is. Nothing is ever downloaded here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from latent.errors import LatentError
from latent.features.torchvision_import import import_torchvision

TENSORFLOW = "Inception v3, TensorFlow 2015 (the network of published FIDs)"
TORCHVISION = "Inception v3, torchvision (ImageNet; not comparable to published FIDs)"
CLASSES = {1008: TENSORFLOW, 1000: TORCHVISION}
FEATURES = 2048
SIDE = 299  # px
MAX_BYTES = 512 << 20
FOLDER = Path(__file__).resolve().parents[2] / "checkpoints" / "inception"
HUB_PATTERNS = ("pt_inception-*.pth", "inception_v3_google-*.pth")
# Blocks in which TensorFlow's averages leave the border out of the count; in Mixed_7c it takes a maximum.
AVERAGED = ("Mixed_5b", "Mixed_5c", "Mixed_5d", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e", "Mixed_7b")
MAXIMUM = "Mixed_7c"


# Over the 3x3 pixels around each, of those that exist.
average_pool = partial(F.avg_pool2d, kernel_size=3, stride=1, padding=1, count_include_pad=False)
maximum_pool = partial(F.max_pool2d, kernel_size=3, stride=1, padding=1)


def repool(block: nn.Module, pool: Callable[[Tensor], Tensor]) -> None:
    """Let the pooled branch of a block of torchvision's, the last of its output, begin with another pooling."""

    def replace(block: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        pooled: Tensor = block.get_submodule("branch_pool")(pool(inputs[0]))
        return torch.cat([output[:, : -pooled.shape[1]], pooled], 1)

    block.register_forward_hook(replace)


class InceptionFeatures(nn.Module):
    """Images (N, 3, R, R) in [-1, 1] to features (N, 2048); `name` says whose weights and poolings."""

    def __init__(self, name: str = TENSORFLOW) -> None:
        super().__init__()
        import_torchvision()
        from torchvision.models import Inception3

        self.name = name
        self.network = Inception3(aux_logits=False, transform_input=False, init_weights=False)
        self.network.fc = nn.Identity()
        if name == TENSORFLOW:
            for block in AVERAGED:
                repool(self.network.get_submodule(block), average_pool)
            repool(self.network.get_submodule(MAXIMUM), maximum_pool)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Scaled to 299 px bilinearly without antialiasing, as both networks' published values are made."""
        features: Tensor = self.network(F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False))
        return features


def inception_from(tensors: Mapping[str, Tensor]) -> InceptionFeatures:
    """The network with the weights of a state dict, whose classifier shows which network it is.

    Raises LatentError where a tensor is missing or has another shape; the classifiers themselves are not used.
    """
    head = tensors.get("fc.weight")
    name = CLASSES.get(head.shape[0]) if head is not None and head.ndim == 2 else None
    if name is None:
        raise LatentError("The Inception weights are neither torchvision's nor the ported TensorFlow ones.")
    features = InceptionFeatures(name)
    state = features.network.state_dict()
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        given = tensors.get(key)
        if given is None or given.shape != value.shape or not given.is_floating_point():
            raise LatentError(f"The Inception weights do not fit: {key} is missing or has another shape.")
        state[key] = given
    features.network.load_state_dict(state)
    return features


def weights_file() -> Path | None:
    """Inception weights where a person or torchvision has put them, those of published FIDs first; else None."""
    placed = sorted(path for path in FOLDER.glob("*") if path.suffix in (".safetensors", ".pth", ".pt"))
    cached = [path for pattern in HUB_PATTERNS for path in (Path(torch.hub.get_dir()) / "checkpoints").glob(pattern)]
    return next(iter([*placed, *cached]), None)


def load_inception(file: Path, device: torch.device | str = "cpu") -> InceptionFeatures:
    """Read a state dict from .safetensors, .pth or .pt, without executing anything in it. Raises LatentError."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise LatentError(f"{file.name} is larger than any Inception network.")
        if file.suffix == ".safetensors":
            tensors = load_file(file)
        else:
            tensors = torch.load(file, map_location="cpu", weights_only=True)
    except LatentError:
        raise
    except (OSError, SafetensorError) as error:
        raise LatentError(
            f"{file.name} cannot be read as Inception weights; delete it or download it again."
        ) from error
    except Exception:  # torch raises nearly anything on a damaged file
        tensors = None
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise LatentError(f"{file.name} cannot be read as Inception weights: it must be a plain state dict.")
    return inception_from(tensors).to(device)
