import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from survival.errors import SurvivalError
from survival.features.encoding import (
    STANDARD_SETS,
    FeatureSet,
    as_features,
    encoding_from,
    fit_compression,
    fit_encoding,
    take_rows,
)
from survival.features.reduction import fit_reduction


def table(n=40):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": rng.normal(60, 10, n),
            "site": np.where(np.arange(n) < 25, "lung", np.where(np.arange(n) < 37, "colon", "skin")),
            "smoker": np.arange(n) % 3 == 0,
        }
    )


def test_words_become_columns_and_rare_levels_the_commonest():
    encoding = fit_encoding({"clinical": table()})
    assert encoding.names == ("age", "site lung", "smoker")
    assert "skin (under 5 patients) counted with lung" in encoding.notes[0]
    flat = encoding.transform({"clinical": table()})
    np.testing.assert_array_equal(flat[:, 1], np.repeat([1, 0, 1], [25, 12, 3]))
    new = table().iloc[:2].assign(site=["bone", "colon"])
    np.testing.assert_array_equal(encoding.transform({"clinical": new})[:, 1], [1, 0])


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (("lung", "colon", "skin"), ["site colon", "site skin"]),
        (("skin", "lung", "colon"), ["site lung", "site colon"]),
        (("bone", "colon", "skin", "lung"), ["site skin", "site lung"]),
    ],
)
def test_the_reference_is_the_first_level_of_the_order_given(order, names):
    given_order = table()[["site"]].assign(site=pd.Categorical(table()["site"], order))
    assert list(fit_encoding(given_order, rare=1).names) == names
    plain = fit_encoding(table()[["site"]], rare=1)
    assert plain.names == ("site lung", "site skin"), "of words without an order, the first of the alphabet"
    again = encoding_from(fit_encoding(given_order).as_dict())
    np.testing.assert_array_equal(again.transform(given_order), fit_encoding(given_order).transform(given_order))


def test_a_rare_first_level_is_no_reference():
    """A reference of three patients would make every ratio uncertain: it counts as the commonest."""
    order = table()[["site"]].assign(site=pd.Categorical(table()["site"], ["skin", "colon", "lung"]))
    encoding = fit_encoding(order)
    assert encoding.names == ("site lung",)
    np.testing.assert_array_equal(encoding.transform(order)[:, 0], np.repeat([1, 0, 1], [25, 12, 3]))


def test_missing_values_are_refused_or_told():
    holes = table()
    holes.loc[[3, 7], "age"] = np.nan
    holes.loc[30, "site"] = None
    with pytest.raises(SurvivalError, match="clinical: age is missing in row 4"):
        fit_encoding({"clinical": holes})
    encoding = fit_encoding({"clinical": holes}, missing="indicator")
    assert encoding.names == ("age", "age missing", "site lung", "site missing", "smoker")
    assert any("age is missing for 2 of 40" in note for note in encoding.notes)
    flat = encoding.transform({"clinical": holes})
    assert flat[3, 0] == pytest.approx(holes["age"].mean())
    assert flat[:, 1].tolist() == [float(i in (3, 7)) for i in range(40)]
    assert flat[30, 2:4].tolist() == [0, 1]
    strict = fit_encoding({"clinical": table()})
    with pytest.raises(SurvivalError, match="age is missing in row 4"):
        strict.transform({"clinical": holes})


def test_nothing_is_learned_from_rows_that_are_held_back():
    held_back = table()
    held_back.loc[30:, "age"] = 1e6
    train = take_rows({"clinical": held_back}, np.arange(30))
    first, second = fit_encoding(train), fit_encoding(take_rows({"clinical": table()}, np.arange(30)))
    assert first.names == second.names
    assert first.columns == second.columns


@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
@settings(max_examples=15)
def test_fused_blocks_have_one_total_variance(seed, width):
    """Early fusion: each block's scaled columns carry the same variance."""
    rng = np.random.default_rng(seed)
    features = {"photo": rng.normal(size=(40, width, 3)), "clinical": table()}
    encoding = fit_encoding(features)
    weight = encoding.weights()
    total = {name: float((weight[part] ** 2).sum()) for name, part in encoding.slices.items()}
    assert total["clinical"] == pytest.approx(total["photo"])
    flat = encoding.transform(features)
    reduction = fit_reduction(flat, weight=weight)
    coef = rng.normal(size=reduction.scores.shape[1])
    gradient = reduction.to_features(coef)
    lp = flat @ gradient
    np.testing.assert_allclose(lp - lp.mean(), reduction.scores @ coef, atol=1e-8)
    carried = encoding.by_block(gradient)
    assert carried["photo"].shape == (width, 3)
    assert fit_encoding({"photo": features["photo"]}).weights() is None


def test_compression_leaves_tables_and_carries_gradients_back():
    rng = np.random.default_rng(1)
    features = {"photo": rng.normal(size=(40, 30)), "clinical": table()}
    encoding = fit_encoding(features)
    flat = encoding.transform(features)
    compression = fit_compression(flat, encoding, 5)
    assert compression.scores.shape == (40, 8)
    np.testing.assert_allclose(compression.transform(flat), compression.scores, atol=1e-10)
    age = features["clinical"]["age"]
    np.testing.assert_allclose(compression.scores[:, 5], (age - age.mean()) / age.std(), atol=1e-12)
    coef = rng.normal(size=8)
    lp = flat @ compression.to_features(coef)
    np.testing.assert_allclose(lp - lp.mean(), compression.scores @ coef, atol=1e-9)


def test_feature_sets():
    assert {s.fusion for s in STANDARD_SETS} == {"early", "late"}
    with pytest.raises(SurvivalError, match="fusion early or late"):
        FeatureSet("x", ("photo",), fusion="middle")


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        ({}, "no features"),
        ({"a": np.ones((3, 2)), "b": np.ones((4, 2))}, "unequal"),
        (np.ones((0, 3)), "no rows"),
    ],
)
def test_blocks_that_do_not_fit(features, sentence):
    with pytest.raises(SurvivalError, match=sentence):
        as_features(features)


def test_rows_of_another_kind_are_refused():
    encoding = fit_encoding({"photo": np.random.default_rng(0).normal(size=(10, 4)), "clinical": table(10)})
    with pytest.raises(SurvivalError, match="also needs clinical"):
        encoding.transform({"photo": np.ones((2, 4))})
    with pytest.raises(SurvivalError, match="also needs clinical, photo"):
        encoding.transform({"other": np.ones((2, 4))})
    with pytest.raises(SurvivalError, match="row 2: a value is not a finite number"):
        encoding.transform({"photo": np.ones((2, 4)), "clinical": table(2).assign(age=["61", "old"])})
    with pytest.raises(SurvivalError, match="another shape"):
        encoding.transform({"photo": np.ones((2, 5)), "clinical": table(2)})
    with pytest.raises(SurvivalError, match="lacks a column"):
        encoding.transform({"photo": np.ones((2, 4)), "clinical": table(2)[["age"]]})
