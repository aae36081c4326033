"""Which columns of a training set's table are factors, and the readout targets made of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from latent.datasets.factors import factor_columns, readout_targets


def factor_table(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    sex = rng.choice(["female", "male"], n, p=[0.3, 0.7])
    return pd.DataFrame(
        {
            "index": np.arange(n),
            "sex": sex,
            "maleness": np.where(sex == "male", 0.85, 0.05) + rng.normal(0, 0.13, n),
            "age": rng.uniform(size=n),
            "smile": np.maximum(0, rng.normal(0.1, 0.3, n)),
            "scene": rng.choice(["window", "flash", "rim"], n),
            "light_seed": rng.integers(1 << 31, size=n),
            "constant": 1.0,
        }
    )


def test_what_a_training_set_notes_of_its_photos_is_no_factor() -> None:
    table = factor_table(60)
    noted = table.assign(sha256=[f"{i:x}" for i in range(60)], faces_found=[1, 2] * 30, patient=range(60))
    noted = noted.assign(quality_sharpness=np.linspace(0, 1, 60), quality_flags=["", "blurred"] * 30, split="train")
    assert factor_columns(noted) == factor_columns(table) == ["sex", "maleness", "age", "smile", "scene"]


def test_readout_targets_are_standardised_and_know_their_mirror() -> None:
    table = factor_table(50).assign(yaw=np.linspace(-1, 1, 50), identity_000=1.5, age_years=40.0)
    targets, signs = readout_targets(table)
    assert targets.shape == (50, 4)  # maleness, age, smile, yaw: no names, constants, seeds, derived columns
    assert np.allclose(targets.mean(0), 0, atol=1e-6)
    assert np.allclose(targets.std(0), 1, atol=1e-5)
    assert signs.tolist() == [1, 1, 1, -1]
