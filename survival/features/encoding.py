"""Named blocks of features (codes, descriptors, a clinical table) and how they become one matrix inside a fold.

A block is an array (n, ...) of numbers, or a table of covariates: numbers and booleans as they are, words
as one 0/1 column for each level but the reference. The reference is the first level: of a categorical column in its
order, else in the alphabet's. Levels that few have, means for missing values and indicators are learned from training
rows alone. Rows are patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from survival.errors import SurvivalError
from survival.features.reduction import Reduction, fit_reduction, fit_scaling, flatten

Block = np.ndarray | pd.DataFrame
Features = dict[str, Block]
MISSING = ("refuse", "indicator")
FUSIONS = ("early", "late")
RARE = 5  # a level that fewer training patients have is counted with the commonest
ONLY = "x"  # name of the block where just an array or a table is given


@dataclass(frozen=True)
class FeatureSet:
    """What a model uses: which blocks, fused how.

    fusion: "early": one matrix of all blocks; "late": one model per block, joined by a Cox regression on their
    out-of-fold scores. missing: "refuse", or "indicator": the training mean and a 0/1 indicator column.
    """

    name: str
    blocks: tuple[str, ...]
    label: str = ""
    fusion: str = "early"
    missing: str = "refuse"

    def __post_init__(self) -> None:
        if not self.blocks or self.fusion not in FUSIONS or self.missing not in MISSING:
            raise SurvivalError(
                f"Feature set {self.name}: give at least one block, fusion {' or '.join(FUSIONS)} and missing "
                f"{' or '.join(MISSING)}."
            )


STANDARD_SETS = (
    FeatureSet("age-sex", ("age-sex",), "Age and sex", missing="indicator"),
    FeatureSet("clinical", ("clinical",), "Clinical", missing="indicator"),
    FeatureSet("photo", ("photo",), "Photo (W+)"),
    FeatureSet("descriptor", ("descriptor",), "Face descriptor"),
    FeatureSet("photo-clinical-early", ("photo", "clinical"), "Photo + clinical, early", "early", "indicator"),
    FeatureSet("photo-clinical-late", ("photo", "clinical"), "Photo + clinical, late", "late", "indicator"),
)


def as_features(X: Any) -> Features:
    """An array, a table or named blocks -> named blocks with equally many rows. Raises SurvivalError."""
    given = X if isinstance(X, Mapping) else {ONLY: X}
    blocks: Features = {
        str(k): v.rename(columns=str) if isinstance(v, pd.DataFrame) else np.asarray(v) for k, v in given.items()
    }
    if not blocks:
        raise SurvivalError("There are no features: give at least one block.")
    lengths = {name: len(block) if np.ndim(block) else 0 for name, block in blocks.items()}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        sizes = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise SurvivalError(f"The blocks of features have unequal or no rows ({sizes}): give one row per patient.")
    return blocks


def rows_of(features: Mapping[str, Block]) -> int:
    return len(next(iter(features.values())))


def take_rows(features: Mapping[str, Block], rows: np.ndarray) -> Features:
    """The same blocks for some rows, given as places or as a mask."""
    return {k: v.iloc[rows] if isinstance(v, pd.DataFrame) else v[rows] for k, v in features.items()}


@dataclass(frozen=True)
class _Column:
    """How one table column becomes numbers. levels: of words, without the reference; None: a number. others: the level
    that rare and unknown ones count as, the commonest; "" is the reference, with all columns 0."""

    name: str
    levels: tuple[str, ...] | None
    fill: float
    indicator: bool
    reference: str = ""
    others: str = ""

    @property
    def names(self) -> list[str]:
        names = [self.name] if self.levels is None else [f"{self.name} {level}" for level in self.levels]
        return [*names, f"{self.name} missing"] if self.indicator else names

    def encode(self, values: pd.Series) -> np.ndarray:
        gone = values.isna().to_numpy()
        if self.levels is None:
            columns = np.where(gone, self.fill, pd.to_numeric(values, errors="coerce").to_numpy(np.float64))[:, None]
        else:
            words = values.astype(str).to_numpy()
            words = np.where(np.isin(words, (self.reference, *self.levels)), words, self.others)
            counts = ~gone | (not self.indicator)  # without an indicator a missing word is the commonest level
            columns = np.array([(words == level) & counts for level in self.levels], dtype=np.float64)
            columns = columns.reshape(len(self.levels), len(values)).T
        return np.column_stack([columns, gone]) if self.indicator else columns


@dataclass(frozen=True, eq=False)
class Encoding:
    """A fitted encoding of named blocks.

    shapes: block -> shape of an array's row, or None for a table. columns: of each table. slices: where a block lies
    among the p columns. names: (p,). notes: what was filled in or merged, for the report.
    """

    shapes: dict[str, tuple[int, ...] | None]
    columns: dict[str, tuple[_Column, ...]]
    slices: dict[str, slice]
    names: tuple[str, ...]
    missing: str
    notes: tuple[str, ...]

    def transform(self, X: Any) -> np.ndarray:
        """Blocks of n rows -> (n, p), float32 where all blocks are. A level unknown to training is the commonest."""
        features = as_features(X)
        absent = sorted(set(self.shapes) - set(features))
        if absent:
            raise SurvivalError(f"The model also needs {', '.join(absent)}: give the blocks that it was fitted to.")
        parts = [self._block(name, features[name]) for name in self.shapes]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _block(self, name: str, block: Block) -> np.ndarray:
        shape = self.shapes[name]
        if shape is not None:
            if isinstance(block, pd.DataFrame) or block.shape[1:] != shape:
                raise SurvivalError(f"Block {name} has rows of another shape than the model was fitted to ({shape}).")
            return flatten(block)
        if not isinstance(block, pd.DataFrame) or any(c.name not in block.columns for c in self.columns[name]):
            raise SurvivalError(f"Block {name} lacks a column that the model was fitted to.")
        if self.missing == "refuse":
            _refuse_missing(name, block[[c.name for c in self.columns[name]]])
        flat = np.concatenate([c.encode(block[c.name]) for c in self.columns[name]], axis=1)
        if not np.isfinite(flat).all():
            row = int(np.flatnonzero(~np.isfinite(flat).all(axis=1))[0])
            raise SurvivalError(f"Block {name}, row {row + 1}: a value is not a finite number; correct it.")
        return flat

    def weights(self) -> np.ndarray | None:
        """(p,) standard deviations that give every block the same total variance.

        None for a single block. Otherwise a handful of clinical columns would be drowned by thousands of a code.
        """
        if len(self.slices) == 1:
            return None
        out = np.empty(len(self.names))
        for part in self.slices.values():
            out[part] = 1 / np.sqrt(part.stop - part.start)
        return out

    def as_dict(self) -> dict[str, Any]:
        """Plain values, from which encoding_from makes the same encoding."""
        return {
            "shapes": {name: None if shape is None else list(shape) for name, shape in self.shapes.items()},
            "columns": {name: [asdict(column) for column in columns] for name, columns in self.columns.items()},
            "missing": self.missing,
            "notes": list(self.notes),
        }

    def by_block(self, gradient: np.ndarray) -> dict[str, np.ndarray]:
        """(p,) -> one array per block: the shape of its row, or one number per column of an encoded table."""
        return {
            name: gradient[part].reshape(shape).copy() if (shape := self.shapes[name]) is not None else gradient[part]
            for name, part in self.slices.items()
        }


def encoding_from(values: Mapping[str, Any]) -> Encoding:
    """The encoding that as_dict described. Raises KeyError, TypeError or ValueError where it does not."""
    shapes: dict[str, tuple[int, ...] | None] = {}
    columns: dict[str, tuple[_Column, ...]] = {}
    slices, names = {}, list[str]()
    for block, shape in values["shapes"].items():
        start = len(names)
        if shape is None:
            encoded = tuple(_column_from(entry) for entry in values["columns"][block])
            shapes[block], columns[block] = None, encoded
            names += [label for column in encoded for label in column.names]
        else:
            if any(type(s) is not int or s < 1 for s in shape):
                raise ValueError(block)
            shapes[block] = tuple(shape)
            names += [f"{block} {j + 1}" for j in range(int(np.prod(shape)))]
        if len(names) == start:
            raise ValueError(block)
        slices[block] = slice(start, len(names))
    if values["missing"] not in MISSING or not slices:
        raise ValueError("missing")
    return Encoding(shapes, columns, slices, tuple(names), values["missing"], tuple(map(str, values["notes"])))


def _column_from(entry: Mapping[str, Any]) -> _Column:
    levels = None if entry["levels"] is None else tuple(str(level) for level in entry["levels"])
    fill = float(entry["fill"])
    if not np.isfinite(fill) or type(entry["indicator"]) is not bool:
        raise ValueError("column")
    reference, others = (str(entry.get(key, "")) for key in ("reference", "others"))  # "": in files of before
    return _Column(str(entry["name"]), levels, fill, entry["indicator"], reference, others)


def fit_encoding(X: Any, missing: str = "refuse", rare: int = RARE) -> Encoding:
    """Learn levels, means and indicators from training rows. Raises SurvivalError on missing values when refused.

    rare: a level that fewer rows have is counted with the commonest.
    """
    if missing not in MISSING:
        raise SurvivalError(f"Missing values are either {' or '.join(MISSING)}, not {missing!r}.")
    shapes: dict[str, tuple[int, ...] | None] = {}
    columns: dict[str, tuple[_Column, ...]] = {}
    slices, names, notes = {}, list[str](), list[str]()
    for name, block in as_features(X).items():
        start = len(names)
        if isinstance(block, pd.DataFrame):
            if missing == "refuse":
                _refuse_missing(name, block)
            fitted = [_fit_column(name, str(c), block[c], notes, rare) for c in block.columns]
            used = tuple(c for c in fitted if c.names)
            if not used:
                raise SurvivalError(f"Block {name} is the same for all patients: leave it out.")
            shapes[name], columns[name] = None, used
            names += [label for c in used for label in c.names]
        else:
            shapes[name] = tuple(int(s) for s in block.shape[1:])
            names += [f"{name} {j + 1}" for j in range(int(np.prod(block.shape[1:])))]
        slices[name] = slice(start, len(names))
    return Encoding(shapes, columns, slices, tuple(names), missing, tuple(notes))


def _fit_column(block: str, name: str, values: pd.Series, notes: list[str], least: int) -> _Column:
    gone = values.isna()
    if gone.any():
        notes.append(
            f"{block}: {name} is missing for {int(gone.sum())} of {len(values)} training patients; the "
            "mean or commonest level and an indicator stand in."
        )
    observed = values[~gone]
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        number = observed.to_numpy(np.float64)
        if not np.isfinite(number).all():
            raise SurvivalError(f"Block {block}, column {name}: a value is not finite; correct it.")
        if len(number) == 0 or np.ptp(number) == 0:
            return _Column(name, (), 0.0, bool(gone.any() and not gone.all()))
        return _Column(name, None, float(number.mean()), bool(gone.any()))
    counts = observed.astype(str).value_counts()
    indicator = bool(gone.any() and not gone.all())
    if counts.empty:
        return _Column(name, (), 0.0, indicator)
    given = isinstance(values.dtype, pd.CategoricalDtype)
    levels = values.cat.categories if given else sorted(counts.index)
    order = [str(level) for level in levels if str(level) in counts.index]
    commonest = max(order, key=lambda level: counts[level])
    frequent = [level for level in order if counts[level] >= least or level == commonest]
    rare = [level for level in order if level not in frequent]
    if rare:
        notes.append(f"{block}: {name} {', '.join(rare)} (under {least} patients) counted with {commonest}.")
    return _Column(name, tuple(frequent[1:]), 0.0, indicator, frequent[0], commonest)


def _refuse_missing(name: str, table: pd.DataFrame) -> None:
    gone = table.isna().to_numpy()
    if gone.any():
        row, column = np.argwhere(gone)[0]
        raise SurvivalError(
            f"Block {name}: {table.columns[column]} is missing in row {row + 1}; fill it in, leave the patient out, or "
            'let missing be "indicator".'
        )


@dataclass(frozen=True, eq=False)
class Compression:
    """Wide array blocks as leading principal components, the rest scaled; for models that cannot take 5,000 columns."""

    parts: tuple[tuple[slice, Reduction], ...]

    @property
    def scores(self) -> np.ndarray:
        """(n, k) of the training rows."""
        return np.concatenate([reduction.scores for _, reduction in self.parts], axis=1)

    def transform(self, flat: np.ndarray) -> np.ndarray:
        return np.concatenate([reduction.transform(flat[:, part]) for part, reduction in self.parts], axis=1)

    def to_features(self, coef: np.ndarray) -> np.ndarray:
        """(k,) on scores -> (p,) on columns."""
        out, start = [], 0
        for _, reduction in self.parts:
            width = reduction.scores.shape[1]
            out.append(reduction.to_features(coef[start : start + width]))
            start += width
        return np.concatenate(out)


def fit_compression(flat: np.ndarray, encoding: Encoding, n_components: int | None) -> Compression:
    """Learned from encoded training rows (n, p): at most n_components an array; a table's columns stay themselves."""
    parts = []
    for name, part in encoding.slices.items():
        table, columns = encoding.shapes[name] is None, flat[:, part]
        parts.append((part, fit_scaling(columns) if table else fit_reduction(columns, n_components)))
    return Compression(tuple(parts))


def join_rows(first: Block, second: Block) -> Block:
    """Rows of one block after those of another of its kind."""
    if isinstance(first, pd.DataFrame) and isinstance(second, pd.DataFrame):
        if set(first.columns) != set(second.columns):
            raise SurvivalError("The tables of the two cohorts have different columns.")
        return pd.concat([first, second[list(first.columns)]], ignore_index=True)
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and first.shape[1:] == second.shape[1:]:
        return np.concatenate([first, second])
    raise SurvivalError("The features of the two cohorts differ in kind or shape.")
