"""One dispatcher for `python -m ROOM VERB`, and the one gate for paths that a person types.

Exit codes: 0 done, 1 refused (one sentence on stderr), 2 wrong arguments (one sentence), 130 stopped by Ctrl-C,
141 the reader of the output left (`| head`). Nothing a person can type ends in a traceback.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import stat
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from common import threads

REFUSED, WRONG_ARGUMENTS, STOPPED, READER_LEFT = 1, 2, 130, 141
MAX_NAME_BYTES, MAX_PATH_BYTES = 255, 4095  # of Linux and macOS; Windows allows less and says so itself
SHOWN = 60  # characters of a name in a message
# Unicode categories that no name has in good faith: control characters, and the surrogates that stand for bytes that
# are not UTF-8. Printed, format characters (which turn the direction of writing) and line ends are escaped as well.
NOT_IN_NAMES = ("Cc", "Cs")
NOT_PRINTED = (*NOT_IN_NAMES, "Cf", "Zl", "Zp")


class Parser(argparse.ArgumentParser):
    """An argument parser whose refusal is one sentence, without the usage of thirty options above it."""

    def error(self, message: str) -> NoReturn:
        sentence = printable(message.rstrip("."))
        self.exit(WRONG_ARGUMENTS, f"{self.prog}: {sentence}. Add --help for the arguments.\n")


def printable(text: str, limit: int = 400) -> str:
    """Text for one line of a terminal: control characters and lone surrogates as escapes, cut after `limit`."""
    text = text[: limit + 1]
    clean = "".join(ascii(c)[1:-1] if unicodedata.category(c) in NOT_PRINTED else c for c in text)
    return clean if len(clean) <= limit else f"{clean[:limit]}..."


def run_verb(
    room: str,
    description: str | None,
    verbs: Mapping[str, tuple[str, str]],
    refusals: tuple[type[Exception], ...],
    arguments: Sequence[str] | None = None,
) -> int:
    """Runs `python -m ROOM VERB ...`; returns the exit code. Raises SystemExit for --help and wrong arguments.

    verbs : verb -> (module, summary). Only the module asked for is imported, since torch and the statistics take
    seconds; it has add_arguments(parser) and run(options) -> exit code. refusals : errors that carry a sentence.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = Parser(prog=f"python -m {room}", description=description)
    choices = parser.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=Parser)
    for name, (_, summary) in verbs.items():
        choices.add_parser(name, help=summary, add_help=False)
    verb: str = parser.parse_args(words[:1]).verb

    def work() -> int:
        place, summary = verbs[verb]
        threads.announce(f"python -m {room} {verb}")  # before the module, which may import torch
        module = importlib.import_module(place)
        options = Parser(prog=f"python -m {room} {verb}", description=module.__doc__ or summary)
        module.add_arguments(options)
        return int(module.run(options.parse_args(words[1:])))

    return guarded(f"{room} {verb}", refusals, work)


def guarded(label: str, refusals: tuple[type[Exception], ...], work: Callable[[], int]) -> int:
    """The exit code of `work`; what it refuses becomes one sentence on stderr that begins with `label`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name need not be text, and printing it must not fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discards what is still buffered
        return READER_LEFT
    except refusals as error:
        lines = (printable(line, 4000) for line in str(error).split("\n"))  # it may quote a file
        print(f"{label}:", "\n".join(lines), file=sys.stderr)
        return REFUSED
    except OSError as error:
        reason = printable(error.strerror or str(error) or type(error).__name__)
        what = "The system refused" if error.filename is None else shown(str(error.filename))
        print(f"{label}: {what}: {reason}.", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        print(f"\n{label}: stopped; run the same command again to resume.", file=sys.stderr)
        return STOPPED


def shown(name: str) -> str:
    """A name in a message: quoted, printable, its end where it is long."""
    text = printable(name, 10 * MAX_PATH_BYTES)
    return f"'{text}'" if len(text) <= SHOWN else f"'...{text[-SHOWN:]}'"


def path_argument(text: str) -> Path:
    """argparse type: a path that the system can have, to a file or a folder, whether or not there is one yet.

    Raises argparse.ArgumentTypeError with what is wrong for a name that no file can have, for a device, pipe or
    socket, and for a path through a file.
    """
    refused = argparse.ArgumentTypeError
    if not text.strip():
        raise refused("the name is empty")
    if any(unicodedata.category(c) in NOT_IN_NAMES for c in text):
        raise refused(f"{shown(text)} holds characters that a name cannot have or that are not UTF-8; rename it")
    if len(text.encode()) > MAX_PATH_BYTES or any(len(p.encode()) > MAX_NAME_BYTES for p in Path(text).parts):
        raise refused(f"{shown(text)} is too long for the name of a file")
    path = Path(text)
    try:
        facts = path.stat()
    except FileNotFoundError:
        return path
    except NotADirectoryError:
        raise refused(f"{shown(text)} leads through a file as if it were a folder") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise refused(f"{shown(text)} cannot be reached ({reason})") from None
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise refused(f"{shown(text)} is a device, a pipe or a socket, not a file or folder")
    return path


def file_argument(text: str) -> Path:
    """argparse type: as path_argument, and what is there must be a file."""
    path = path_argument(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{shown(text)} is a folder, and a file is needed")
    return path


def folder_argument(text: str) -> Path:
    """argparse type: as path_argument, and what is there must be a folder."""
    path = path_argument(text)
    if path.is_file():
        raise argparse.ArgumentTypeError(f"{shown(text)} is a file, and a folder is needed")
    return path
