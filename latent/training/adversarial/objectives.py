"""What both sides minimise: against StyleGAN2's discriminator behind the augmentation pipe, or against a projected
discriminator. The trainer knows no more of either.
"""

from typing import cast

import torch
from torch import Tensor, nn

from latent.stylegan2 import Discriminator
from latent.stylegan2.augment.pipeline import AugmentPipe
from latent.training import losses
from latent.training import projected_discriminator as projected
from latent.training.adversarial.networks import freeze
from latent.training.adversarial.settings import Settings


class LogisticObjective:
    """StyleGAN2's discriminator: logits (n, 1), non-saturating logistic losses.

    parameters: those of the discriminator that are trained. pipe: augmentation whose strength adapts, if any.
    """

    generator_loss = staticmethod(losses.generator_loss)
    discriminator_loss = staticmethod(losses.discriminator_loss)

    def __init__(self, discriminator: Discriminator, settings: Settings) -> None:
        self.discriminator = discriminator
        self.parameters = freeze(discriminator, settings.freeze_d)
        device = next(discriminator.parameters()).device
        self.pipe = None if settings.augment == "none" else AugmentPipe(settings.augpipe).to(device)

    def logits(self, images: Tensor, seed: int) -> Tensor:
        """Of images (n, 3, R, R) under the augmentation that follows from the seed."""
        if self.pipe is not None:
            self.pipe.generator.manual_seed(seed)
            images = self.pipe(images)
        return cast(Tensor, self.discriminator(images))

    def scores(self, logits: Tensor) -> Tensor:
        """(n,): above 0 where an image is taken for real."""
        return logits[:, 0]


class HingeObjective:
    """A projected discriminator: logits (n, 1, r, r) of each scale, hinge losses, only its heads trained.

    Its kernels are normalised by one step of a power iteration a pass, so runs with other numbers of processes agree
    closely, not bit for bit.
    """

    pipe: AugmentPipe | None = None
    discriminator_loss = staticmethod(projected.discriminator_loss)

    def __init__(self, discriminator: projected.ProjectedDiscriminator) -> None:
        self.discriminator = discriminator
        self.parameters = list(discriminator.heads.parameters())

    def logits(self, images: Tensor, seed: int) -> list[Tensor]:
        return self.discriminator.forward(projected.augment(images.float(), torch.Generator().manual_seed(seed)))

    def generator_loss(self, on_fake: list[Tensor]) -> Tensor:
        return projected.generator_loss(on_fake).mean()

    def scores(self, logits: list[Tensor]) -> Tensor:
        return -projected.generator_loss(logits)


def objective_of(discriminator: nn.Module, settings: Settings) -> LogisticObjective | HingeObjective:
    if isinstance(discriminator, projected.ProjectedDiscriminator):
        return HingeObjective(discriminator)
    assert isinstance(discriminator, Discriminator)
    return LogisticObjective(discriminator, settings)
