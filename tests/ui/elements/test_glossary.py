"""docs/glossary.md is the one source of terms: every key the app asks for is in it, in short plain sentences."""

import ast
from pathlib import Path

import pytest

from ui.elements import glossary

ROOT = Path(__file__).resolve().parents[3]


def keys_used() -> dict[str, str]:
    """Every literal key of `GLOSSARY["..."]` in ui and pages, with the file that uses it."""
    used = {}
    for file in [*(ROOT / "ui").rglob("*.py"), *(ROOT / "pages").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Subscript)
                and isinstance(node.value, ast.Name | ast.Attribute)
                and ast.unparse(node.value).split(".")[-1] == "GLOSSARY"
                and isinstance(node.slice, ast.Constant)
            ):
                used[str(node.slice.value)] = str(file.relative_to(ROOT))
    return used


def test_every_key_that_the_app_uses_is_defined():
    used = keys_used()
    assert len(used) > 10
    assert {key: file for key, file in used.items() if key not in glossary.GLOSSARY} == {}
    assert {"coefficients", "pattern", "LPIPS (AlexNet)", "Face-feature distance (dlib)"} <= set(glossary.GLOSSARY)


def test_entries_are_short_sentences_without_markup():
    for key, sentence in glossary.GLOSSARY.items():
        assert 30 < len(sentence) < 400, key
        assert sentence.endswith("."), key
        assert not set("*`[]<>_") & set(sentence), key


def test_a_missing_file_and_bad_lines_are_one_sentence(tmp_path):
    with pytest.raises(glossary.GlossaryError, match="cannot be read"):
        glossary.read(tmp_path / "none.md")
    file = tmp_path / "glossary.md"
    file.write_text("# Terms\n\n**Fold** (fold): no key.\n", encoding="utf-8")
    with pytest.raises(glossary.GlossaryError, match="line 3"):
        glossary.read(file)
    twice = tmp_path / "twice.md"
    twice.write_text("**A** (`a`): One.\n**B** (`a`): Two.\n", encoding="utf-8")
    with pytest.raises(glossary.GlossaryError, match="occurs twice"):
        glossary.read(twice)
