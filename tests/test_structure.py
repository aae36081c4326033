"""The shape of the house: no circle of imports, no private name across modules, no storage name on the screen, modules
and folders that a reader can hold in mind. Offenders of today are listed and the lists may only shrink.

Read from the source with `ast`, so that nothing has to be importable; imports under TYPE_CHECKING count like any other.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("common", "faces", "latent", "survival", "study", "jobs", "ui", "pages", "bench")
SCREEN = ("ui", "pages")
MODULE_LINES, FOLDER_MODULES = 350, 12
STORAGE_NAMES = {
    "aligned",
    "comparisons.parts",
    "embedding.parts",
    "index.parquet",
    "latents.npy",
    "models",
    "patients.csv",
    "report.json",
    "robustness.parts",
    "study.toml",
}

CIRCLES = set[tuple[str, ...]]()
PRIVATE = set[str]()
STORAGE_ON_SCREEN = set[str]()
LONG_MODULES = set[str]()
FULL_FOLDERS = set[str]()

Graph = dict[str, set[str]]


def name_of(place: Path) -> str:
    parts = place.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    """Dotted name -> path below the root, of every module of the rooms."""
    files = [file.relative_to(ROOT) for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))]
    return {name_of(file): file for file in files}


def source_of(place: Path) -> ast.Module:
    return ast.parse((ROOT / place).read_text(encoding="utf-8"))


def imports(tree: ast.Module, folder: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(module, name taken from it, or "") of every import of a module that lies in `folder`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = folder[: len(folder) - node.level + 1] if node.level else ()
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((base, alias.name) for alias in node.names)


def arrows(known: dict[str, Path]) -> Graph:
    """Module -> modules of the rooms that it imports; importing a name of a package counts as importing the package."""
    graph: Graph = {}
    for module, place in known.items():
        targets = set()
        for base, name in imports(source_of(place), place.parts[:-1]):
            target = f"{base}.{name}" if f"{base}.{name}" in known else base
            while target and target not in known:
                target = target.rpartition(".")[0]
            targets.add(target)
        graph[module] = targets - {"", module}
    return graph


def circles(graph: Graph) -> set[tuple[str, ...]]:
    """Groups of modules that reach one another, each sorted by name."""
    reach: Graph = {}
    for start in graph:
        seen, todo = set[str](), list(graph[start])
        while todo:
            if (module := todo.pop()) not in seen:
                seen.add(module)
                todo += graph.get(module, ())
        reach[start] = seen
    tied = {a: {b for b in reach[a] if a in reach.get(b, ())} for a in graph}
    return {tuple(sorted(group)) for group in tied.values() if group}


def private_names(module: str, tree: ast.Module, folder: tuple[str, ...]) -> Iterator[str]:
    """Names with a leading underscore that a module takes from another module of the rooms."""
    for base, name in imports(tree, folder):
        if base.partition(".")[0] in ROOMS and name.startswith("_") and not name.startswith("__"):
            yield f"{module} takes {name} of {base}"


def storage_names(tree: ast.AST) -> set[str]:
    """Names of files and folders of a study that stand in a module as constants."""
    return {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value in STORAGE_NAMES}


def test_no_circle_but_the_listed() -> None:
    found = circles(arrows(modules()))
    assert found == CIRCLES, f"new: {found - CIRCLES}; gone, strike from the list: {CIRCLES - found}"


def test_no_private_name_crosses_modules_but_the_listed() -> None:
    found = {
        breach
        for module, place in modules().items()
        for breach in private_names(module, source_of(place), place.parts[:-1])
    }
    assert found == PRIVATE, f"new: {found - PRIVATE}; gone, strike from the list: {PRIVATE - found}"


def test_the_screen_names_no_file_of_a_study_but_where_listed() -> None:
    places = [place for place in modules().values() if place.parts[0] in SCREEN]
    found = {place.as_posix() for place in places if storage_names(source_of(place))}
    assert found == STORAGE_ON_SCREEN, f"new: {found - STORAGE_ON_SCREEN}; gone: {STORAGE_ON_SCREEN - found}"


def test_modules_and_folders_stay_readable_but_the_listed() -> None:
    places = list(modules().values())
    lengths = {p.as_posix(): len((ROOT / p).read_text(encoding="utf-8").splitlines()) for p in places}
    long = {name for name, lines in lengths.items() if lines > MODULE_LINES}
    assert long == LONG_MODULES, f"new: {long - LONG_MODULES}; gone: {LONG_MODULES - long}"
    counts: dict[str, int] = {}
    for place in places:
        if place.name != "__init__.py":
            counts[place.parent.as_posix()] = counts.get(place.parent.as_posix(), 0) + 1
    full = {folder for folder, count in counts.items() if count > FOLDER_MODULES}
    assert full == FULL_FOLDERS, f"new: {full - FULL_FOLDERS}; gone: {FULL_FOLDERS - full}"


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == {("a", "b", "c")}
    assert not circles({"a": {"b", "c"}, "b": {"c"}, "c": set()})


@pytest.mark.parametrize(
    ("source", "folder", "expected"),
    [
        ("from survival.metrics import _weights", ("study",), ["x takes _weights of survival.metrics"]),
        ("from .metrics import _weights", ("survival",), ["x takes _weights of survival.metrics"]),
        ("from numpy import _core\nfrom study.store import Study\nfrom ui import __version__", ("ui",), []),
    ],
)
def test_a_private_import_is_seen(source: str, folder: tuple[str, ...], expected: list[str]) -> None:
    assert list(private_names("x", ast.parse(source), folder)) == expected


def test_a_storage_name_is_seen() -> None:
    assert storage_names(ast.parse('path = folder / "latents.npy"')) == {"latents.npy"}
    assert not storage_names(ast.parse('text = "latents.npy is the file of codes"'))
