"""`python -m bench embed`: photos a second of the embedding with one and two workers of one core, in processes and on
two local Ray nodes, and whether all give the same codes; what 1, 2 and 4 views of each photo take; then what the steps
around the search take, here and at the revision before.

The Ray nodes are started here, one core each, and ended with the benchmark; without Ray only the local engine is
measured. A rate counts from the first finished block to the last: loading is paid once, however large a cohort is.
Options: `--photos 32 --batch 4 --rounds 1 --checkpoint portraits --step-photos 600 --against REV`; `--only engines`,
`--only views` or `--only steps` for one of the three.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.driving import ROOT
from bench.driving.revision import checked_out, git, parent
from bench.parts.common import machine, print_table
from common.command import Parser
from common.threads import worker_environment
from study.disk.latents import read_latents
from study.disk.places import resolve
from study.disk.store import Study
from study.embedding.blocks import Engine, MakeWorker
from study.embedding.command import embed_with
from study.embedding.local import Processes
from study.files import write_text
from study.photos.prepare import study_checkpoint
from study.settings import settings_text

AGREEMENT = 2**-9  # a step of half precision between 2 and 4
VIEWS = (1, 2, 4)  # of each photo, whose cost is measured
PORT = 6391
START_SECONDS = 300.0
GOAL, STEPS_GOAL = 1.7, 2.0  # times as fast: two Ray nodes as one, the steps as before
STEPS = ("quality", "embed", "compare", "robustness")  # those that read photos
SCRIPT = ROOT / "bench" / "driving" / "steps.py"


def part_of(study: Study, folder: Path, photos: int) -> Study:
    """A study of the first patients of another, photos linked."""
    lines = (study.path / "patients.csv").read_text(encoding="utf-8").splitlines()
    write_text(folder / "patients.csv", "\n".join(lines[: photos + 1]) + "\n")
    write_text(folder / "study.toml", settings_text(study.settings))
    (folder / "photos").mkdir()
    for path in list(study.photos.values())[:photos]:
        shutil.copyfile(path, folder / "photos" / path.name)
    return Study.open(folder)


@contextmanager
def ray_nodes(count: int) -> Iterator[str]:
    """Address of a cluster of `count` nodes of one core each on this machine; all are ended afterwards."""
    address = f"127.0.0.1:{PORT}"
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    environment |= {"RAY_worker_niceness": "0", "RAY_agent_register_timeout_ms": str(int(1000 * START_SECONDS))}
    os.environ |= {name: value for name, value in environment.items() if name.startswith("RAY_")}
    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # sockets: a long path is refused
    common = ["--num-cpus=1", "--object-store-memory=134217728", "--block"]
    head = ["--head", "--node-ip-address=127.0.0.1", f"--port={PORT}", "--include-dashboard=false"]
    start = [sys.executable, "-m", "ray.scripts.scripts", "start"]
    nodes: list[subprocess.Popen[bytes]] = []
    try:
        for i in range(count):
            where = [*head, f"--temp-dir={temporary}"] if i == 0 else [f"--address={address}"]
            quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            nodes.append(subprocess.Popen([*start, *where, *common], env=environment, start_new_session=True, **quiet))
            wait_for_nodes(address, i + 1)
        yield address
    finally:
        for node in reversed(nodes):
            node.send_signal(signal.SIGTERM)
            try:
                node.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(node.pid, signal.SIGKILL)
                node.wait()
        shutil.rmtree(temporary, ignore_errors=True)


def wait_for_nodes(address: str, count: int) -> None:
    """Returns when so many nodes answer; RuntimeError when they do not in time."""
    look = (
        f"import ray; ray.init('{address}', log_to_driver=False); print('alive', sum(n['Alive'] for n in ray.nodes()))"
    )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        answer = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
        if f"alive {count}" in answer.stdout:
            return
        time.sleep(1)
    raise RuntimeError(f"{count} Ray nodes did not come up in {START_SECONDS:.0f} s: {answer.stderr[-300:]}")


class TimedEngine:
    """An engine, its rates and times, and its codes."""

    def __init__(self, name: str, make_engine: Callable[[MakeWorker], Engine]) -> None:
        self.name, self.make_engine = name, make_engine
        self.rates: list[float] = []
        self.whole: list[float] = []
        self.codes = np.empty(0, np.float32)

    def turn(self, source: Study, photos: int, batch: int, checkpoint: str | None) -> None:
        """One embedding of a fresh copy."""
        seen: list[tuple[float, float]] = []

        def on_progress(done: int, total: int) -> None:
            if done > (seen[-1][1] if seen else 0):
                seen.append((time.perf_counter(), done))

        with tempfile.TemporaryDirectory() as folder:
            study = part_of(source, Path(folder), photos)
            began = time.perf_counter()
            embed_with(study, study_checkpoint(study, checkpoint), self.make_engine, batch, on_progress)
            self.whole.append(time.perf_counter() - began)
            self.codes = np.array(read_latents(study.path)[0].ws)
        (first, before), (last, after) = seen[0], seen[-1]
        self.rates.append((after - before) / (last - first))


def run(arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Print the tables; the numbers as a dict. Raises RuntimeError where engines or revisions disagree."""
    parser = Parser(prog="python -m bench embed")
    parser.add_argument("--study", default="demo")
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--checkpoint")
    parser.add_argument("--step-photos", type=int, default=600)
    parser.add_argument("--against", default="", metavar="REV")
    parser.add_argument("--only", choices=("engines", "views", "steps"))
    options = parser.parse_args(list(arguments))
    result = _engines(options) if options.only in (None, "engines") else {}
    if options.only in (None, "views"):
        result["views"] = _views(options)
    if options.only in (None, "steps"):
        steps = compare_steps(options.study, options.step_photos, options.rounds, options.against)
        result |= {"step_seconds": steps.pop("rows"), "steps": steps}
    return result


def _engines(options: argparse.Namespace) -> dict[str, Any]:
    """The table of the engines. Raises RuntimeError where two of them give different codes."""
    source = Study.open(resolve(options.study))
    engines = [TimedEngine(f"local, {n} processes", partial(Processes, devices=["cpu"] * n)) for n in (1, 2)]
    if importlib.util.find_spec("ray") is None:
        print("Ray is not installed (requirements-scale.txt): the local engine alone.")
        _turns(engines, source, options)
    else:
        with ray_nodes(2) as address:
            from study.embedding.ray_engine import RayEngine

            ray = partial(RayEngine, device="cpu", address=address)
            engines += [TimedEngine(f"ray, {n} nodes", partial(ray, workers=n)) for n in (1, 2)]
            _turns(engines, source, options)
    difference = max(float(np.abs(engine.codes - engines[0].codes).max()) for engine in engines)
    if difference > AGREEMENT:
        raise RuntimeError(f"the engines disagree: codes differ by up to {difference:.2g}")
    rates = {engine.name: statistics.median(engine.rates) for engine in engines}
    rows = [
        {
            "engine": engine.name,
            "photos/s": rates[engine.name],
            "times one worker": rates[engine.name] / rates[engines[i - i % 2].name],
            "whole seconds": statistics.median(engine.whole),
        }
        for i, engine in enumerate(engines)
    ]
    title = f"Embedding {options.photos} photos of {source.name}, blocks of {options.batch}, one core a worker"
    print_table(rows, f"{title}; codes differ by at most {difference:.2g}; goal with two Ray nodes: {GOAL} times")
    return {"photos": options.photos, "batch": options.batch, "difference": difference, "goal": GOAL, "rows": rows}


def _turns(engines: list[TimedEngine], source: Study, options: argparse.Namespace) -> None:
    for turn in range(options.rounds):
        for engine in engines[:: 1 if turn % 2 == 0 else -1]:
            engine.turn(source, options.photos, options.batch, options.checkpoint)


def _views(options: argparse.Namespace) -> list[dict[str, object]]:
    """The table of the numbers of views, in turns, one process of one core."""
    study = Study.open(resolve(options.study))
    sources = {views: replace(study, settings=replace(study.settings, views=views)) for views in VIEWS}
    engines = {views: TimedEngine(f"{views}", partial(Processes, devices=["cpu"])) for views in VIEWS}
    for turn in range(options.rounds):
        for views in VIEWS[:: 1 if turn % 2 == 0 else -1]:
            engines[views].turn(sources[views], options.photos, options.batch, options.checkpoint)
    seconds = {views: 1 / statistics.median(engine.rates) for views, engine in engines.items()}
    rows: list[dict[str, object]] = [
        {"views": views, "seconds a photo": value, "times one view": value / seconds[1]}
        for views, value in seconds.items()
    ]
    size = f"{options.photos} photos of {study.name}, blocks of {options.batch}, one core"
    print_table(rows, f"Views of each photo: {size}; {machine()['cpu']}")
    return rows


def drive_steps(root: Path, study: str, photos: int) -> dict[str, Any]:
    """What `steps.py` prints in a copy of the project. Raises RuntimeError with its last words."""
    environment = {**os.environ, **worker_environment(1), "PYTHONPATH": str(root)}
    command = [sys.executable, str(SCRIPT), str(root / "studies" / study), str(photos)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the steps failed: {done.stderr.strip()[-500:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare_steps(study: str, photos: int, rounds: int, against: str = "") -> dict[str, Any]:
    """Print the table; the numbers as a dict. against: a revision, "" for this commit's parent.

    Raises RuntimeError where the revisions align faces differently.
    """
    revision = against or parent()
    name = git("rev-parse", "--short", revision)
    with checked_out(revision) as copy:
        roots = {name: copy, "here": ROOT}
        runs: dict[str, list[dict[str, Any]]] = {label: [] for label in roots}
        for turn in range(rounds):
            for label in list(roots)[:: 1 if turn % 2 == 0 else -1]:
                runs[label].append(drive_steps(roots[label], study, photos))
    if len({each["codes"] for made in runs.values() for each in made}) > 1:
        raise RuntimeError(f"{name} and this revision do not align the same faces")
    rows: list[dict[str, object]] = []
    for step in (*STEPS, "together"):
        seconds = {
            label: statistics.median(
                sum(each["seconds"].values()) if step == "together" else each["seconds"][step] for each in made
            )
            for label, made in runs.items()
        }
        rows.append({"step": step, **seconds, "times": seconds[name] / seconds["here"]})
    title = f"Steps that read photos, without the search for codes: {photos} photos of {study}, one thread, seconds"
    print_table(rows, f"{title}; aligned faces are equal; goal together: {STEPS_GOAL} times")
    return {"photos": photos, "against": name, "goal": STEPS_GOAL, "rows": rows}
