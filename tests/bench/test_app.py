"""What `bench app` does beside driving a browser: table, options, the copy of another revision, busy processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.app import arguments, busy, table_of
from bench.driving import ROOT, shipped_environment
from bench.driving.revision import checked_out, git

in_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this copy of the project is not under git")


def test_the_table_has_medians_maxima_and_how_many_times_as_long() -> None:
    rows = table_of({"new": [{"a": [1.0, 3.0], "b": [2.0]}, {"a": [2.0]}], "old": [{"a": [8.0], "c": [1.0]}]})
    assert rows[0] == {"measure": "a", "new": 2.0, "new, max": 3.0, "old": 8.0, "old, max": "", "times": 4.0}
    assert rows[1] == {"measure": "b", "new": 2.0, "new, max": "", "old": "", "old, max": "", "times": ""}
    assert [row["measure"] for row in rows] == ["a", "b", "c"]


def test_one_copy_alone_is_compared_with_nothing() -> None:
    assert "times" not in table_of({"new": [{"a": [1.0]}]})[0]


@pytest.mark.parametrize("words", [["--busy", "-1"], ["--rounds", "0"], ["--unknown"]])
def test_wrong_options_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        arguments(words)
    assert refused.value.code == 2


def test_the_server_gets_what_make_app_gives_it(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("FAST := A_=0 B_=17\n\napp:\n\t$(FAST) run\n", "utf-8")
    assert shipped_environment(tmp_path) == {"A_": "0", "B_": "17"}
    assert shipped_environment(ROOT)["MALLOC_MMAP_MAX_"] == "0"


@pytest.mark.slow
@in_git
def test_a_revision_is_checked_out_beside_and_removed() -> None:
    with checked_out("HEAD") as folder:
        assert (folder / "app.py").is_file()
        assert str(folder) in git("worktree", "list")
    assert not folder.exists()
    assert str(folder) not in git("worktree", "list")


@in_git
def test_an_unknown_revision_is_a_sentence() -> None:
    with pytest.raises(RuntimeError, match="git rev-parse"), checked_out("no-such-revision"):
        pass


def test_busy_processes_run_until_the_block_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    real = subprocess.Popen

    def popen(*args: object, **kwargs: object) -> subprocess.Popen[bytes]:
        started.append(real(*args, **kwargs))  # type: ignore[call-overload]
        assert kwargs["env"]["OMP_NUM_THREADS"] == "1"  # type: ignore[index]
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    with busy(2):
        assert [child.poll() for child in started] == [None, None]
    assert all(child.poll() is not None for child in started)
