"""The contents of Home: pictures and figures of the chosen study and checkpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from study.errors import StudyError
from ui.elements import page, pictures, remedy
from ui.elements.page import facts, figure_row
from ui.elements.text import GLOSSARY, MINUS, percent, plain_time
from ui.health_direction import reach
from ui.shell import resources, session

if TYPE_CHECKING:
    from latent.checkpoints import Checkpoint
    from study.disk.store import Study
    from ui.shell.resources import Cohort

HERO_A_SIDE = 3  # frames on either side of the start
SAMPLES, SAMPLE_PSI = 8, 0.7


def study() -> Study:
    """The chosen study; StudyError where there is none."""
    name = session.pick_study()
    if name is None:
        raise StudyError(session.NO_STUDY, ("example", "veteran"))
    return resources.open_study(name)


def study_facts(found: Study) -> None:
    """Who is in the study and how long they were followed."""
    table, s = found.patients, found.settings
    events = int(table["event"].sum())
    end = float(table["time"].max())
    horizons = ", ".join(plain_time(t) for t in found.reported_horizons.carried)
    facts(
        [
            ("Title", found.title),
            ("Patients", f"{len(table):,}", "simulated; nobody in the portraits exists" if found.simulated else ""),
            ("With a portrait", f"{len(found.photos):,}" if found.photos else "none: clinical columns alone"),
            (
                "Events",
                f"{events:,}",
                f"{percent(events / max(len(table), 1))} of the patients; the others are censored",
            ),
            ("Longest follow-up", f"{end:.0f} {found.time_unit}"),
            ("Survival reported at", f"{horizons or 'no time'} {found.time_unit}"),
            *((label, text) for label, text in (("Source", s.source), ("Please cite", s.citation)) if text),
        ]
    )


def checkpoint_facts(checkpoint: Checkpoint) -> None:
    """What draws the faces and where it comes from."""
    config = checkpoint.config
    rows: list[tuple[str, str] | tuple[str, str, str]] = [
        ("Name", checkpoint.name),
        ("Resolution", f"{checkpoint.resolution} × {checkpoint.resolution} px"),
        ("Code (W+)", f"{checkpoint.num_ws} layers × {checkpoint.w_dim}"),
        ("Encoder", "yes, inversion starts from its guess" if checkpoint.encoder is not None else "none"),
    ]
    for key, label in (("source", "Source"), ("training", "Training"), ("licence", "Licence")):
        if isinstance(config.get(key), str) and config[key]:
            rows.append((label, str(config[key])))
    rows.append(("Weights", f"sha256 {checkpoint.sha256[:16]}…"))
    facts(rows)


def performance(cohort: Cohort) -> None:
    """Out-of-fold figures of the photo model with their intervals."""
    report = cohort.report
    harrell, uno, slope = report["harrell"], report["uno"], report["calibration_slope"]
    unit = report["time_unit"]
    shown = [
        ("Harrell's C", f"{harrell['value']:.3f}", _interval(harrell), GLOSSARY["C"]),
        *(
            [
                (
                    f"Uno's C to {plain_time(report['uno_tau'])} {unit}",
                    f"{uno['value']:.3f}",
                    _interval(uno),
                    GLOSSARY["Uno"],
                )
            ]
            if uno
            else []
        ),
        ("Calibration slope (Cox, log hazard)", f"{slope['value']:.2f}", _interval(slope, 2), GLOSSARY["slope"]),
    ]
    figure_row("performance", shown, columns=3)
    truth = report.get("truth") or {}
    if truth:
        share, ceiling = truth["recovered_share"], truth["harrell_face"]
        page.note("Because the study is simulated, what a perfect photo model could reach is known:")
        ceiling_row = [
            ("C of the true face hazard", f"{ceiling['value']:.3f}", _interval(ceiling), GLOSSARY["ceiling"]),
            ("Share of it recovered", percent(share["value"]), _percents(share), GLOSSARY["recovered"]),
        ]
        figure_row("ceiling", ceiling_row, columns=3)
    page.cautions(cohort)
    page.note(
        f"All figures are out-of-fold over {report['patients']:,} patients with {report['events']:,} events: "
        f"{report['label']}, {report['repeats']} × {report['folds']}-fold nested cross-validation by patient. "
        f"Intervals are 95 % bootstrap intervals over patients. Score spread over the cohort: standard deviation "
        f"{np.std(cohort.model.oof_log_hr_):.2f} in log-HR."
    )
    for sentence in report.get("notes", []):
        page.note(str(sentence))


def _interval(figure: dict[str, float], digits: int = 3) -> str:
    return f"95 % CI {figure['low']:.{digits}f} to {figure['high']:.{digits}f}".replace("-", MINUS)


def _percents(figure: dict[str, float]) -> str:
    return f"95 % CI {percent(figure['low'])} to {percent(figure['high'])}"


def hero(cohort: Cohort) -> None:
    """One face of the cohort at seven steps along the health direction."""
    try:
        with st.skeleton(height=190):
            uris, labels, patient = _hero(cohort.stamp, cohort)
    except session.SENTENCES as error:  # a model without one direction
        page.note(remedy.sentence(error))
        return
    kind = "simulated patient" if cohort.study.simulated else "patient"
    page.face_strip(
        uris,
        labels,
        HERO_A_SIDE,
        ("lower modelled hazard", "higher modelled hazard"),
        "Face moved along the health direction",
    )
    page.note(
        f"{kind.capitalize()} {patient}, near the cohort's median risk, moved along the health direction of the "
        f"study's photo model. Labels: hazard ratio to the middle face. {reach.bounds(cohort)}Every picture is "
        "drawn by the generator."
    )


@st.cache_data(show_spinner=False, max_entries=8)
def _hero(stamp: str, _cohort: Cohort) -> tuple[list[str], list[str], str]:
    from study.scoring.direction import edit_strip, health_direction

    scores: Any = _cohort.model.oof_log_hr_
    middle = int(np.argmin(np.abs(scores)))
    steps = reach.steps_to(reach.end_of(scores), HERO_A_SIDE)
    direction = health_direction(_cohort.scorer)
    strip = edit_strip(_cohort.scorer, _cohort.codes[middle], direction, steps)
    labels = [reach.label(float(np.exp(step))) for step in steps]
    return [pictures.data_uri(frame) for frame in strip.frames], labels, str(_cohort.table["patient_id"].iloc[middle])


def sample_faces(checkpoint: Checkpoint) -> None:
    """A few faces the generator draws from random numbers."""
    with st.skeleton(height=60):
        uris = _samples(checkpoint.sha256, checkpoint)
    st.space("xsmall")
    page.gallery(uris, "Random face")
    page.note(f"Random faces of this generator (seeds 1 to {SAMPLES}, truncation {SAMPLE_PSI}). Nobody in them exists.")


@st.cache_data(show_spinner=False, max_entries=8)
def _samples(sha256: str, _checkpoint: Checkpoint) -> list[str]:
    from latent.editing.render import synthesize
    from latent.space import sample_ws

    codes = sample_ws(_checkpoint.generator, list(range(1, SAMPLES + 1)), SAMPLE_PSI)
    return [pictures.data_uri(face) for face in synthesize(_checkpoint, codes)]
