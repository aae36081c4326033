"""`python -m latent warmstart`: a StyleGAN2 from portraits, or fine-tuned to a few of them, on a CPU: four phases.

1. *Autoencoding.* A W+ encoder and the synthesis network learn to reproduce portraits (centre-weighted L1 on a pyramid,
   face-feature distance). Half of each batch uses the mean of its layers' codes for all layers, so that W means
   something; known factors, where there are some, must be readable from that mean code by a linear map, so that what
   the portraits are known to differ in has a direction.
2. *Adversary.* A projected discriminator (`latent/training/projected_discriminator.py`) on reconstructions and on free
   samples, whose codes are drawn like the portraits'; the losses on the reconstructions go on, and hold faces in place
   while texture sharpens.
3. *Mapping.* The mapping network is fitted to the distribution of the portraits' codes
   (`latent/training/mapping_fit.py`); no picture is computed.
4. *Discriminator.* The generator is done; StyleGAN2's own discriminator learns to tell its samples from portraits
   (logistic loss, lazy R1), so that a fine-tuning starts against an opponent who knows them.

A run may start from a checkpoint with an encoder of ours; from one of half the resolution the networks are grown, from
one of the same size phase 1 is left out. `plan` settings of a run, `loop` ticks, stops, status, `cli` the command. The
run folder is that of `latent.training.run_folder`: the same command goes on from its state.
"""
