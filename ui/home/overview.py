"""The contents of Home: pictures and results of the chosen study and face model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from common.text import number
from ui.background import remedy
from ui.elements import blocks, pictures
from ui.elements.blocks import facts, value_row
from ui.elements.glossary import GLOSSARY
from ui.elements.text import interval, percent, plain_time
from ui.shell import session

if TYPE_CHECKING:
    from latent.checkpoints import Checkpoint
    from study.disk.store import Study
    from study.scoring.scorer import Scorer

NO_HORIZON = "no time: too few events or too short a follow-up"
HERO_A_SIDE = 3  # frames on either side of the start
SAMPLES, SAMPLE_PSI = 8, 0.7


def study_facts(study: Study) -> None:
    """Who is in the study and how long they were followed."""
    table, s = study.patients, study.settings
    events = int(table["event"].sum())
    end, share = float(table["time"].max()), percent(events / max(len(table), 1))
    simulated = "simulated; the people in the portraits do not exist" if study.simulated else ""
    horizons = ", ".join(plain_time(t) for t in study.reported_horizons.carried)
    facts(
        [
            ("Title", study.settings.title),
            ("Patients", f"{len(table):,}", simulated),
            ("With a portrait", f"{len(study.photos):,}" if study.photos else "none: clinical columns only"),
            ("Events", f"{events:,}", f"{share} of the patients; the others are censored"),
            ("Longest follow-up", f"{end:.0f} {study.time_unit}"),
            ("Survival reported at", f"{horizons} {study.time_unit}" if horizons else NO_HORIZON),
            *((label, text) for label, text in (("Source", s.source), ("Please cite", s.citation)) if text),
        ]
    )


def checkpoint_facts(checkpoint: Checkpoint) -> None:
    """What draws the faces, and where it comes from."""
    config = checkpoint.config
    rows: list[tuple[str, str] | tuple[str, str, str]] = [
        ("Name", checkpoint.name),
        ("Resolution", f"{checkpoint.resolution} × {checkpoint.resolution} px"),
        ("Face code", f"{checkpoint.num_ws} layers × {checkpoint.w_dim} numbers"),
        ("Encoder", "yes, it makes fitting to a photo faster" if checkpoint.encoder is not None else "none"),
    ]
    for key, label in (("source", "Source"), ("training", "Training"), ("licence", "Licence")):
        if isinstance(config.get(key), str) and config[key]:
            rows.append((label, str(config[key])))
    rows.append(("Weights", f"sha256 {checkpoint.sha256[:16]}…"))
    facts(rows)


def performance(scorer: Scorer) -> None:
    """Out-of-fold results of the photo model with their intervals."""
    report = scorer.report
    harrell, uno, slope = report["harrell"], report["uno"], report["calibration_slope"]
    unit = report["time_unit"]
    shown = [("Harrell's C", f"{harrell['value']:.3f}", _ci(harrell), GLOSSARY["C"])]
    if uno:
        label = f"Uno's C to {plain_time(report['uno_tau'])} {unit}"
        shown.append((label, f"{uno['value']:.3f}", _ci(uno), GLOSSARY["Uno"]))
    slope_words = (number(slope["value"], 2), _ci(slope, 2), GLOSSARY["slope"])
    shown.append(("Calibration slope (Cox, log hazard)", *slope_words))
    value_row("performance", shown, columns=3)
    truth = report.get("truth") or {}
    if truth:
        share, ceiling = truth["recovered_share"], truth["harrell_face"]
        blocks.note("Because the study is simulated, we know what a perfect photo model could reach:")
        limits = f"95 % CI {percent(share['low'])} to {percent(share['high'])}"
        ceiling_row = [
            ("C of the true risk in the face", f"{ceiling['value']:.3f}", _ci(ceiling), GLOSSARY["ceiling"]),
            ("Share of it recovered", percent(share["value"]), limits, GLOSSARY["recovered"]),
        ]
        value_row("ceiling", ceiling_row, columns=3)
    blocks.cautions(scorer)
    blocks.note(
        f"{report['label']}. {report['patients']:,} patients with {report['events']:,} events, {report['repeats']} × "
        f"{report['folds']}-fold nested cross-validation: each patient is scored by models that were not fitted to "
        "that patient. "
        f"Intervals: 95 %, bootstrap over patients. Spread of the scores: standard deviation "
        f"{np.std(scorer.cohort_log_hr):.2f} in log hazard ratio."
    )
    for sentence in report.get("notes", []):
        blocks.note(str(sentence))


def _ci(estimate: dict[str, float], digits: int = 3) -> str:
    return interval(estimate["low"], estimate["high"], digits)


def hero(scorer: Scorer) -> None:
    """One face of the cohort at seven steps along the health direction."""
    from study.scoring.strip import range_note

    try:
        with st.skeleton(height=190):
            uris, labels, patient = _hero(scorer.stamp, scorer)
    except session.SENTENCES as error:  # a model without one direction
        blocks.note(remedy.sentence(error))
        return
    kind = "simulated patient" if scorer.study.simulated else "patient"
    ends = ("lower modelled risk", "higher modelled risk")
    blocks.face_strip(uris, labels, HERO_A_SIDE, ends, "Face moved along the health direction")
    blocks.note(
        f"{kind.capitalize()} {patient}, of about typical risk, moved along the health direction of the study's photo "
        f"model. Labels: risk compared with the middle face. {range_note(scorer.cohort_log_hr)}Every picture is drawn "
        "by the face model."
    )


@st.cache_data(show_spinner=False, max_entries=8)
def _hero(stamp: str, _scorer: Scorer) -> tuple[list[str], list[str], str]:
    from ui.health_direction.frames import label

    middle = int(np.argmin(np.abs(_scorer.cohort_log_hr)))
    patient = str(_scorer.patients["patient_id"].iloc[middle])
    steps, features = _scorer.steps(HERO_A_SIDE), _scorer.codes[middle]
    strip = _scorer.strip(_scorer.study.picture_code(patient), _scorer.direction(), steps, features=features)
    uris, labels = [pictures.data_uri(frame) for frame in strip.frames], [label(float(hr)) for hr in strip.hr_step]
    return uris, labels, patient


def sample_faces(checkpoint: Checkpoint) -> None:
    """A few faces that the generator draws from random numbers."""
    with st.skeleton(height=60):
        uris = _samples(checkpoint.sha256, checkpoint)
    st.space("xsmall")
    blocks.gallery(uris, "Random face")
    blocks.note("Random faces drawn by this face model. These people do not exist.")


@st.cache_data(show_spinner=False, max_entries=8)
def _samples(sha256: str, _checkpoint: Checkpoint) -> list[str]:
    from latent.editing.render import synthesize
    from latent.space import sample_ws

    codes = sample_ws(_checkpoint.generator, list(range(1, SAMPLES + 1)), SAMPLE_PSI)
    return [pictures.data_uri(face) for face in synthesize(_checkpoint, codes)]
