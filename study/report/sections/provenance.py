"""What a second run needs to reproduce the numbers: commands, seeds, versions, digests."""

from __future__ import annotations

from common.html import Html, tag
from study.comparison.record import Comparison
from study.report.facts import Facts
from study.report.page import bullets, note, paragraph, section, subsection, table


def provenance(facts: Facts) -> Html:
    """Section Reproducibility."""
    c = facts.comparison
    parts = [subsection("Commands", bullets([tag("code", line) for line in _commands(facts)]))]
    parts.append(subsection("Seeds", paragraph(_seeds(facts))))
    parts.append(subsection("Versions", _versions(facts)))
    rows = [(name, tag("code", digest)) for name, digest in facts.digests.items()]
    if c is not None:
        table_sha256, codes = str(c.provenance.get("table_sha256", "not known")), c.provenance.get("latents_sha256")
        rows.append(("patients, outcomes and covariates of the comparison", tag("code", table_sha256)))
        rows += [("codes of the comparison", tag("code", str(codes)))] if codes is not None else []
    if facts.study.has_latents:
        e = facts.study.embedding
        rows.append((f"checkpoint {e.checkpoint}", tag("code", e.checkpoint_sha256)))
    parts.append(subsection("SHA-256 of the data", table(("What", "Digest"), rows, numbers=9)))
    parts.append(
        note(
            "The same study and the same versions give the same report, byte for byte except for the line with the "
            "date. Values can differ in the last digits between processors."
        )
    )
    return section("reproducibility", "Reproducibility", *parts)


def _commands(facts: Facts) -> list[str]:
    name = facts.study.name
    lines = [f"python -m study check {name}"]
    c = facts.comparison
    if facts.study.has_latents:
        lines.append(f"python -m study embed {name}")
    comparison, candidate = facts.chosen_from
    if facts.fitted_report is not None and not comparison:
        r = facts.fitted_report
        penalty = candidate.rpartition("cox-")[2]
        lines.append(
            f"python -m study fit {name} --name {facts.model} --penalty {penalty} --folds {r['folds']} "
            f"--repeats {r['repeats']} --seed {r['seed']}"
        )
    if c is not None:
        lines.append(_compare(c, name))
    if comparison:
        lines.append(f'python -m study choose {name} "{candidate}" --comparison {comparison}')
    lines.append(f"python -m study report {name}" + (f" --comparison {c.name}" if c is not None else ""))
    return lines


def _compare(c: Comparison, study: str) -> str:
    p = c.plan
    words = [f"python -m study compare {study} --name {c.name}"]
    words += [f"--features {','.join(p.features)}"] if p.features else []
    words += [f"--models {','.join(p.models)}", f"--folds {p.folds}", f"--repeats {p.repeats}", f"--seed {p.seed}"]
    words += [f"--samples {p.samples}", f"--shuffles {p.shuffles}", f"--penalties {p.penalties}", f"--rule {p.rule}"]
    words += [f"--site {p.site}"] + ([f"--site-name {p.site_name!r}"] if p.site_name else [])
    return " ".join(words)


def _seeds(facts: Facts) -> str:
    sentences = []
    if facts.comparison is not None:
        seed = facts.comparison.plan.seed
        sentences.append(f"Comparison: {seed} for folds, shuffles and bootstrap.")
    if facts.fitted is not None:
        sentences.append(f"Model {facts.model}: {(facts.fitted_report or {}).get('seed', 0)} for folds and bootstrap.")
    if "seed" in facts.study.settings.simulation:
        sentences.append(f"Simulated outcomes: {facts.study.settings.simulation['seed']}.")
    return " ".join(sentences) or "No random numbers were used."


def _versions(facts: Facts) -> Html:
    compared = facts.comparison.versions if facts.comparison is not None else {}
    fitted = {str(k): str(v) for k, v in ((facts.fitted_report or {}).get("versions") or {}).items()}
    names = list(dict.fromkeys([*facts.versions, *compared, *fitted]))
    rows = [(n, facts.versions.get(n, "–"), compared.get(n, "–"), fitted.get(n, "–")) for n in names]
    return table(("Package", "This report", "Comparison", "Study's model"), rows)
