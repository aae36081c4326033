"""No file executes anything, hangs, exhausts memory or leaves something behind; each is refused with one sentence."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latent.__main__ import main
from latent.errors import ImportRefused
from latent.importing import containers, import_file
from latent.importing.reader import read_networks
from tests.latent.importing import hostile_weights as hostile
from tests.latent.importing.weight_files import pt_bytes, small_rosinality_state
from tests.work import calls

CALLS_ALLOWED = 50_000_000  # generous: a refusal takes 8 million at most, an endless one any number
MEMORY = 700 << 20  # bytes beyond what torch itself takes


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with places for checkpoints and temporary files, which have to stay empty."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(place: Path, data: bytes, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a file. Checks that it is one sentence, exit code 1, and that nothing was left."""
    file = place / "weights.bin"
    file.write_bytes(data)
    codes = []
    words = ["import", str(file), "--name", "x", "--root", str(place / "checkpoints")]
    calls(lambda: codes.append(main(words)), CALLS_ALLOWED)
    assert codes == [1]
    said = capsys.readouterr()
    assert said.out == ""
    sentence(said.err)
    nothing_left(place)
    return said.err.strip()


def sentence(said: str) -> None:
    """One line that ends as a sentence does, without a traceback or control characters."""
    line = said.strip()
    assert "\n" not in line
    assert line.isprintable()
    assert line.endswith(".")
    assert len(line) < 400
    assert "Traceback" not in line


def nothing_left(place: Path) -> None:
    left = sorted(path.relative_to(place).as_posix() for path in place.rglob("*"))
    assert [name for name in left if name not in ("weights.bin", "temporary")] == []


CALLS = sorted(hostile.calls("marker"))
NETWORKS, STATES, ZIPS = hostile.networks(), hostile.state_dicts(), hostile.zips()
ENCODERS = hostile.encoders()


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_executed(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    data, said = hostile.calls(str(place / "marker"))[name]
    assert said in refused(place, data, capsys)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_networks_that_do_not_fit(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    data, said = NETWORKS[name]
    assert said in refused(place, data, capsys)


@pytest.mark.parametrize("name", sorted(STATES))
def test_state_dicts_that_do_not_fit(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    data, said = STATES[name]
    assert said in refused(place, data, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_encoders_that_do_not_fit(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    data, said = ENCODERS[name]
    assert said in refused(place, data, capsys)


@pytest.mark.parametrize("name", sorted(ZIPS))
def test_zips_that_torch_does_not_write(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    data, said = ZIPS[name]
    assert said in refused(place, data, capsys)


@pytest.mark.parametrize("name", sorted(hostile.kinds()))
def test_other_kinds_of_file(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    refused(place, hostile.kinds()[name], capsys)


@pytest.mark.parametrize("name", sorted(hostile.arguments()))
def test_allowed_names_with_other_arguments(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    refused(place, hostile.arguments()[name], capsys)


@pytest.mark.parametrize("name", sorted(hostile.shapes()))
def test_tensors_that_are_not_what_they_say(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    refused(place, hostile.shapes()[name], capsys)


def test_a_tensor_of_the_same_making_is_read(tmp_path: Path) -> None:
    """The files of the test above differ from a good one only in what they claim."""
    data = hostile.legacy_tensor("FloatStorage", (2, 2), (2, 1), 4)
    value = containers.read_container(memoryview(data))
    assert value["g_ema"]["style.1.weight"].read().shape == (2, 2)


WORKER = """
import resource, sys
from pathlib import Path
from latent.errors import ImportRefused
from latent.importing import import_file
from tests.work import calls

def refusal(file):
    try:
        import_file(file, "x", Path(sys.argv[1]) / "checkpoints")
        return "IMPORTED"
    except ImportRefused as error:
        return str(error)

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for file in sorted(Path(sys.argv[1]).iterdir()):
    said = []
    calls(lambda: said.append(refusal(file)), int(sys.argv[3]))
    print(file.name, *said, sep="\\t", flush=True)
"""


@pytest.mark.slow
def test_nothing_exhausts_memory_or_time(tmp_path: Path) -> None:
    """Every exhausting file in a process that may not take much more memory than torch has taken already."""
    files = tmp_path / "files"
    files.mkdir()
    wanted = hostile.exhausting() | hostile.shapes() | {name: data for name, (data, _) in ZIPS.items()}
    for name, data in wanted.items():
        (files / name).write_bytes(data)
    run = subprocess.run(
        [sys.executable, "-c", WORKER, str(files), str(MEMORY), str(CALLS_ALLOWED)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert run.returncode == 0, run.stderr[-2000:]
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    assert [name for name, _ in lines] == sorted(wanted)
    for name, said in lines:
        assert said != "IMPORTED", name
        assert "memory" not in said, name
        sentence(said)
    assert sorted(path.name for path in files.iterdir()) == sorted(wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(hostile.exhausting()))
def test_exhausting_files_leave_nothing(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    refused(place, hostile.exhausting()[name], capsys)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        hostile.good_pickle,
        lambda: hostile.good_pt(False),
        lambda: hostile.good_pt(True),
        lambda: hostile.good_encoder(False),
        lambda: hostile.good_encoder(True),
    ],
)
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, make) -> None:
    whole, file = make(), tmp_path / "cut"
    file.write_bytes(whole)
    read_networks(file)
    places = {*range(1, 64), *range(64, len(whole), max(1, len(whole) // 60)), *range(len(whole) - 40, len(whole))}
    for size in sorted(places):
        file.write_bytes(whole[:size])
        with pytest.raises(ImportRefused) as caught:
            read_networks(file)
        sentence(str(caught.value))


@pytest.mark.slow
@settings(max_examples=600)
@given(data=st.data())
@pytest.mark.parametrize("kind", ["pickle", "zip", "legacy"])
def test_a_changed_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    """Bytes changed at random: either the weights are still whole, or one sentence; never another error."""
    whole = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(whole) - 1) | st.integers(0, 600))
        whole[position] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("changed") / "weights"
    file.write_bytes(whole)
    try:
        generator = read_networks(file).generator
    except ImportRefused as error:
        sentence(str(error))
    else:
        assert generator.img_resolution == 8


def test_codes_too_large_for_a_sum_in_single_precision(tmp_path: Path) -> None:
    state, file = small_rosinality_state(), tmp_path / "weights.pt"
    layers = sorted(key for key in state if key.startswith("style.") and key.endswith("weight"))
    state[layers[-1]] = torch.full_like(state[layers[-1]], 1e36)
    file.write_bytes(pt_bytes({"g_ema": state}))
    assert torch.isfinite(read_networks(file).generator.mapping.w_avg).all()
    state[layers[-2]] = torch.full_like(state[layers[-2]], 1e36)
    file.write_bytes(pt_bytes({"g_ema": state}))
    with pytest.raises(ImportRefused, match="not finite"):
        read_networks(file)


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_changed_encoder_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, legacy: bool, data: st.DataObject
) -> None:
    """As above; the changes go where a file describes itself, its first part."""
    whole = bytearray(CODERS[legacy])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, 60_000) | st.integers(0, len(whole) - 1))
        whole[position] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.mktemp("changed") / "weights"
    file.write_bytes(whole)
    try:
        networks = read_networks(file)
    except ImportRefused as error:
        sentence(str(error))
    else:
        assert networks.encoder is not None
        assert (networks.encoder.num_ws, networks.encoder.w_dim) == (4, 16)


CODERS = {legacy: hostile.good_encoder(legacy) for legacy in (False, True)}
WHOLE = {"pickle": hostile.good_pickle(), "zip": hostile.good_pt(False), "legacy": hostile.good_pt(True)}


@settings(max_examples=150)
@given(tail=st.binary(max_size=200), protocol=st.integers(2, 5))
def test_random_instructions_are_refused(tmp_path_factory: pytest.TempPathFactory, tail: bytes, protocol: int) -> None:
    file = tmp_path_factory.mktemp("random") / "weights"
    file.write_bytes(b"\x80" + bytes([protocol]) + tail)
    with pytest.raises(ImportRefused) as caught:
        read_networks(file)
    sentence(str(caught.value))


def test_what_is_no_file_is_refused(place: Path) -> None:
    os.mkfifo(place / "pipe")
    server = socket.socket(socket.AF_UNIX)
    server.bind("socket")
    (place / "empty").write_bytes(b"")
    (place / "loop").symlink_to("loop")
    for name, said in {
        ".": "folder",
        "absent.pkl": "no file",
        "pipe": "ordinary",
        "socket": "ordinary",
        "/dev/zero": "ordinary",
        "empty": "empty",
        "loop": "cannot be opened",
        "a\0b": "cannot be opened",
        "x" * 5000: "cannot be opened",
    }.items():
        with pytest.raises(ImportRefused, match=said):
            import_file(Path(name), "x", place / "checkpoints")
    server.close()
    assert not (place / "checkpoints").exists()


def test_a_file_that_is_too_large_is_not_even_opened(place: Path) -> None:
    file = place / "sparse.pkl"
    with file.open("wb") as sparse:
        sparse.truncate(containers.MAX_FILE_BYTES + 1)
    with pytest.raises(ImportRefused, match="larger than 2 GB"):
        import_file(file, "x", place / "checkpoints")


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../x", "a\\b", "a" * 65, "nul\0", "-rf", "ä"])
def test_names_that_leave_the_root_are_refused(place: Path, name: str) -> None:
    file = place / "weights.bin"
    file.write_bytes(hostile.good_pickle())
    with pytest.raises(ImportRefused, match="cannot be the name"):
        import_file(file, name, place / "checkpoints")
    nothing_left(place)


def test_a_full_disk_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    file = place / "weights.bin"
    file.write_bytes(hostile.good_pickle())
    monkeypatch.setattr("common.files.os.replace", full)
    with pytest.raises(ImportRefused, match="No space left"):
        import_file(file, "x", place / "checkpoints")
    assert [path for path in (place / "checkpoints").rglob("*") if path.is_file()] == []
    assert not re.search("tmp", " ".join(map(str, (place / "checkpoints").iterdir())))


def test_the_memory_limit_of_these_tests_is_real() -> None:
    """The limit under which exhausting files are read does stop something that takes memory."""
    script = f"import resource\nresource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))\nb'x' * (1 << 30)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "MemoryError" in run.stderr
