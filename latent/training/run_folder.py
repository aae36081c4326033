"""The run folder: settings.json, status.json, log.jsonl, samples/, checkpoint/, state.pt and its predecessor.

Everything is written to a temporary name and renamed, so a kill or a full disk at any moment leaves the last complete
version. `state.pt` holds tensors and plain values only and is read with weights_only.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
import torch

from common.files import PLAIN
from common.parsing import json_value
from latent.errors import FinetuneError

STATE, PREVIOUS, STATUS, SETTINGS, LOG = "state.pt", "state.previous.pt", "status.json", "settings.json", "log.jsonl"
STATES = ("running", "stopped", "failed", "done", "killed")
ADVERSARIAL, RECONSTRUCTION = METHODS = ("adversarial", "reconstruction")
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 92]


def open_for_writing(path: Path) -> IO[bytes]:
    """The one place where files of a run are opened for writing."""
    return path.open("wb")


def write_whole(path: Path, fill: Callable[[IO[bytes]], object]) -> None:
    """Write a file through `fill`, whole or not at all. Raises FinetuneError where the disk does not take it."""
    try:
        with PLAIN.replacing(path) as temporary, open_for_writing(temporary) as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:  # torch.save reports a failed write as either
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).splitlines()[0]
        raise FinetuneError(
            f"{path} could not be written ({reason}): make room and start the same command again; it resumes from "
            "the last state, which is complete."
        ) from error


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def method_of(settings: Mapping[str, Any]) -> str:
    """Which of METHODS a settings.json is of, those of earlier versions included."""
    if settings.get("method") in METHODS:
        return str(settings["method"])
    return RECONSTRUCTION if settings.get("command") == "warmstart" else ADVERSARIAL


def read_settings(path: Path, method: str) -> dict[str, Any]:
    """settings.json of a run of this method. Raises FinetuneError for one that cannot be resumed."""
    record = read_json(path)
    if record.get("method") not in METHODS:
        raise FinetuneError(
            f"The run in {path.parent} was started by an earlier version, and only that version can finish it: start "
            "in a new --run."
        )
    if record["method"] != method:
        raise FinetuneError(f"The run in {path.parent} is one of --method {record['method']}: choose another --run.")
    return record


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. Raises FinetuneError where there is none."""
    try:
        record = json_value(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FinetuneError(f"{path} cannot be read ({error}): start in a new --run.") from error
    if not isinstance(record, dict):
        raise FinetuneError(f"{path} is not a table of settings: start in a new --run.")
    return record


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def read_status(run: Path) -> dict[str, Any]:
    """status.json of a run; `state` is 'killed' where it says running and its process is gone.

    Raises FinetuneError where there is no run.
    """
    status = read_json(run / STATUS)
    if status.get("state") == "running" and not (type(status.get("pid")) is int and alive(status["pid"])):
        message = "The process ended without a message; the same command resumes the run."
        status |= {"state": "killed", "message": message}
    return status


class RunFolder:
    """One run's files, held by one process: `lock` first, `release` at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: IO[str] | None = None

    def lock(self) -> None:
        """Hold the folder. The lock is the kernel's, so the lock of a dead process does not block.

        Raises FinetuneError where another process holds it or the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "lock").open("a+")
        except OSError as error:
            raise FinetuneError(f"The run folder {self.path} cannot be used ({error.strerror}).") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read(20).strip() or "unknown"
            file.close()
            raise FinetuneError(
                f"Another process (pid {holder}) is at work in {self.path}: wait, stop it, or choose another --run."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self.held = file
        for left in self.path.glob(".*.tmp"):  # left half written by a kill
            if left.is_file():
                left.unlink(missing_ok=True)
        (self.path / "stop").unlink(missing_ok=True)

    def release(self) -> None:
        if self.held is not None:
            self.held.close()
            self.held = None

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write state.pt; the one before it is kept as state.previous.pt."""
        fresh = self.path / ".state.new.tmp"
        try:
            write_whole(fresh, lambda file: torch.save(dict(state), file))
        except FinetuneError as error:
            raise FinetuneError(str(error).replace(str(fresh), str(self.path / STATE))) from error
        if (self.path / STATE).exists():
            os.replace(self.path / STATE, self.path / PREVIOUS)
        os.replace(fresh, self.path / STATE)

    def load_state(self, device: torch.device) -> dict[str, Any] | None:
        """The newest readable state, None for a new run. Raises FinetuneError where there are only damaged ones."""
        present = [self.path / name for name in (STATE, PREVIOUS) if (self.path / name).exists()]
        for path in present:
            try:
                state = torch.load(path, map_location=device, weights_only=True)
            except Exception:  # whatever a damaged file raises, the one before it may be whole
                continue
            if isinstance(state, dict) and "images" in state:
                return state
        if present:
            raise FinetuneError(f"No state in {self.path} is readable: start in a new --run from its checkpoint/.")
        return None

    def start_log(self, images: int, last: str | None) -> None:
        """Bring log.jsonl to where the state is: lines after it go (their images are computed again), and the state's
        own line is added if the process ended before it was written."""
        before = [line for line in self.log() if line["images"] < images]
        text = "".join(json.dumps(line) + "\n" for line in before) + (last + "\n" if last else "")
        write_whole(self.path / LOG, lambda file: file.write(text.encode()))

    def log(self) -> list[dict[str, Any]]:
        """Lines of log.jsonl; a torn last one is left out."""
        try:
            lines = (self.path / LOG).read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                records.append(json_value(line))
            except ValueError:
                break
        return records

    def add_to_log(self, line: str) -> None:
        """Raises FinetuneError where the disk is full."""
        try:
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            raise FinetuneError(f"{self.path / LOG} could not be written ({error.strerror}): make room.") from error

    def status(self, state: str, message: str, images: int, total: int, seconds_left: float | None) -> None:
        record = {
            "state": state,
            "message": message,
            "pid": os.getpid(),
            "images": images,
            "images_total": total,
            "progress": round(min(1.0, images / total), 4),
            "seconds_left": None if seconds_left is None else round(seconds_left, 1),
            "time": time.time(),
        }
        write_json(self.path / STATUS, record)

    def save_samples(self, images: np.ndarray, seen: int) -> None:
        """samples/NNNNNNNN.jpg: uint8 (n, R, R, 3) as a square grid, named by the images seen."""
        side = int(len(images) ** 0.5)
        rows = [np.concatenate(list(images[k * side : (k + 1) * side]), axis=1) for k in range(side)]
        self.save_picture("samples", np.concatenate(rows), seen)

    def save_picture(self, kind: str, picture: np.ndarray, seen: int) -> None:
        """KIND/NNNNNNNN.jpg: uint8 (H, W, 3), named by the images seen."""
        data = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), JPEG)[1].tobytes()
        write_whole(self.path / kind / f"{seen:08d}.jpg", lambda file: file.write(data))
