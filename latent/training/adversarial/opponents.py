"""Who the generator plays against: StyleGAN2's discriminator behind the augmentation pipe, or a projected critic.

Both judge images from a seed (of their augmentation) and say what each side lowers; the trainer knows no more.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from latent.stylegan2 import Discriminator
from latent.stylegan2.augment.pipeline import AugmentPipe
from latent.training import projected_discriminator
from latent.training.adversarial.losses import discriminator_loss, generator_loss
from latent.training.adversarial.networks import freeze
from latent.training.adversarial.settings import Settings


class Opponent(Protocol):
    """parameters: those that are trained. pipe: augmentation whose strength adapts, where there is one."""

    parameters: list[nn.Parameter]
    pipe: AugmentPipe | None

    def judge(self, images: Tensor, seed: int) -> Any:
        """Logits of images (n, 3, R, R) under the augmentation that follows from the seed."""

    def lowered_by_generator(self, on_fake: Any) -> Tensor:
        """The generator's loss."""

    def lowered_by_itself(self, on_real: Any, on_fake: Any) -> Tensor:
        """The opponent's loss."""

    def verdicts(self, logits: Any) -> Tensor:
        """(n,): above 0 where an image is taken for real."""


class Adversary:
    """StyleGAN2's discriminator: logits (n, 1), non-saturating logistic losses."""

    def __init__(self, discriminator: Discriminator, settings: Settings) -> None:
        self.d = discriminator
        self.parameters = freeze(discriminator, settings.freeze_d)
        device = next(discriminator.parameters()).device
        self.pipe = None if settings.augment == "none" else AugmentPipe(settings.augpipe).to(device)

    def judge(self, images: Tensor, seed: int) -> Tensor:
        if self.pipe is not None:
            self.pipe.generator.manual_seed(seed)
            images = self.pipe(images)
        logits: Tensor = self.d(images)
        return logits

    def lowered_by_generator(self, on_fake: Tensor) -> Tensor:
        return generator_loss(on_fake)

    def lowered_by_itself(self, on_real: Tensor, on_fake: Tensor) -> Tensor:
        return discriminator_loss(on_real, on_fake)

    def verdicts(self, logits: Tensor) -> Tensor:
        return logits[:, 0]


class Projected:
    """A projected critic: logits (n, 1, r, r) of each scale, hinge losses, only its heads trained.

    Its kernels are normalised by one step of a power iteration a pass, so runs with other numbers of processes agree
    closely, not bit for bit.
    """

    pipe: AugmentPipe | None = None

    def __init__(self, critic: projected_discriminator.ProjectedCritic) -> None:
        self.critic = critic
        self.parameters = list(critic.heads.parameters())

    def judge(self, images: Tensor, seed: int) -> list[Tensor]:
        augmented = projected_discriminator.augment(images.float(), torch.Generator().manual_seed(seed))
        logits: list[Tensor] = self.critic(augmented)
        return logits

    def lowered_by_generator(self, on_fake: list[Tensor]) -> Tensor:
        return projected_discriminator.generator_loss(on_fake).mean()

    def lowered_by_itself(self, on_real: list[Tensor], on_fake: list[Tensor]) -> Tensor:
        return projected_discriminator.critic_loss(on_real, on_fake)

    def verdicts(self, logits: list[Tensor]) -> Tensor:
        return -projected_discriminator.generator_loss(logits)


def opponent_of(network: nn.Module, settings: Settings) -> Opponent:
    """The opponent that this network is."""
    if isinstance(network, projected_discriminator.ProjectedCritic):
        return Projected(network)
    assert isinstance(network, Discriminator)
    return Adversary(network, settings)
