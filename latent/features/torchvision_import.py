"""Importing torchvision next to a torch of another build.

A torchvision that was built for CUDA has no compiled operators next to a CPU build of torch, and its import ends with
"operator torchvision::nms does not exist". Its networks use none of them, so it is enough that they are declared.
"""

import importlib
from functools import cache

import torch

OPERATORS = ("nms", "qnms")


@cache
def import_torchvision() -> torch.library.Library | None:
    """Import torchvision, declaring its operators where they are missing; to be called before it or a package that
    needs it (timm) is imported. Returns what holds the declarations, which last as long as it does."""
    try:
        importlib.import_module("torchvision")
        return None
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in OPERATORS:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        importlib.import_module("torchvision")
        return library
