"""Adversarial training and fine-tuning of StyleGAN2 with adaptive augmentation: `python -m latent finetune`.

`settings` what a run is made of · `streams` every random draw as a function of seed and step · `networks` build, copy
what fits, freeze · `losses` the four objectives · `trainer` one step · `distributed` several processes · `files` the
run folder · `loop` ticks, stops, status · `cli` the command.
"""
