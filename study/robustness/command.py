"""`python -m study robustness`: how far the score moves when only the photo changes."""

from __future__ import annotations

from typing import Any

from common.command import path_argument
from common.text import interval
from study.disk.places import CHECKPOINT_HELP
from study.disk.store import Study
from study.files import check_writable
from study.printing import print_new, print_stored
from study.robustness.record import FILE_NAME, PATIENTS, Interval, Robustness, read_robustness, stale_reasons


def robustness_text(result: Robustness) -> str:
    """The result as a table for a terminal."""
    lines = [
        f"Model {result.model!r} of {result.study}: {result.patients} patients drawn by seed {result.seed}, preset "
        f"{result.preset}. Change of the log hazard ratio in standard deviations of the cohort ({result.sd:.3f}), "
        "95 % bootstrap intervals over patients.",
        "",
        f"  {'':<26}{'mean':<26}{'mean size':<26}{'largest':<10}patients",
    ]
    for c in result.conditions:
        failed = f" ({c.failed} without a face)" if c.failed else ""
        cells = f"{_words(c.mean, True):<26}{_words(c.size):<26}{c.largest:<10.2f}"
        lines.append(f"  {c.label:<26}{cells}{c.patients}{failed}")
    lines += [
        f"  {'All changes':<26}{'':<26}{_words(result.size)}",
        "",
        f"  ICC(2,1) over all conditions, {result.complete} patients: {_words(result.icc)}",
    ]
    if result.again == result.again:
        lines.append(f"  Unchanged photos against the study's codes: at most {result.again:.2g} standard deviations.")
    return "\n".join([*lines, *(f"Note: {sentence}" for sentence in result.caveats)])


def _words(e: Interval, sign: bool = False) -> str:
    return interval(e.value, e.low, e.high, 2, sign)


def add_arguments(parser: Any) -> None:
    from study.robustness.perturb import PERTURBATIONS

    parser.add_argument("study", type=path_argument)
    parser.add_argument("--patients", type=int, default=PATIENTS, help=f"drawn at random (default {PATIENTS})")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    help_text = f"separated by commas (default all): {', '.join(PERTURBATIONS)}"
    parser.add_argument("--changes", default="", metavar="NAMES", help=help_text)
    parser.add_argument("--batch", type=int, default=12, help="photos inverted together (default 12)")
    parser.add_argument("--checkpoint", type=path_argument, help=CHECKPOINT_HELP)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--show", action="store_true", help="print the existing result")


def run(args: Any) -> int:
    study = Study.open(args.study)
    if args.show:
        result = read_robustness(study)
        print_stored(robustness_text(result), stale_reasons(study, result))
        return 0
    # Imported here: torch takes seconds, and --help needs none of it.
    from common.console import ProgressLine, stop_requested
    from latent.errors import Cancelled
    from study.photos.prepare import study_checkpoint
    from study.robustness.measure import robustness

    check_writable(study.path / FILE_NAME)
    names = tuple(dict.fromkeys(word.strip() for word in args.changes.split(",") if word.strip()))
    checkpoint = study_checkpoint(study, args.checkpoint, args.device)
    try:
        result = robustness(
            study,
            checkpoint,
            patients=args.patients,
            seed=args.seed,
            changes=names,
            batch=args.batch,
            on_progress=ProgressLine("photos"),
            cancelled=stop_requested(),
        )
    except Cancelled:
        print("\nStopped; finished photos are kept. Run the same command again to resume.", flush=True)
        return 130
    print_new(study, robustness_text(result))
    return 0
