"""Networks for survival, the one part of this room that imports torch: DeepSurv on features, ImageCox on photos."""

from survival.models.deep.image import ImageCox
from survival.models.deep.members import cox_loss
from survival.models.deep.tabular import DeepSurv

__all__ = ["DeepSurv", "ImageCox", "cox_loss"]
