"""`python -m bench NAME [OPTIONS]`: run bench/NAME.py, which prints its table, and keep its numbers as JSON."""

import importlib
import inspect
import shlex
import sys
from pathlib import Path

from bench.parts.common import write_json
from common import threads
from common.command import Parser, guarded
from faces.errors import FaceError
from latent.errors import LatentError
from study.errors import StudyError
from survival.errors import SurvivalError

SHARED = {"__init__", "__main__", "driving", "parts"}
OF_OTHER_PROCESSES = {"app", "embed", "measurements"}  # they compute nothing themselves, and hold no cores
REFUSALS = (StudyError, FaceError, LatentError, SurvivalError)


def available() -> list[str]:
    """Names of the benchmarks: every module and package here but those that they share."""
    here = Path(__file__).parent
    packages = {file.parent.name for file in here.glob("*/__init__.py")}
    return sorted((packages | {file.stem for file in here.glob("*.py")}) - SHARED)


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark (its `run()` returns a record, or None); 0 when its table was printed and its JSON written."""
    parser = Parser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=available())
    options, others = parser.parse_known_args(arguments)

    def work() -> int:
        if options.name not in OF_OTHER_PROCESSES:
            threads.announce(f"bench {options.name}")
        run = importlib.import_module(f"bench.{options.name}").run
        if others and not inspect.signature(run).parameters:
            parser.error(f"{options.name} takes no options: {' '.join(others)}")
        result = run(others) if others else run()
        if result is not None:
            command = shlex.join(["python", "-m", "bench", options.name, *others])
            print(f"\nwritten: {write_json(options.name, result, command)}")
        return 0

    return guarded(f"bench {options.name}", REFUSALS, work)


if __name__ == "__main__":
    sys.exit(main())
