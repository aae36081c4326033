"""Adversarial training and fine-tuning of StyleGAN2 with adaptive augmentation: `python -m latent finetune`.

`settings` what a run is made of · `networks` build, copy what fits, freeze · `objectives` what both sides minimise ·
`scaling` for fp16 · `trainer` one step · `run` from flags and folders to a loop.
"""
