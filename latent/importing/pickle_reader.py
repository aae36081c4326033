"""A pickle read as data: a small interpreter of the pickle protocol that has no way to call anything.

Python's own unpickler runs what a file names. This one knows the instructions by which torch and Python 3 write
weight files (protocols 2 to 5), and a table of globals, each with an inert stand-in; any other global is
refused by name. Byte strings are slices of the file, not copies. A Budget bounds the work by what the file holds:
instructions, bytes read, and keys of tables that are numbers, whose hashes a file can make collide
(those of texts it cannot: Python salts them). Values may be shared, so code that walks the result must not unfold it:
10 lists that hold each other twice are 20 references and 1,024 paths.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from latent.errors import ImportRefused

MAX_INSTRUCTIONS = 1_000_000
MAX_STRING = 16 << 20  # bytes of one text; the source code that NVIDIA's files carry is about 50 kB
MAX_LONG = 16  # bytes of one integer
MAX_NUMBER_KEYS = 10_000  # of all tables together; at worst each is compared with each
READINGS = 4  # times that a byte may be read: storages nested in a pickle are read twice


class Table(dict[Any, Any]):
    """A mapping from a file (dict, OrderedDict, EasyDict)."""


class Inert:
    """Something a file holds that is of no use here; it takes any content and does nothing."""


class Record(Inert):
    """Named values and nothing else (argparse.Namespace): `values` are what the file gives it as its state."""

    def __init__(self) -> None:
        self.values: Mapping[Any, Any] = Table()


class Global:
    """An allow-listed name. `stand_in` makes our value from the arguments; None: the name may only be mentioned."""

    def __init__(self, name: str, stand_in: Callable[[tuple[Any, ...]], Any] | None = None) -> None:
        self.name, self.stand_in = name, stand_in


class Budget:
    """Instructions, bytes and keys left, shared by a file and everything nested in it. size: bytes of the file."""

    def __init__(self, size: int) -> None:
        self.instructions, self.bytes, self.keys = MAX_INSTRUCTIONS, READINGS * size, MAX_NUMBER_KEYS

    def spend(self, instructions: int = 0, bytes_: int = 0, keys: int = 0) -> None:
        """Raises ImportRefused where the file asks for more than it may."""
        self.instructions -= instructions
        self.bytes -= bytes_
        self.keys -= keys
        if min(self.instructions, self.bytes, self.keys) < 0:
            raise ImportRefused("The file is a pickle of more parts than any weight file has; reading stopped.")


def damaged(why: str) -> ImportRefused:
    """What is said of a pickle that breaks its own format."""
    return ImportRefused(f"The file is damaged or cut short ({why}); download it again.")


_MARK = object()  # where a variable number of arguments begins on the stack


class PickleReader:
    """Reads one pickle from `data` at `position`; `position` is then behind it.

    globals_: (module, name) -> Global. persistent: stand-in for persistent ids, None where there may be none.
    Raises ImportRefused with one sentence.
    """

    def __init__(
        self,
        data: memoryview,
        globals_: Mapping[tuple[str, str], Global],
        position: int = 0,
        persistent: Callable[[Any], Any] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.data, self.globals, self.position = data, globals_, position
        self.persistent, self.budget = persistent, budget or Budget(len(data))
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The value the pickle describes, made of plain containers, numbers, texts and stand-ins."""
        while True:
            self.budget.spend(instructions=1)
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                return self._pop()
            instruction = _INSTRUCTIONS.get(code)
            if instruction is None:
                raise ImportRefused(
                    f"The file is not a readable weight file: its pickle uses the instruction {bytes([code])!r}."
                )
            instruction(self)

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.data):
            raise damaged("it ends in the middle of a value")
        self.budget.spend(bytes_=count)
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def _number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _line(self) -> str:
        """Text up to the end of line, as GLOBAL has it."""
        end = bytes(self.data[self.position : self.position + 512]).find(b"\n")
        if end < 0:
            raise damaged("a name without an end")
        return self._decode(self._take(end + 1)[:-1])

    def _text(self, size: int) -> str:
        if size > MAX_STRING:
            raise ImportRefused(f"The file holds a text of {size} bytes, longer than any weight file has.")
        return self._decode(self._take(size))

    @staticmethod
    def _decode(piece: memoryview) -> str:
        try:
            return str(piece, "utf-8")
        except UnicodeDecodeError:
            raise damaged("a text that is not UTF-8") from None

    def _pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise damaged("a value is missing")
        return self.stack.pop()

    def _to_mark(self) -> list[Any]:
        """Everything above the topmost mark, which goes too."""
        items: list[Any] = []
        while self.stack:
            if (item := self.stack.pop()) is _MARK:
                return items[::-1]
            items.append(item)
        raise damaged("a list without a beginning")

    def _top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise damaged("a value in the wrong place")
        return self.stack[-1]

    def _fill_table(self, table: dict[Any, Any], items: list[Any]) -> None:
        if len(items) % 2:
            raise damaged("a key without a value")
        pairs: Iterator[Any] = iter(items)
        for key, value in zip(pairs, pairs, strict=True):
            if not isinstance(key, (str, int, float, type(None))):  # what is nested may take for ever to hash
                raise ImportRefused("The file holds a table with a key that is neither a name nor a number.")
            if not isinstance(key, str):
                self.budget.spend(keys=1)
            table[key] = value

    # Instructions. Names are those of Python's pickletools.

    def proto(self) -> None:
        if self._number(1) > 5:
            raise ImportRefused("The file is a pickle of a newer protocol than 5, which cannot be read.")

    def push_global(self) -> None:
        module = self._line()
        self._find(module, self._line())

    def stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise damaged("a name that is not a text")
        self._find(module, name)

    def _find(self, module: str, name: str) -> None:
        entry = self.globals.get((module, name))
        if entry is None:
            full = f"{module}.{name}"
            shown = full if len(full) <= 120 and full.isprintable() else ascii(full)[1:121]
            raise ImportRefused(
                f"The file was refused because it asks for {shown}, which no weight file that can be imported needs; "
                "do not use it unless you know why."
            )
        self.stack.append(entry)

    def reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, Global) or function.stand_in is None or not isinstance(arguments, tuple):
            raise ImportRefused("The file was refused because it asks to call something that is not to be called.")
        self.stack.append(function.stand_in(arguments))

    def build(self) -> None:
        """State for an object: tables keep only their items, records named values, other inert things nothing."""
        state = self._pop()
        if not self.stack or not isinstance(self.stack[-1], (Table, Inert)):
            raise ImportRefused("The file was refused because it gives state to something that has none.")
        if isinstance(self.stack[-1], Record) and isinstance(state, Table):
            self.stack[-1].values = state

    def binpersid(self) -> None:
        identity = self._pop()
        if self.persistent is None:
            raise ImportRefused("The file refers to data outside itself, which cannot be imported.")
        self.stack.append(self.persistent(identity))

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise damaged("a reference to nothing")
        self.stack.append(self.memo[index])

    def put(self, index: int) -> None:
        if not self.stack:
            raise damaged("a value is missing")
        if index >= MAX_INSTRUCTIONS:
            raise damaged("a reference that no writer makes")
        self.memo[index] = self.stack[-1]

    def long(self, size: int) -> None:
        if size > MAX_LONG:
            raise ImportRefused(f"The file holds a whole number of {size} bytes, which no weight file has.")
        self.stack.append(self._number(size, signed=True))

    def last(self, count: int) -> list[Any]:
        """The topmost values, in the order in which they were pushed; they go."""
        return [self._pop() for _ in range(count)][::-1]

    def fill(self, items: list[Any]) -> None:
        self._fill_table(self._top(dict), items)

    def dictionary(self) -> None:
        table = Table()
        self._fill_table(table, self._to_mark())
        self.stack.append(table)

    def extend(self, items: list[Any]) -> None:
        self._top(list).extend(items)

    def additems(self) -> None:
        self._to_mark()  # sets are of no use here
        self._top(Inert)

    def frozenset(self) -> None:
        self._to_mark()
        self.stack.append(Inert())

    def push(self, value: Any) -> None:
        self.stack.append(value)


_INSTRUCTIONS: dict[int, Callable[[PickleReader], None]] = {
    0x80: PickleReader.proto,
    0x95: lambda r: (r._number(8), None)[1],  # FRAME: only a hint for buffering
    ord("("): lambda r: r.push(_MARK),
    ord("0"): lambda r: (r._pop(), None)[1],
    ord("1"): lambda r: (r._to_mark(), None)[1],
    ord("N"): lambda r: r.push(None),
    0x88: lambda r: r.push(True),
    0x89: lambda r: r.push(False),
    ord("J"): lambda r: r.push(r._number(4, signed=True)),
    ord("K"): lambda r: r.push(r._number(1)),
    ord("M"): lambda r: r.push(r._number(2)),
    0x8A: lambda r: r.long(r._number(1)),
    0x8B: lambda r: r.long(r._number(4)),
    ord("G"): lambda r: r.push(struct.unpack(">d", r._take(8))[0]),
    0x8C: lambda r: r.push(r._text(r._number(1))),
    ord("X"): lambda r: r.push(r._text(r._number(4))),
    0x8D: lambda r: r.push(r._text(r._number(8))),
    ord("C"): lambda r: r.push(r._take(r._number(1))),
    ord("B"): lambda r: r.push(r._take(r._number(4))),
    0x8E: lambda r: r.push(r._take(r._number(8))),
    ord(")"): lambda r: r.push(()),
    0x85: lambda r: r.push(tuple(r.last(1))),
    0x86: lambda r: r.push(tuple(r.last(2))),
    0x87: lambda r: r.push(tuple(r.last(3))),
    ord("t"): lambda r: r.push(tuple(r._to_mark())),
    ord("]"): lambda r: r.push([]),
    ord("l"): lambda r: r.push(r._to_mark()),
    ord("a"): lambda r: r.extend(r.last(1)),
    ord("e"): lambda r: r.extend(r._to_mark()),
    ord("}"): lambda r: r.push(Table()),
    ord("d"): PickleReader.dictionary,
    ord("s"): lambda r: r.fill(r.last(2)),
    ord("u"): lambda r: r.fill(r._to_mark()),
    0x8F: lambda r: r.push(Inert()),  # EMPTY_SET
    0x90: PickleReader.additems,
    0x91: PickleReader.frozenset,
    ord("c"): PickleReader.push_global,
    0x93: PickleReader.stack_global,
    ord("R"): PickleReader.reduce,
    0x81: PickleReader.reduce,  # NEWOBJ: class and arguments, as REDUCE has function and arguments
    ord("b"): PickleReader.build,
    ord("Q"): PickleReader.binpersid,
    ord("h"): lambda r: r.get(r._number(1)),
    ord("j"): lambda r: r.get(r._number(4)),
    ord("q"): lambda r: r.put(r._number(1)),
    ord("r"): lambda r: r.put(r._number(4)),
    0x94: lambda r: r.put(len(r.memo)),
}
