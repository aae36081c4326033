"""One run, looked at while it goes: samples, charts, log, settings, and what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from jobs.record import Job
from survival.plots.labels import plain_figure
from ui.elements import page
from ui.elements.escaping import plain, trusted
from ui.elements.text import duration, number
from ui.finetune import charts, evaluation
from ui.finetune import runs as files
from ui.finetune.runs import Run
from ui.shell import resources

if TYPE_CHECKING:
    import plotly.graph_objects as go

LOG_LINES = 200
EXPLAINED = {
    "seen": "Photos shown to the discriminator, repeats included.",
    "seen with reconstructions": "Photos shown, repeats included: first while pictures are held to them, then to the "
    "discriminator that goes into the result.",
    "face distance": "How far photos and what is drawn of their codes are apart to a face encoder, mean since "
    "the last report: 0 is the same picture, lower is more alike.",
    "speed": "Over this session of the run, reports and regularisation included.",
    "distance": "Frechet distance between samples and training faces on face descriptors: lower is closer. It falls "
    "while the generator takes on the new faces; once it stays where it is, going on brings little, and with few "
    "photos a very low value can mean that faces are being repeated.",
    "p": "Probability of each augmentation. It rises while the discriminator leans on real photos more than the target "
    "allows; near 1 the set is small for this length.",
}


def names(jobs: Sequence[Job]) -> list[str]:
    """Runs that can be looked at: those at work first, then the newest."""
    of_job = _trained_by(jobs)
    return list(dict.fromkeys([*(n for n, job in of_job.items() if job.active), *files.run_names(), *of_job]))


def _trained_by(jobs: Sequence[Job]) -> dict[str, Job]:
    """The newest job of each run."""
    return {name: job for job in reversed(jobs) if files.trains(job) and (name := files.run_of(job))}


def choose(jobs: Sequence[Job]) -> tuple[Run, Job | None]:
    """The run to look at, of which there is one, and its newest job."""
    offered = names(jobs)
    wanted = st.session_state.pop(f"finetune-run{page.WANTED}", None)
    if wanted in offered:
        st.session_state["finetune-run"] = wanted
    if st.session_state.get("finetune-run") not in offered:
        st.session_state["finetune-run"] = offered[0]
    name = st.selectbox("Run", offered, key="finetune-run", persist_state="session", width=420)
    return files.read_run(name), _trained_by(jobs).get(name)


def show(run: Run, job: Job | None) -> None:
    """Everything about a run, as far as there is something."""
    if not run.lines and not run.samples:
        page.note(
            "It has not begun yet."
            if job is None or job.state == "waiting"
            else "There are no samples yet. The first are drawn when the networks are read."
        )
    else:
        _numbers(run)
        st.space("xsmall")
        left, right = st.columns([6, 7], gap="large")
        with left:
            _samples(run)
        with right:
            if run.method == files.RECONSTRUCTION:
                _chart("Likeness", charts.likeness(run), "How far pictures are from their photos", run)
                _chart("Losses", charts.projected_losses(run), "Losses of generator and discriminators", run)
            else:
                _chart("Losses", charts.losses(run), "Losses of generator and discriminator", run)
                settings = run.settings.get("settings") or {}
                target = settings.get("target") if settings.get("augment") == "ada" else None
                _chart("Augmentation", charts.augmentation(run, target), "Augmentation strength and real sign", run)
        left, right = st.columns(2, gap="large")
        with left:
            if run.method == files.RECONSTRUCTION:
                _reconstructions(run)
            else:
                _chart("Gradients", charts.gradients(run), "Lengths of the gradients", run)
        with right:
            _chart("Speed", charts.speed(run), "Images a second", run)
        if run.newest("frechet") is not None:
            left, right = st.columns(2, gap="large", vertical_alignment="center")
            with left:
                _chart("Distance to the training faces", charts.distance(run), "Frechet distance on descriptors", run)
            with right:
                page.note(EXPLAINED["distance"])
    if run.status.get("state") == "done":
        st.space("small")
        _result(run, job)
    _small_print(run, job)


def _numbers(run: Run) -> None:
    status = run.status
    seen, total = status.get("images"), status.get("images_total")
    left, speed = status.get("seconds_left"), run.newest("images_per_s")
    own = run.method == files.RECONSTRUCTION
    last = run.newest("identity" if own else "ada_p")
    shown = "–" if last is None else number(last, 2)
    going = status.get("state") == "running"
    page.figure_row(
        "finetune",
        [
            (
                "Images seen",
                f"{seen:,.0f}" if files.is_number(seen) else "–",
                f"of {total:,.0f}" if files.is_number(total) else "",
                EXPLAINED["seen with reconstructions" if own else "seen"],
            ),
            (
                "Time left",
                duration(left) if going and files.is_number(left) else "–",
                "at the speed so far" if going else {"done": "finished"}.get(str(status.get("state")), "not running"),
                "",
            ),
            ("Images/s", "–" if speed is None else f"{speed:.1f}", "mean of this session", EXPLAINED["speed"]),
            ("Face distance", shown, "photo to picture", EXPLAINED["face distance"])
            if own
            else ("Augmentation p", shown, "strength now", EXPLAINED["p"]),
        ],
    )


def _samples(run: Run) -> None:
    st.markdown("**Samples**")
    if not run.samples:
        page.note("The first samples are drawn when the networks are read.")
        return
    kimg, path = _pick(run)
    try:
        picture = path.read_bytes()
    except OSError:
        page.note("This picture is gone.")
        return
    st.image(picture, width="stretch", alt=f"Grid of samples after {kimg:g} thousand images")
    page.note(
        f"Drawn after {kimg:g} thousand images, always from the same random codes, without truncation. A sample that "
        "looks like one of the photos may be that person."
    )


def _reconstructions(run: Run) -> None:
    st.markdown("**Reconstructions**")
    try:
        picture = run.reconstructions.read_bytes() if run.reconstructions else None
    except OSError:
        picture = None
    if picture is None:
        page.note("The first are drawn when the networks are read.")
        return
    st.image(picture, width="stretch", alt=f"Photos, and what {run.name} draws of their codes")
    page.note("Photos of the set; what is drawn of their codes; what is drawn of one code for all layers.")


def _pick(run: Run) -> tuple[float, Path]:
    """The picture that is looked at; the newest, until the person goes back."""
    steps = [kimg for kimg, _ in run.samples]
    key, newest = f"finetune-sample-{run.name}", f"finetune-newest-{run.name}"
    if st.session_state.get(key) in (None, st.session_state.get(newest)) or st.session_state[key] not in steps:
        st.session_state[key] = steps[-1]
    st.session_state[newest] = steps[-1]
    if len(steps) == 1:
        return run.samples[0]
    chosen = st.select_slider(
        "After", steps, key=key, format_func=lambda kimg: f"{kimg:g} k", help="Go back to see how the faces changed."
    )
    return run.samples[steps.index(chosen)]


def _chart(title: str, figure: go.Figure, alt: str, run: Run) -> None:
    st.markdown(f"**{trusted(title)}**")
    if not figure.data:
        page.note("Nothing measured yet: the first report brings it.")
        return
    key = f"finetune-chart-{run.name}-{title}"
    st.plotly_chart(
        plain_figure(figure), theme=None, alt=f"{alt} over thousand images", key=key, config={"displayModeBar": False}
    )


def _result(run: Run, job: Job | None) -> None:
    """The checkpoint that came of it, and how good it is."""
    told = None if job is None else files.option(job.command, "--out")
    if job is None or told is None:
        return
    name = Path(told).name
    if name in resources.checkpoint_names():
        st.success(
            f"The checkpoint **{plain(name)}** is in the sidebar's picker now. {plain(_what_next(name))} "
            "(docs/guide.md).",
            icon=":material/check_circle:",
        )
        current = st.session_state.get("checkpoint") == name
        if st.button(
            "It is chosen" if current else "Choose it in the sidebar",
            key="finetune-choose",
            disabled=current,
        ):
            st.session_state[f"checkpoint{page.WANTED}"] = name
            st.rerun()
        evaluation.show(run, Path(told), job)


def _what_next(name: str) -> str:
    belong = "a study's codes belong to the checkpoint that they were made with"
    if (resources.checkpoints_root() / name / "encoder.safetensors").is_file():
        return f"It has an encoder of its own; {belong}: embed and fit the study again"
    return f"It has no encoder of its own yet, and {belong}: train an encoder, then embed and fit the study again"


def _small_print(run: Run, job: Job | None) -> None:
    with st.expander("Log", icon=":material/article:"):
        if job is None:
            page.note("This run was not started here; its output went to the terminal that started it.")
        else:
            st.code(
                resources.queue().tail(job.id, LOG_LINES) or "Nothing yet.", language=None, wrap_lines=True, height=320
            )
    with st.expander("Settings of this run", icon=":material/tune:"):
        if job is not None:
            page.note("The command; typed again in the project's folder, it goes on with the run.")
            st.code(f"python -m {shlex.join(job.command)}", language=None, wrap_lines=True)
        settings = run.settings.get("settings")
        if isinstance(settings, dict):
            page.facts([(str(name), _plain(value)) for name, value in settings.items()])


def _plain(value: object) -> str:
    if value is None:
        return "as the start has it"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
