"""A flag: what is questionable about a photo, as a kind for programs and a sentence for people.

Stored as text, one line a flag: a JSON list of kind, value and sentence. Files from before hold bare sentences; their
kinds are recognised by fixed words.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

from common.parsing import json_value

BLURRED, DARK, OVEREXPOSED, FLAT, COLOURLESS = "blurred", "dark", "overexposed", "flat light", "no colour"
TURNED, TILTED, LEANING, SMALL, CUT_OFF = "turned", "tilted", "leaning", "small", "cut off"
UNMEASURED = "pose not measured"
LOWER_COVERED, EYES_COVERED = "lower face covered", "eyes covered"
UNCERTAIN, SEVERAL, SIDEWAYS = "uncertain detection", "several faces", "on its side"
CHOSEN = "face chosen"
OTHER = "other"
KINDS = (
    *(BLURRED, DARK, OVEREXPOSED, FLAT, COLOURLESS, TURNED, TILTED, LEANING, SMALL, CUT_OFF, UNMEASURED),
    *(LOWER_COVERED, EYES_COVERED, UNCERTAIN, SEVERAL, SIDEWAYS, CHOSEN),
)
# Words of the sentences that files from before flags had kinds hold.
_EARLIER = {
    "The face is blurred": BLURRED,
    "The face is very dark": DARK,
    "The face is overexposed": OVEREXPOSED,
    "The face has hardly any contrast": FLAT,
    "The photo has no colour": COLOURLESS,
    "The face is turned": TURNED,
    "The face is tilted": TILTED,
    "The head leans": LEANING,
    "The face is small": SMALL,
    "of the head lies outside the photo": CUT_OFF,
}


@dataclass(frozen=True)
class Flag:
    """kind: one of KINDS, or OTHER; value: the measure behind it, nan where there is none; sentence: for people."""

    kind: str
    value: float
    sentence: str

    def __str__(self) -> str:
        return self.sentence

    def __eq__(self, other: object) -> bool:
        """Equal also where both values are nan."""
        return isinstance(other, Flag) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[str, float | None, str]:
        return self.kind, None if math.isnan(self.value) else self.value, self.sentence


def flags_text(flags: Iterable[Flag]) -> str:
    """Flags as they are stored, a line each; "" without any."""
    rows = ((f.kind, None if math.isnan(f.value) else round(f.value, 6), f.sentence) for f in flags)
    return "\n".join(json.dumps(row) for row in rows)


def read_flags(text: str) -> tuple[Flag, ...]:
    """What `flags_text` gave, or sentences of an earlier file, a line each."""
    return tuple(_read(line) for line in text.splitlines() if line.strip())


def _read(line: str) -> Flag:
    try:
        kind, value, sentence = json_value(line)
        if isinstance(kind, str) and isinstance(sentence, str) and isinstance(value, int | float | None):
            return Flag(kind, math.nan if value is None else float(value), sentence)
    except ValueError:
        pass
    return Flag(next((kind for words, kind in _EARLIER.items() if words in line), OTHER), math.nan, line)


def sentences(flags: Iterable[Flag], separator: str = " ") -> str:
    return separator.join(flag.sentence for flag in flags)
