"""`python -m bench NAME`: run bench/NAME.py, which prints its table, and keep its numbers as JSON."""

import argparse
import importlib
import sys
from pathlib import Path

from bench.common import write_json


def available() -> list[str]:
    """Names of the benchmarks: every module here but this one and the shared code."""
    here = Path(__file__).parent
    return sorted(file.stem for file in here.glob("*.py") if file.stem not in {"__init__", "__main__", "common"})


def main(arguments: list[str] | None = None) -> int:
    """Run one benchmark (its `run() -> dict`); 0 when its table was printed and its JSON written."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=available())
    name = parser.parse_args(arguments).name
    result = importlib.import_module(f"bench.{name}").run()
    print(f"\nwritten: {write_json(name, result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
