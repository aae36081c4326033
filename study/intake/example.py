"""`python -m study example`: real cohorts that come with scikit-survival, as studies of clinical columns alone.

Nothing is downloaded and nothing is kept in the repository: the installed package holds the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from common.command import folder_argument
from study.disk.places import ROOT_HELP, studies_root
from study.disk.store import inspect
from study.errors import Findings, StudyError
from study.files import csv_text
from study.intake.make import intake
from study.settings import Columns, Covariate, Settings

PACKAGE = "scikit-survival, sksurv.datasets"


@dataclass(frozen=True)
class Example:
    """A cohort of the package. load: name of its function in sksurv.datasets. words: columns of words, the others are
    numbers; fixed: meaning -> column, of those that study.toml has a meaning for; drop: what belongs into no model."""

    load: str
    title: str
    citation: str
    horizons: tuple[float, ...]
    words: tuple[str, ...]
    fixed: dict[str, str] = field(default_factory=lambda: {"age": "age"})
    drop: tuple[str, ...] = ()
    about: str = ""


EXAMPLES = {
    "veteran": Example(
        "load_veterans_lung_cancer",
        "Veterans' Administration lung cancer trial",
        "Kalbfleisch and Prentice 2002, The Statistical Analysis of Failure Time Data, 2nd edition",
        (90.0, 180.0, 365.0),
        ("celltype", "prior_therapy", "treatment"),
        {"age": "age_in_years"},
        about="137 men with inoperable lung cancer, two treatments.",
    ),
    "gbsg2": Example(
        "load_gbsg2",
        "German Breast Cancer Study Group 2, recurrence-free survival",
        "Schumacher et al. 1994, J Clin Oncol 12:2086",
        (365.0, 1095.0, 1825.0),
        ("horth", "menostat", "tgrade"),
        about="686 women with node-positive breast cancer.",
    ),
    "whas500": Example(
        "load_whas500",
        "Worcester Heart Attack Study, 500 patients",
        "Hosmer, Lemeshow and May 2008, Applied Survival Analysis, 2nd edition",
        (30.0, 365.0, 1095.0),
        ("afb", "av3", "chf", "cvd", "gender", "miord", "mitype", "sho"),
        about="500 patients admitted with a heart attack.",
    ),
    "flchain": Example(
        "load_flchain",
        "Serum free light chain and mortality, Olmsted County",
        "Dispenzieri et al. 2012, Mayo Clin Proc 87:517; Kyle et al. 2006, N Engl J Med 354:1362",
        (1825.0, 3650.0),
        ("sex", "mgus"),
        {"age": "age", "sex": "sex"},
        # The cause of death is known of the dead alone, so it would reveal the outcome; the group is derived from the
        # sum of the two light chains.
        ("chapter", "flc.grp"),
        about="7,871 people aged 50 or over. Three whose follow-up ended on the first day are left out.",
    ),
}


def example_settings(name: str, called: str | None = None) -> tuple[Settings, pd.DataFrame]:
    """study.toml of an example, and its table as the package has it: patient_id, time in days, event and covariates,
    names in lower case. Raises StudyError for an unknown one."""
    from sksurv import datasets

    if name not in EXAMPLES:
        raise StudyError(f"There is no example {name[:60]!r}: choose one of {', '.join(EXAMPLES)}.")
    example = EXAMPLES[name]
    load: Callable[[], tuple[pd.DataFrame, Any]] = getattr(datasets, example.load)
    features, outcome = load()
    event, time = (outcome[name] for name in outcome.dtype.names)
    features = features.rename(columns=str.lower).drop(columns=list(example.drop)).reset_index(drop=True)
    ids = [f"P{i + 1:0{len(str(len(features)))}d}" for i in range(len(features))]
    table = pd.DataFrame({"patient_id": ids, "time": time, "event": event.astype(int)})
    table = pd.concat([table, features], axis=1)[time > 0]
    rest = [c for c in table.columns[3:] if c not in example.fixed.values()]
    covariates = tuple(_covariate(table, c, c in example.words) for c in rest)
    settings = Settings(
        name=called or name,
        title=example.title,
        time_unit="days",
        horizons=example.horizons,
        columns=replace(Columns(), time="time", **example.fixed),
        covariates=covariates,
        source=f"{PACKAGE}.{example.load}",
        citation=example.citation,
    )
    return settings, table


def _covariate(table: pd.DataFrame, column: str, word: bool) -> Covariate:
    name = column.replace(".", "_")
    where = "" if name == column else column
    label = name.replace("_", " ") if "_" in name else ""
    levels = tuple(sorted(str(v) for v in table[column].dropna().unique())) if word else ()
    return Covariate(name, "categorical" if word else "numeric", where, levels, label=label)


def write_example(name: str, root: Path, called: str | None = None) -> tuple[Path, Findings]:
    """Makes a study of the example under `root`; returns its folder and what was found. Raises StudyError, and leaves
    nothing, where the name is taken."""
    settings, table = example_settings(name, called)
    return intake(root, settings, csv_text(table).encode())


def add_arguments(parser: Any) -> None:
    help_text = "; ".join(f"{name}: {e.about.split('.')[0]}" for name, e in EXAMPLES.items())
    parser.add_argument("name", choices=tuple(EXAMPLES), help=help_text)
    parser.add_argument("--called", help="name of the study (default: the example's)")
    parser.add_argument("--root", type=folder_argument, default=studies_root(), help=ROOT_HELP)


def run(args: Any) -> int:
    folder, findings = write_example(args.name, args.root, args.called)
    for finding in findings:
        print(f"{finding.severity:<8}{finding}")
    table, about = inspect(folder)[0].patients, EXAMPLES[args.name]
    print(f"{folder}: {about.title}. {len(table):,} patients, {int(table['event'].sum()):,} events, no photos.")
    print(f"Cite: {about.citation}.")
    return 0
