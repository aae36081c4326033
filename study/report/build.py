"""The report of a study as one self-contained HTML file."""

from __future__ import annotations

from datetime import UTC, datetime

from common.html import Html, join, tag
from study.disk.store import Study
from study.report.facts import Facts, Progress, gather
from study.report.page import page, paragraph
from study.report.sections import (
    card,
    cohort,
    detail,
    learning,
    methods,
    models,
    provenance,
    robustness,
    subgroups,
    summary,
    tripod,
)

PARTS = (
    ("summary", "Summary", summary.summary),
    ("patients", "Patients", cohort.cohort),
    ("methods", "Methods, as run", methods.methods),
    ("models", "Models compared", models.models),
    ("detail", "Models in detail", detail.detail),
    ("subgroups", "Subgroups", subgroups.subgroups),
    ("learning", "Learning curve", learning.learning),
    ("robustness", "Robustness and shortcuts", robustness.robustness),
    ("tripod", "TRIPOD+AI checklist", tripod.checklist),
    ("card", "Model card", card.card),
    ("reproducibility", "Reproducibility", provenance.provenance),
)


def report_html(
    study: Study,
    model: str | None = None,
    comparison: str | None = None,
    *,
    when: datetime | None = None,
    on_progress: Progress | None = None,
) -> bytes:
    """The whole report, UTF-8. The same study gives the same bytes but for the one line that says when.

    model : name under models/, None: the study's chosen one. comparison : name under comparisons/, None: "main" or
    the only one. when : None: now. on_progress : called with what is being done.
    Raises StudyError, one sentence, for what is missing or damaged.
    """
    facts = gather(study, model, comparison, on_progress)
    if on_progress is not None:
        on_progress("Figures and page")
    return document(facts, when or datetime.now(UTC))


def document(facts: Facts, when: datetime) -> bytes:
    """The page of facts that were gathered."""
    written = [(place, title, part(facts)) for place, title, part in PARTS]
    written = [(place, title, part) for place, title, part in written if part]
    contents = tag("nav", tag("ol", *(tag("li", tag("a", title, href=f"#{place}")) for place, title, _ in written)))
    words = "Made by Latent Health (GPL-3.0-or-later) from files of the study; nothing was typed by hand."
    foot = tag("footer", paragraph(words))
    body = join([_head(facts, when), contents, tag("main", *(part for _, _, part in written)), foot], "\n")
    return page(f"{facts.study.settings.title} – report", body)


def _head(facts: Facts, when: datetime) -> Html:
    status = "Simulated patients" if facts.study.simulated else "Research use only"
    c = facts.comparison
    about = f"Study {facts.study.name}" + (f", comparison {c.name} made {c.made}" if c is not None else "")
    stamp = when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return join(
        [
            tag("header", tag("h1", facts.study.settings.title), paragraph(tag("span", status, class_="badge"), about)),
            tag("p", f"Written {stamp}", class_="date"),  # the only line that differs between two runs
        ],
        "\n",
    )
