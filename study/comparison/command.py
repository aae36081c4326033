"""Compares models of a study on the same folds and keeps the result: `python -m study compare STUDY`."""

from __future__ import annotations

from typing import Any

from common.command import path_argument
from study.comparison.features import unavailable_sets
from study.comparison.measuring.added_value import clinical_models, photo_added
from study.comparison.plan import DEFAULT, DEFAULT_SETS, FEATURE_SETS, SITES, Plan
from study.comparison.record import Comparison, comparison_folder, read_comparison
from study.disk.store import Study
from study.files import check_writable
from study.printing import print_new
from survival.metrics.calibration import COX_SLOPE, measure_name

MEASURES = ("Harrell C", "Uno C", "scaled IBS", COX_SLOPE)


def comparison_text(comparison: Comparison) -> str:
    """The result as a table for a terminal, best first, with paired differences to the best clinical set."""
    c = comparison
    lines = [
        f"Comparison {c.name!r} of {c.study}: {len(c.patients)} patients, {c.events} events, {c.plan.repeats} x "
        f"{c.plan.folds} folds by patient; all results out of fold, 95 % bootstrap intervals over patients.",
        "",
        f"  {'':<44}" + "".join(f"{measure_name(m):<28}" for m in MEASURES),
    ]
    for judged in c.best_first(MEASURES[0]):
        lines.append(f"  {judged.label[:43]:<44}" + "".join(f"{_cell(c, judged.name, m):<28}" for m in MEASURES))
    lines += [f"  {x.label[:43]:<44}not fitted: {x.error}" for x in c.candidates if x.error]
    base = next(iter(clinical_models(c)), None) or c.best()
    lines += ["", f"  Harrell C minus that of {base.label}, paired:"]
    for candidate in c.models:
        if candidate.name != base.name:
            d = c.difference(candidate.name, base.name)
            lines.append(f"  {candidate.label[:43]:<44}{d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})")
    if added := photo_added(c):
        lines.append(f"  {added.both.label} against all clinical models: {added.verdict}. {added.why_open}".rstrip())
    for row in c.tables["truth"].to_dict("records"):
        who = f"{row['measure']}, {c.candidate(row['candidate']).label}" if row["candidate"] else str(row["measure"])
        lines.append(f"  {who[:60]:<62}{row['value']:.3f} ({row['low']:.3f} to {row['high']:.3f})")
    lines += [f"Note: {note}" for note in c.notes]
    return "\n".join(lines)


def _cell(c: Comparison, name: str, measure: str) -> str:
    row = c.rows("figures", candidate=name, measure=measure)
    if row.empty:
        return "-"
    value, low, high = (float(row.iloc[0][key]) for key in ("value", "low", "high"))
    return f"{value:.3f} ({low:.3f} to {high:.3f})" if low == low else ("-" if value != value else f"{value:.3f}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def add_arguments(parser: Any) -> None:
    parser.add_argument("study", type=path_argument)
    parser.add_argument("--name", default="main", help="folder under comparisons/ (default main)")
    sets = f"feature sets, separated by commas (default: all the study has but image): {', '.join(FEATURE_SETS)}"
    parser.add_argument("--features", default="", metavar="SETS", help=sets)
    models = (
        "separated by commas (default: plain Cox for columns with ten events a parameter, readouts for the photo "
        "alone, else ridge Cox; cnn: of the aligned photo)"
    )
    parser.add_argument("--models", default=DEFAULT, help=models)
    parser.add_argument("--folds", type=int, default=Plan.folds)
    parser.add_argument("--repeats", type=int, default=Plan.repeats)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--samples", type=int, default=Plan.samples, help="bootstrap samples (default 1000)")
    parser.add_argument("--shuffles", type=int, default=Plan.shuffles, help="controls with permuted outcomes")
    controls = "shortcut controls: backdrop, face, blurred and whole photo as pixels"
    parser.add_argument("--controls", action="store_true", dest="shortcuts", help=controls)
    parser.add_argument("--penalties", type=int, default=Plan.penalties, help="on a penalty path (default 50)")
    parser.add_argument("--rule", choices=("best", "1se"), default=Plan.rule, help="which penalty is selected")
    parser.add_argument(
        "--site", choices=SITES, default=Plan.site, help="pooled, a baseline hazard each, or one site alone"
    )
    parser.add_argument("--site-name", default="", help="which one, with --site single")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one per core that is left)")
    parser.add_argument("--show", action="store_true", help="print the existing result; fit nothing")


OPTIONS = ("folds", "repeats", "seed", "samples", "shuffles", "penalties", "rule", "site", "site_name")


def plan_of(args: Any) -> Plan:
    """The plan of parsed arguments. Raises StudyError."""
    values = {key: getattr(args, key) for key in (*OPTIONS, "shortcuts")}
    return Plan(_names(args.features), _names(args.models), **values)


def arguments_of(plan: Plan) -> list[str]:
    """The arguments from which `plan_of` makes this plan, defaults left out."""
    words = ["--features", ",".join(plan.features)] if plan.features else []
    words += ["--models", ",".join(plan.models)] if plan.models != Plan.models else []
    words += ["--controls"] if plan.shortcuts else []
    for key in OPTIONS:
        if (value := getattr(plan, key)) != getattr(Plan, key):
            words += [f"--{key.replace('_', '-')}", str(value)]
    return words


def run(args: Any) -> int:
    from study.comparison.run import compare, on_console
    from survival.errors import FitCancelled

    study = Study.open(args.study)
    if args.show:
        print(comparison_text(read_comparison(study.path, args.name)))
        return 0
    plan = plan_of(args)
    check_writable(comparison_folder(study.path, args.name) / "comparison.json")
    for name, why in unavailable_sets(study).items():
        if not plan.features and name in DEFAULT_SETS:
            print(f"Left out: {FEATURE_SETS[name].label}. {why}", flush=True)
    console = on_console(args)
    try:
        result = compare(study, plan, args.name, **console)
    except FitCancelled as error:
        print(f"\n{error} Run the same command again to resume.", flush=True)
        return 130
    print_new(study, comparison_text(result))
    return 0
