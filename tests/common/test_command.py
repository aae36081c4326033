"""Command lines: names that no file can have, and everything else a person can type, end in one sentence."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench.__main__ as bench
import latent.__main__ as latent
import study.__main__ as study
from common import command

ROOT = Path(__file__).resolve().parents[2]
TYPES = (command.path_argument, command.file_argument, command.folder_argument)
VERBS = [("study", verb) for verb in study.VERBS] + [("latent", verb) for verb in latent.VERBS]
MODULES = {"study": study, "latent": latent}
NAMES = {
    "empty": "",
    "space": " ",
    "nul": "a\0b",
    "long": "x" * 300,
    "long component": "a/" + "\u00e9" * 200,
    "long path": "a/" * 3000,
    "lone surrogate": "a\udcff.csv",
    "high surrogate": "\ud800",
    "newline": "a\nb",
    "escape": "\x1b[31mred",
    "through a file": "file.txt/inside",
    "endless device": "/dev/zero",
    "null device": "/dev/null",
    "pipe": "pipe",
    "socket": "socket",
    "loop": "loop",
}
# Names that a file could have: what is behind them is refused by the verb.
PLAUSIBLE = {
    "not there": "nowhere",
    "not there, right to left": "no\u202ewhere",
    "file": "file.txt",
    "no folder above": "nowhere/at/all",
    "parent": "..",
    "dashes": "---",
}


def parser_of(room: str, verb: str) -> argparse.ArgumentParser:
    verbs = MODULES[room].VERBS
    place = verbs[verb][0]
    parser = command.Parser(prog=verb)
    importlib.import_module(place).add_arguments(parser)
    return parser


def path_actions(room: str, verb: str) -> list[argparse.Action]:
    return [action for action in parser_of(room, verb)._actions if action.type in TYPES]


def words_for(room: str, verb: str, nasty: argparse.Action, name: str) -> list[str]:
    """A command line with `name` in the place of one argument and something harmless that is not there elsewhere."""
    words = [verb]
    for action in parser_of(room, verb)._actions:
        value = name if action is nasty or action.dest == nasty.dest else "elsewhere"
        if action.choices and value == "elsewhere":
            value = next(iter(action.choices))
        needed = action.required or action.dest == nasty.dest
        if not needed or isinstance(action, argparse._HelpAction):
            continue
        words += [f"{action.option_strings[0]}={value}"] if action.option_strings else [value]
    for group in parser_of(room, verb)._mutually_exclusive_groups:
        if group.required:
            words.append(f"{group._group_actions[0].option_strings[0]}=other")
    return words


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a file, a pipe, a socket and a link to itself."""
    import socket

    folder = tmp_path / "folder"  # its parent is empty, too: tmp_path's holds what other tests wrote
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LATENT_HEALTH_STUDIES", str(folder / "studies"))
    (folder / "file.txt").write_text("a,b\n1,2\n")
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    return folder


def run(
    main: Callable[[Sequence[str]], int], words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    try:
        code = main(words)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    return code, capsys.readouterr().err


@pytest.mark.parametrize("kind", [*NAMES, *PLAUSIBLE])
@pytest.mark.parametrize(("room", "verb"), VERBS)
def test_every_path_of_every_verb_refuses_what_no_file_can_be(
    room: str, verb: str, kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    actions = path_actions(room, verb)
    assert actions, f"{verb} has no path argument"
    for action in actions:
        name = NAMES.get(kind, PLAUSIBLE.get(kind, ""))
        if verb == "example" and kind in PLAUSIBLE:
            continue  # makes that folder: there is nothing to refuse
        code, said = run(MODULES[room].main, words_for(room, verb, action, name), capsys)
        assert code in (1, 2), (action.dest, code, said)
        if kind in NAMES:
            assert code == 2, (action.dest, said)
            assert "argument" in said
        assert said.count("\n") == 1, said
        assert said.strip().isprintable(), said
        assert "Traceback" not in said
        assert len(said) < 500, said
        assert sorted(place.rglob("*")) == before, action.dest


@pytest.mark.slow
def test_no_verb_takes_a_path_past_the_gate() -> None:
    """Every argument of type Path goes through common/command.py, in every room."""
    found = []
    for room in ("study", "latent", "bench", "ui"):
        for file in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    types = [k.value for k in node.keywords if k.arg == "type"]
                    found += [f"{file}:{node.lineno}" for t in types if isinstance(t, ast.Name) and t.id == "Path"]
    assert not found, found


@pytest.mark.parametrize("words", [[], ["nothing"], ["\ud800"], ["x" * 10_000], ["a\0b"], ["check"], ["import", "--x"]])
@pytest.mark.parametrize("main", [study.main, latent.main, bench.main])
def test_wrong_arguments_are_one_sentence(
    main: Callable[[Sequence[str]], int], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(main, words, capsys)
    assert code == 2
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert len(said) < 600


@given(st.text(max_size=40))
def test_any_text_is_a_path_or_a_sentence(text: str) -> None:
    try:
        command.path_argument(text).exists()  # what is let through can be asked of the system
    except argparse.ArgumentTypeError as refused:
        sentence = str(refused)
        assert command.printable(sentence) == sentence


def test_names_that_people_use_are_let_through(tmp_path: Path) -> None:
    for name in (
        "Aufnahme 3.15.00\u202fPM.png",
        "\u00fcber\u00a0uns.csv",
        "\u0645\u0631\u062d\u0628\u0627",
        "-a b-",
        "e\u0301.csv",
    ):
        assert command.path_argument(name) == Path(name)
    (tmp_path / "a").write_text("")
    assert command.file_argument(str(tmp_path / "a")) == tmp_path / "a"
    assert command.folder_argument(str(tmp_path)) == tmp_path
    with pytest.raises(argparse.ArgumentTypeError, match="is a folder"):
        command.file_argument(str(tmp_path))
    with pytest.raises(argparse.ArgumentTypeError, match="is a file"):
        command.folder_argument(str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(28, "No space left on device", "out.bin"), 1, "room verb: 'out.bin': No space left on device."),
        (OSError(28, "No space left on device"), 1, "room verb: The system refused: No space left on device."),
        (OSError("odd"), 1, "room verb: The system refused: odd."),
        (KeyError("refused"), 1, "room verb: 'refused'"),
        (KeyboardInterrupt(), 130, "room verb: stopped; run the same command again to resume."),
    ],
)
def test_what_ends_a_verb(error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        raise error

    assert command.guarded("room verb", (KeyError,), work) == code
    assert capsys.readouterr().err.strip() == words


def test_a_fault_of_ours_is_not_hidden() -> None:
    def work() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        command.guarded("room verb", (KeyError,), work)


@pytest.mark.parametrize("ending", ["", ", flush=True"])
def test_a_reader_that_leaves_ends_a_command_quietly(ending: str) -> None:
    """As with `| head`: the verb's printing fails, or what is left to print at the end does."""
    code = (
        "from common.command import guarded\n"
        f"raise SystemExit(guarded('room verb', (), lambda: print('x' * 10{ending}) or 0))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()  # type: ignore[union-attr]
    said = process.stderr.read()  # type: ignore[union-attr]
    assert process.wait() == command.READER_LEFT
    assert said == b""
    process.stderr.close()  # type: ignore[union-attr]


def test_a_name_that_is_no_text_can_be_printed() -> None:
    code = (
        "from common.command import guarded\n"
        "raise SystemExit(guarded('room verb', (), lambda: print('a\\udcff.jpg') or 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"a\\udcff.jpg\n", b"")
