"""`python -m latent warmstart`: a StyleGAN2 from rendered portraits with known factors, on a CPU, in three phases.

1. *Autoencoding.* A W+ encoder and the synthesis network learn to reproduce portraits (centre-weighted L1 on a pyramid,
   face-feature distance, and from `critic_from` images on a critic of patches, which asks for texture). Half of each
   batch uses the mean of its layers' codes for all layers, so that W means something; the known factors must be
   readable from that mean code by a linear map, so that what the portraits are known to differ in has a direction.
2. *Mapping.* The mapping network is fitted to the distribution of the portraits' codes (`latent/mapping_fit.py`); no
   picture is computed.
3. *Adversary.* Non-saturating logistic loss with lazy R1 (Karras et al. 2020, section 2) on free samples and
   reconstructions; the losses of phase 1 go on, and hold faces in place while texture sharpens.

The run folder keeps `state.pt` (tensors only, read with weights_only) after every tick; the same command goes on from
it.
"""
