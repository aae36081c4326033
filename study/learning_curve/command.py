"""`python -m study learning-curve`: how well the model predicts by the number of patients."""

from __future__ import annotations

from typing import Any

from common.command import path_argument
from study.comparison.plan import DEFAULT, FEATURE_SETS, Plan
from study.comparison.provenance import stale_reasons
from study.disk.places import LEARNING_CURVE
from study.disk.store import Study
from study.errors import StudyError
from study.files import check_writable
from study.learning_curve.record import REPEATS, SHARE, C, learning_curve_text, read_learning_curve
from study.printing import print_new, print_stored


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("--features", default="", choices=("", *FEATURE_SETS), help="default: photo, else clinical")
    parser.add_argument("--model", default=DEFAULT, help="of `compare`, whose default model it is if none is named")
    parser.add_argument("--sizes", default="", metavar="NUMBERS", help="of patients, separated by commas")
    parser.add_argument("--repeats", type=int, default=REPEATS, help=f"of the folds (default {REPEATS})")
    parser.add_argument("--folds", type=int, default=Plan.folds)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--target-c", type=float, help="how many patients for this C")
    parser.add_argument("--target-share", type=float, help="of a simulated study: for this recovered share")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core that is left)")
    parser.add_argument("--show", action="store_true", help="print the existing result; fit nothing")


def sizes_of(text: str) -> tuple[int, ...]:
    """Numbers of patients from words. Raises StudyError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not all(word.isascii() and word.isdigit() and 0 < len(word) < 8 for word in words):
        raise StudyError("--sizes: give whole numbers of patients, separated by commas, as in 100,200,400.")
    return tuple(int(word) for word in words)


def run(args: Any) -> int:
    study = Study.open(args.study)
    if args.show:
        result = read_learning_curve(study)
        print_stored(learning_curve_text(result), stale_reasons(study, result))
        return 0
    from study.comparison.run import on_console
    from study.learning_curve.run import curve_plan, learn
    from survival.errors import FitCancelled

    check_writable(study.path / LEARNING_CURVE)
    asked = [(C, args.target_c), (SHARE, args.target_share)]
    targets = [(measure, value) for measure, value in asked if value is not None]
    if not all(0.5 < value < 1 if measure == C else 0 < value < 1 for measure, value in targets):
        raise StudyError("A target of C lies between 0.5 and 1, one of the recovered share between 0 and 1.")
    plan = curve_plan(study, args.features, args.model, folds=args.folds, repeats=args.repeats, seed=args.seed)
    try:
        result = learn(study, plan, sizes_of(args.sizes), targets, **on_console(args))
    except FitCancelled as error:
        print(f"\n{error} Run the same command again to resume.", flush=True)
        return 130
    print_new(study, learning_curve_text(result))
    return 0
