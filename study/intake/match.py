"""Which of the given photos each row of a table means: exact names are joined, near ones proposed to a person.

Near: another Unicode form, upper or lower case, other folders (Windows paths too), another file ending or none, leading
zeros and signs in an id. A proposal is one to one: a cell that fits several photos, or a photo that fits several cells,
is left to the person to sort out in the table.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from latent.datasets.sources import Source

Near = Literal["ask", "accept", "leave"]
_RUNS = re.compile(r"\d+|[^\W\d_]+")


@dataclass(frozen=True)
class Request:
    """A photo that a row asks for. place: of the patient in the table; taken: its date as text, "" if unknown."""

    place: int
    where: str
    row: int
    cell: str
    taken: str = ""


@dataclass(frozen=True)
class Match:
    """A photo that was found for a request. differs: in what its name differs from the cell, "" where in nothing."""

    request: Request
    source: Source
    differs: str = ""


@dataclass(frozen=True)
class Matches:
    """exact, near: the photos found; several: requests that more than one photo fits, with these; doubled: requests for
    a photo that another row has, with that row; absent: requests without a photo; requests: all of them; unused: photos
    of nobody."""

    exact: list[Match] = field(default_factory=list)
    near: list[Match] = field(default_factory=list)
    several: list[tuple[Request, list[Source]]] = field(default_factory=list)
    doubled: list[tuple[Request, int]] = field(default_factory=list)
    absent: list[Request] = field(default_factory=list)
    requests: Sequence[Request] = ()
    unused: list[Source] = field(default_factory=list)

    def taken(self, near: bool) -> list[Match]:
        """The exact matches, with the near ones or without, in the order of the requests."""
        order = {request: i for i, request in reversed(list(enumerate(self.requests)))}
        return sorted([*self.exact, *(self.near if near else [])], key=lambda found: order[found.request])


def _path(text: str) -> str:
    return text.replace("\\", "/").removeprefix("./")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _stem(text: str) -> str:
    """The name without a file ending: of up to five letters or digits, with one letter at least (not P1.2)."""
    name = _path(text).rpartition("/")[2]
    parts = re.fullmatch(r"(.+)\.(?=[^.]*[A-Za-z])[A-Za-z0-9]{1,5}", name)
    return parts[1] if parts else name


def _inner(path: str) -> str:
    """A path without its first folder, which is often the zip's own."""
    return "/".join(PurePosixPath(path).parts[1:]) or path


# What two names have to share, the strictest first.
KEYS: tuple[Callable[[str], str], ...] = (
    lambda text: unicodedata.normalize("NFC", _path(text)),
    lambda text: _folded(_path(text)),
    lambda text: _folded(_path(text).rpartition("/")[2]),
    lambda text: _folded(_stem(text)),
    # Ids without leading zeros and signs: P-001 and p1 are alike.
    lambda text: " ".join(run.lstrip("0") or "0" for run in _RUNS.findall(_folded(_stem(text)))),
)


def match(requests: Sequence[Request], photos: Sequence[Source], by_id: bool = False) -> Matches:
    """The photo of each request. by_id: cells are patients' ids, so that a photo's name without its ending is exact."""
    out = Matches(requests=requests)
    whole = {source.file: [source] for source in photos}
    stem = _stem if by_id else _inner
    exact = _index((k, s) for s in photos for k in {PurePosixPath(s.file).name, _inner(s.file), stem(s.file)})
    taken: dict[str, int] = {}
    rest: list[Request] = []
    for request in requests:
        candidates = whole.get(request.cell) or exact.get(request.cell, [])
        if len(candidates) > 1:
            out.several.append((request, candidates))
        elif not candidates:
            rest.append(request)
        elif candidates[0].file in taken:
            out.doubled.append((request, taken[candidates[0].file]))
        else:
            taken[candidates[0].file] = request.row
            out.exact.append(Match(request, candidates[0]))
    _propose(rest, [source for source in photos if source.file not in taken], out, by_id)
    claimed = {*taken, *(m.source.file for m in out.near)}
    out.unused.extend(source for source in photos if source.file not in claimed)
    return out


def _index(pairs: Iterable[tuple[str, Source]]) -> dict[str, list[Source]]:
    out: dict[str, list[Source]] = {}
    for key, source in pairs:
        out.setdefault(key, []).append(source)
    return out


def _propose(requests: Sequence[Request], photos: Sequence[Source], out: Matches, by_id: bool) -> None:
    """The nearest photo of each request, by the strictest rule that finds one."""
    rules = [(key, _index((k, s) for s in photos for k in {key(s.file), key(_inner(s.file))} if k)) for key in KEYS]
    found = [(r, next((some for key, index in rules if (some := index.get(key(r.cell)))), [])) for r in requests]
    wanted = Counter(fits[0].file for _, fits in found if len(fits) == 1)
    for request, fits in found:
        if not fits:
            out.absent.append(request)
        elif len(fits) > 1 or wanted[fits[0].file] > 1:
            out.several.append((request, fits))
        else:
            out.near.append(Match(request, fits[0], difference(request.cell, fits[0].file, by_id)))


def difference(cell: str, file: str, by_id: bool = False) -> str:
    """In what a near match differs, in words. by_id: an id names no ending, so that is no difference."""
    differences, one, other = [], cell, file
    if "\\" in one or ("/" in one and _folded(one) not in (_folded(other), _folded(_inner(other)))):
        differences.append("the folders before its name")
    one, other = (_path(text).rpartition("/")[2] for text in (one, other))
    if _stem(one) == one or _folded(one).rpartition(".")[2] != _folded(other).rpartition(".")[2]:
        differences += [] if by_id else ["the file's ending"]
        one, other = _stem(one), _stem(other)
    composed = [unicodedata.normalize("NFC", text) for text in (one, other)]
    if (one, other) != tuple(composed) and unicodedata.normalize("NFD", one) == unicodedata.normalize("NFD", other):
        differences.append("how accents are stored (Unicode)")
    one, other = composed
    if one != other and _folded(one) == _folded(other):
        differences.append("upper and lower case")
    elif _folded(one) != _folded(other):
        differences.append("leading zeros or signs")
    return ", ".join(differences)
