"""Documents name files that exist: links, pictures, paths in backticks, and the test files of tests/README.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
ROOMS = r"(?:bench|common|faces|jobs|latent|pages|study|survival|tests|ui)"
CODE = re.compile(rf"`({ROOMS}/[\w./-]*|{ROOMS}/)`")
TEST = re.compile(r"[\w/]*\btest_\w+\.py")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    targets = [document.parent / link for link in LINK.findall(text)]
    targets += [ROOT / path for path in CODE.findall(text)]
    assert [str(target.relative_to(ROOT)) for target in targets if not target.exists()] == []


def test_the_map_of_tests_names_files_that_exist() -> None:
    """A name after a comma may stand in the folder of the path before it, or in one above."""
    missing: list[str] = []
    folder = Path("tests")
    for name in TEST.findall((ROOT / "tests" / "README.md").read_text("utf-8")):
        found = [place for place in (Path("tests"), Path(), folder, *folder.parents) if (ROOT / place / name).is_file()]
        if found:
            folder = (found[0] / name).parent
        else:
            missing.append(name)
    assert missing == []
