"""Networks for survival, the one part of this room that imports torch: DeepSurv on features, ImageCox on photos."""

from survival.deep.image import ImageCox
from survival.deep.loss import cox_loss
from survival.deep.tabular import DeepSurv

__all__ = ["DeepSurv", "ImageCox", "cox_loss"]
