"""Codes for missing values among numbers: -99, 999, "unknown". They are proposed; a person confirms each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from study.tables.formats.raw import MISSING
from study.tables.numbers import plain_number

CODE_NUMBERS = frozenset({float(sign * int(d * n)) for sign in (1, -1) for d in "789" for n in (1, 2, 3, 4)})
_WORDS = """unknown|unk|unkn|unkown|not known|u|missing|miss|not available|not applicable|not assessed|not done
not measured|not recorded|not reported|not tested|n.a.|n.a|na.|n/k|nk|nd|n.d.|n.d|n/d|no data|no value|undefined
[not available]|[unknown]|[not applicable]|[not evaluated]|[discrepancy]|pending|#n/a|#na|#nv|#null!|#value!|#div/0!
#ref!|#name?|<na>|nil|x|xx|xxx|--|---|–|—|…|...|unbekannt|nicht bekannt|unbek.|k.a.|k. a.|ka|k.a|keine angabe
keine angaben|fehlt|fehlend|nicht erhoben|nicht gemessen|nicht bestimmt|n.b.|n.e.|inconnu|desconocido|sconosciuto"""
CODE_WORDS = frozenset(word for line in _WORDS.splitlines() for word in line.split("|"))
FAR = 5.0  # interquartile ranges
LEAST_KNOWN = 20  # values that show what is far
Counts = Mapping[str, int]  # different text -> in how many rows


def numeric_codes(
    values: np.ndarray, counts: np.ndarray, low: float = -np.inf, high: float = np.inf
) -> list[tuple[float, int]]:
    """(code, rows) among the different numbers of a column: repeated digits of 7, 8 or 9 that lie outside [low, high],
    are the only negative ones, or stand several times far from all others.

    values, counts: (k,) the different numbers and in how many rows each is. low, high: what the column may hold.
    """
    is_code = np.isin(values, list(CODE_NUMBERS))
    if not is_code.any():
        return []
    others = np.repeat(values[~is_code], counts[~is_code])
    q1, middle, q3 = np.percentile(others, [25, 50, 75]) if len(others) >= LEAST_KNOWN else [np.nan] * 3
    far = (counts >= 2) & (np.abs(values - middle) > FAR * max(q3 - q1, 1e-9))
    lone_negative = (values <= -7) & (len(others) > 0 and (others >= 0).all())
    chosen = is_code & ((values < low) | (values > high) | lone_negative | far)
    return sorted(zip(values[chosen].tolist(), counts[chosen].tolist(), strict=True))


def proposed_codes(
    counts: Counts, plain: Mapping[str, str], low: float = -np.inf, high: float = np.inf
) -> dict[str, int]:
    """Code -> rows of what probably stands for a missing value in a column of numbers.

    plain: text -> plain decimal, as `Style.plain` gives it. Texts that every table means so ("", NA, ...) are left out.
    """
    codes = {t: n for t, n in counts.items() if t.casefold() in CODE_WORDS and t.casefold() not in MISSING}
    numbers: dict[float, list[str]] = {}
    for text in counts:
        value = plain_number(plain.get(text, text))
        if value is not None:
            numbers.setdefault(value, []).append(text)
    values = np.array(list(numbers), dtype=np.float64)
    rows = np.array([sum(counts[t] for t in texts) for texts in numbers.values()], dtype=np.int64)
    for value, _ in numeric_codes(values, rows, low, high):
        codes |= {text: counts[text] for text in numbers[value]}
    return codes
