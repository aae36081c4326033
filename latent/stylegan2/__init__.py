"""StyleGAN2 networks, written from the papers; weight files of NVIDIA's and rosinality's layout fit them."""

from latent.stylegan2.discriminator import Discriminator
from latent.stylegan2.generator import Generator

__all__ = ["Discriminator", "Generator"]
