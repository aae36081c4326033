"""`python -m study robustness`: how far the score moves when only the photo changes."""

from __future__ import annotations

from typing import Any

from common.command import path_argument
from study.disk.store import Study
from study.files import check_writable
from study.robustness.record import FILE_NAME, Figure, Robustness, read_robustness, stale_reasons

PATIENTS = 20


def robustness_text(found: Robustness) -> str:
    """The result as a table for a terminal."""
    lines = [
        f"Model {found.model!r} of {found.study}: {found.patients} patients drawn by seed {found.seed}, preset "
        f"{found.preset}. Change of the log hazard ratio in standard deviations of the cohort ({found.sd:.3f}), "
        "95 % bootstrap intervals over patients.",
        "",
        f"  {'':<26}{'mean':<26}{'mean size':<26}{'largest':<10}patients",
    ]
    for c in found.conditions:
        failed = f" ({c.failed} without a face)" if c.failed else ""
        cells = f"{_words(c.mean, True):<26}{_words(c.size):<26}{c.largest:<10.2f}"
        lines.append(f"  {c.label:<26}{cells}{c.patients}{failed}")
    lines += [
        f"  {'All changes':<26}{'':<26}{_words(found.size)}",
        "",
        f"  ICC(2,1) over all conditions, {found.complete} patients: {_words(found.icc)}",
    ]
    if found.again == found.again:
        lines.append(f"  Unchanged photos against the study's codes: at most {found.again:.2g} standard deviations.")
    if found.aligned:
        lines.append("Note: photos count as aligned already, so nothing undoes a turn or another crop.")
    if found.patients < PATIENTS:
        lines.append(f"Note: {found.patients} patients are few; intervals over so few are rough.")
    return "\n".join(lines)


def _words(figure: Figure, signed: bool = False) -> str:
    sign = "+" if signed else ""
    if figure.value != figure.value:
        return "not known"
    if figure.low != figure.low:
        return f"{figure.value:{sign}.2f}"
    return f"{figure.value:{sign}.2f} ({figure.low:{sign}.2f} to {figure.high:{sign}.2f})"


def add_arguments(parser: Any) -> None:
    from study.robustness.perturb import PERTURBATIONS

    parser.add_argument("study", type=path_argument)
    parser.add_argument("--patients", type=int, default=PATIENTS, help=f"drawn at random (default {PATIENTS})")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    told = f"separated by commas (default all): {', '.join(PERTURBATIONS)}"
    parser.add_argument("--changes", default="", metavar="NAMES", help=told)
    parser.add_argument("--batch", type=int, default=12, help="photos inverted together (default 12)")
    parser.add_argument(
        "--checkpoint", type=path_argument, default=None, help="folder or name (default: as in study.toml)"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--show", action="store_true", help="print the result that is there")


def run(args: Any) -> int:
    study = Study.open(args.study)
    if args.show:
        found = read_robustness(study)
        print(robustness_text(found))
        for reason in stale_reasons(study, found):
            print(f"Out of date: {reason}")
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
        found = robustness(
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
        print("\nStopped; codes that were found are kept. Run the same command again to go on.", flush=True)
        return 130
    print(robustness_text(found))
    if study.simulated:
        print(f"{study.name} is a simulated study: the figures say nothing about real people.")
    return 0
