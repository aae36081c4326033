"""Makes a compared model the study's model: `python -m study choose STUDY CANDIDATE`, or a saved one, `--model`."""

from __future__ import annotations

from typing import Any

from common.command import path_argument
from common.console import stop_requested
from study.comparison.choose import choose, use, why_not_chosen
from study.comparison.record import read_comparison
from study.disk.store import Study
from study.errors import StudyError


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("candidate", nargs="?", help='of a comparison, such as "photo / cox-ridge"')
    parser.add_argument("--comparison", default="main", help="whose candidate it is (default main)")
    parser.add_argument("--model", default=None, help="a saved model, by its folder under models/, such as photo")


def run(args: Any) -> int:
    from survival.errors import FitCancelled

    study = Study.open(args.study)
    if args.model is not None:
        use(study, args.model)
        print(f"{args.model} is the model of {study.name} now.")
        return 0
    comparison = read_comparison(study.path, args.comparison)
    if args.candidate is None:
        lines = [f"{c.name:<36}{why_not_chosen(c) or 'can be chosen'}" for c in comparison.candidates]
        raise StudyError("Name a candidate:\n" + "\n".join(lines))
    try:
        name = choose(study, comparison, args.candidate, lambda s: print(s, flush=True), stop_requested())
    except FitCancelled as error:
        print(f"{error}", flush=True)
        return 130
    report = study.report(name)
    harrell = report["harrell"]
    print(
        f"{report['label']} is the model of {study.name} now (models/{name}): Harrell C {harrell['value']:.3f} out of "
        f"fold over {report['patients']} patients."
    )
    return 0
