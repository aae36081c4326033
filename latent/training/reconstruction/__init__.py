"""`python -m latent finetune --method reconstruction`: a StyleGAN2 from portraits, or fine-tuned to a few of them.

1. *Autoencoding.* A W+ encoder and the synthesis network learn to reproduce portraits (centre-weighted L1 on a pyramid,
   face-feature distance). Half of each batch uses the mean of its layers' codes for all layers, so that W means
   something; known factors, where there are some, must be readable from that mean code by a linear map, so that what
   the portraits are known to differ in has a direction. In this phase and the next, portraits are altered as cameras
   do (`photometric`).
2. *Projected.* A projected discriminator (`latent.training.projected_discriminator`) on reconstructions and on free
   samples, whose codes are drawn like the portraits'; the losses on the reconstructions stay, and hold faces in place
   while texture sharpens. A discriminator that wins is replaced by a fresh one; where distances to the portraits are
   measured, the networks of the best tick are kept.
3. *Mapping.* The mapping network is fitted to the distribution of the portraits' codes
   (`latent.training.mapping_fit`); no picture is computed.
4. *Discriminator.* The generator is finished; StyleGAN2's discriminator learns to distinguish its samples from
   portraits (logistic loss, lazy R1), so that a later adversarial fine-tuning starts from a discriminator that has
   already learned them.

A run may start from a checkpoint with a WPlusEncoder; from one of half the resolution the networks are grown, from one
of the same size phase 1 is left out.
"""
