"""Who may import whom (docs of the structure: the arrows), pages stay thin, and nothing unpickles.

Read from the source with `ast`, so that nothing has to be importable.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ("common", "faces", "latent", "survival", "study", "jobs")
ROOMS = (*LIBRARY, "ui", "pages", "bench")
FORBIDDEN = {
    "common": {"streamlit", "ui", "pages", "bench", "tests", "faces", "latent", "survival", "study", "jobs", "torch"},
    "faces": {"streamlit", "ui", "pages", "bench", "tests", "latent", "survival", "study", "jobs"},
    "latent": {"streamlit", "ui", "pages", "bench", "tests", "survival", "study", "jobs"},
    "survival": {"streamlit", "ui", "pages", "bench", "tests", "faces", "latent", "study", "jobs", "torch"},
    "study": {"streamlit", "ui", "pages", "bench", "tests", "jobs"},
    "jobs": {"streamlit", "ui", "pages", "bench", "tests", "study", "latent", "survival", "faces", "torch"},
    "ui": {"pages", "bench", "tests"},
    "pages": {"bench", "tests"},
    "bench": {"tests", "pages"},
}
ALLOWED = {("survival/models/deep", "torch")}  # a folder, and what may be imported by what lies in it
PAGE_LINES = 150


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a module of `package`, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            yield node.lineno, ".".join([*base, *([node.module] if node.module else [])])
        elif isinstance(node, ast.Call) and name_of(node.func) in (
            "importlib.import_module",
            "import_module",
            "__import__",
        ):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield node.lineno, first.value


def name_of(node: ast.AST) -> str:
    """Dotted name of an expression such as torch.load, or ''."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    return ".".join([node.id, *parts]) if isinstance(node, ast.Name) else ""


def breaches(file: Path, source: str) -> list[str]:
    """Imports in a file that its room may not make, as 'file:line name'."""
    place = file.relative_to(ROOT)
    found = []
    for line, name in imported(ast.parse(source), place.parts[:-1]):
        top = name.partition(".")[0]
        if top in FORBIDDEN[place.parts[0]] and (place.parent.as_posix(), top) not in ALLOWED:
            found.append(f"{place}:{line} imports {name}")
    return found


def unsafe_loads(source: str) -> list[int]:
    """Lines that unpickle: pickle and its kin, torch.load without weights_only=True, numpy.load with pickles."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if any(
                name.partition(".")[0] in ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib")
                for name in names
            ):
                lines.append(node.lineno)
        if not isinstance(node, ast.Call):
            continue
        name, keywords = name_of(node.func), {keyword.arg: keyword.value for keyword in node.keywords}
        if name in ("torch.load", "torch.hub.load", "torch.hub.load_state_dict_from_url"):
            only = keywords.get("weights_only")
            if not (isinstance(only, ast.Constant) and only.value is True):
                lines.append(node.lineno)
        allow = keywords.get("allow_pickle")
        if allow is not None and not (isinstance(allow, ast.Constant) and allow.value is False):
            lines.append(node.lineno)
        if name.endswith("read_pickle") or name in ("eval", "exec"):
            lines.append(node.lineno)
    return lines


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_arrows_allow(room: str) -> None:
    assert sources(room), f"no source found in {room}"
    found = [breach for file in sources(room) for breach in breaches(file, file.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_pages_are_thin() -> None:
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in sources("pages")}
    assert lengths
    assert not {name: length for name, length in lengths.items() if length >= PAGE_LINES}


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_unpickles(room: str) -> None:
    found = [f"{file}:{line}" for file in sources(room) for line in unsafe_loads(file.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("latent/x.py", "import streamlit as st"),
        ("latent/x.py", "def f():\n    from survival.models.cox import PenalisedCox"),
        ("survival/x.py", "import torch.nn"),
        ("survival/models/deeper.py", "import torch"),
        ("survival/models/deep/x.py", "from latent.inversion import invert"),
        ("faces/deep/x.py", "from latent import errors"),
        ("study/x.py", "import importlib\nimportlib.import_module('ui.theme')"),
        ("latent/importing/x.py", "from ..importing import y\nimport study.store"),
    ],
)
def test_the_rule_sees_a_breach(place: str, source: str) -> None:
    assert breaches(ROOT / place, source)


def test_the_rule_lets_the_arrows_pass() -> None:
    assert not breaches(ROOT / "study/x.py", "import torch\nfrom latent.inversion import invert")
    assert not breaches(
        ROOT / "latent/x.py", "from faces.encoder import load_face_encoder\nfrom .errors import LatentError"
    )
    assert not breaches(ROOT / "survival/models/deep/image.py", "import torch")


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load(p)",
        "import torch\ntorch.load(p, weights_only=False)",
        "import numpy as np\nnp.load(p, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(p)",
        "exec(text)",
    ],
)
def test_unpickling_is_seen(source: str) -> None:
    assert unsafe_loads(source)


def test_safe_loading_passes() -> None:
    assert not unsafe_loads(
        "import torch\ntorch.load(p, weights_only=True)\nimport numpy as np\nnp.load(p, allow_pickle=False)"
    )
