"""What a comparison is asked to do: feature sets, models, folds, controls; and the candidates that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from study.errors import StudyError
from survival.features.encoding import STANDARD_SETS, FeatureSet

IMAGE = "image"
IMAGE_SET = FeatureSet(IMAGE, (IMAGE,), "Aligned photo")
FEATURE_SETS: dict[str, FeatureSet] = {s.name: s for s in (*STANDARD_SETS, IMAGE_SET)}
DEFAULT_SETS = tuple(s.name for s in STANDARD_SETS)  # of a plan that names none
SITES = ("pooled", "strata", "single")
DEFAULT = "default"  # the default model of a feature set (study.comparison.candidates)
NETWORK = "cnn"  # uses the aligned photo itself, and nothing else
READOUTS = "cox-readouts"  # of the photo's codes; measurements of the face are needed to fit it, and no longer after
PENALISED = ("cox-ridge", "cox-elastic-net", "cox-lasso", READOUTS)


@dataclass(frozen=True)
class Plan:
    """Settings of a comparison.

    Parameters
    ----------
    features : names of feature sets (study.comparison.features says which a study has); () stands for all it has but
        the aligned photo itself. models : names of the registry, each tried on every feature set that it accepts;
        "default" is plain Cox for columns with ten events a parameter, readouts for the photo alone, else ridge Cox;
        "cnn" brings the aligned photo along, "cox-readouts" descriptor and colours of the photo.
    folds, repeats : of the nested cross-validation by patient. seed : of folds, shuffles and bootstrap.
    samples : bootstrap samples. shuffles : controls with permuted outcomes, 0: none; their results are averaged.
    random_direction : whether that control is run where there are photos. shortcuts : whether models of the backdrop,
        the face, the blurred and the whole photo are run as further controls (study.comparison.shortcuts).
    penalties : on a penalty path. rule : "best" or "1se" (strongest penalty within one standard error of the best).
    site : "pooled": site is a covariate; "strata": Cox models, penalised or not, have a baseline hazard per site;
        "single": only patients of site_name.
    """

    features: tuple[str, ...] = ()
    models: tuple[str, ...] = (DEFAULT,)
    folds: int = 5
    repeats: int = 3
    seed: int = 0
    samples: int = 1000
    shuffles: int = 5
    random_direction: bool = True
    penalties: int = 50
    rule: str = "best"
    site: str = "pooled"
    site_name: str = ""
    shortcuts: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.features if name not in FEATURE_SETS]
        if unknown:
            raise StudyError(f"There is no feature set called {unknown[0]!r}: choose one of {', '.join(FEATURE_SETS)}.")
        if not self.models:
            raise StudyError("Choose at least one model.")
        bounds = {"folds": (2, 20), "repeats": (1, 100), "samples": (20, 10_000), "shuffles": (0, 100)}
        bounds |= {"penalties": (5, 200), "seed": (0, 2**31 - 1)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise StudyError(f"The number of {name} must lie between {low} and {high}.")
        if self.site not in SITES or (self.site == "single") != bool(self.site_name):
            raise StudyError(f"Site must be {', '.join(SITES)}; single, and only that, goes with the name of a site.")
        if self.rule not in ("best", "1se"):
            raise StudyError("The rule for the penalty is best or 1se.")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """From dataclasses.asdict, or its JSON, of this version or before. Raises StudyError, TypeError or KeyError."""
        names = {f.name for f in fields(cls)}
        if not names - {"shortcuts"} <= set(values) <= names:
            raise StudyError("This is not the plan of a comparison.")
        lists = {key: tuple(str(v) for v in values[key]) for key in ("features", "models")}
        lists["models"] = tuple(DEFAULT if name == "usual" else name for name in lists["models"])  # before 0.1.0
        return cls(**{**values, **lists})
