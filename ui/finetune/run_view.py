"""One training run while it is at work and after: samples, charts, log, settings, and its result."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from common.text import duration, number
from jobs.progress import is_number, option, trains
from jobs.record import Job
from survival.plots.labels import plain_figure
from ui.elements import blocks
from ui.elements.escaping import plain, trusted
from ui.finetune import charts, evaluation, runs
from ui.finetune.runs import Run
from ui.shell import resources, session

LOG_LINES = 200
EXPLAINED = {
    "seen": "Photos shown to the discriminator, repeats included.",
    "seen with reconstructions": "Photos shown, repeats included: first in the main phase, then to the discriminator "
    "that becomes part of the result.",
    "face distance": "Distance between photos and their reconstructions for a face recogniser, mean since the last "
    "report: 0 is the same picture, lower is more alike.",
    "speed": "Since the run was last started, reports included.",
    "distance": "Fréchet distance between random faces and training faces, computed on face descriptors: lower is "
    "closer. It falls while the face model learns the new faces; once it stops falling, more training helps little. "
    "With few photos, a very low value can mean that training faces are being copied.",
    "p": "Probability of each augmentation. It rises while the discriminator is more confident about real photos than "
    "the target allows; near 1, the set is too small for this length.",
}


def names(jobs: Sequence[Job]) -> list[str]:
    """Runs that can be looked at: those at work first, then the newest."""
    of_job = _trained_by(jobs)
    return list(dict.fromkeys([*(n for n, job in of_job.items() if job.active), *runs.run_names(), *of_job]))


def _trained_by(jobs: Sequence[Job]) -> dict[str, Job]:
    """The newest job of each run."""
    return {name: job for job in reversed(jobs) if trains(job) and (name := runs.run_of(job))}


def choose(jobs: Sequence[Job]) -> tuple[Run, Job | None]:
    """The run to look at, of which there is one, and its newest job."""
    offered = names(jobs)
    session.take_choice("finetune-run", offered)
    if st.session_state.get("finetune-run") not in offered:
        st.session_state["finetune-run"] = offered[0]
    name = st.selectbox("Run", offered, key="finetune-run", persist_state="session", width=420)
    return runs.read_run(name), _trained_by(jobs).get(name)


def show(run: Run, job: Job | None) -> None:
    """Everything that a run has to show so far."""
    if not run.lines and not run.samples:
        blocks.note(
            "It has not started yet."
            if job is None or job.state == "waiting"
            else "There are no samples yet. The first appear once the networks are loaded."
        )
    else:
        _numbers(run)
        st.space("xsmall")
        left, right = st.columns([6, 7], gap="large")
        with left:
            _samples(run)
        with right:
            if run.method == runs.RECONSTRUCTION:
                _chart(run, "likeness")
                _chart(run, "projected losses")
            else:
                _chart(run, "losses")
                settings = run.settings.get("settings") or {}
                target = settings.get("target") if settings.get("augment") == "ada" else None
                _chart(run, "augmentation", target)
        left, right = st.columns(2, gap="large")
        with left:
            if run.method == runs.RECONSTRUCTION:
                _reconstructions(run)
            else:
                _chart(run, "gradients")
        with right:
            _chart(run, "speed")
        if run.newest("frechet") is not None:
            left, right = st.columns(2, gap="large", vertical_alignment="center")
            with left:
                _chart(run, "distance")
            with right:
                blocks.note(EXPLAINED["distance"])
    if run.status.get("state") == "done":
        st.space("small")
        _result(run, job)
    _small_print(run, job)


def _numbers(run: Run) -> None:
    status = run.status
    seen, total = status.get("images"), status.get("images_total")
    left, speed = status.get("seconds_left"), run.newest("images_per_s")
    reconstructs = run.method == runs.RECONSTRUCTION
    last = run.newest("identity" if reconstructs else "ada_p")
    shown = "–" if last is None else number(last, 2)
    running = status.get("state") == "running"
    blocks.value_row(
        "finetune",
        [
            (
                "Images seen",
                f"{seen:,.0f}" if is_number(seen) else "–",
                f"of {total:,.0f}" if is_number(total) else "",
                EXPLAINED["seen with reconstructions" if reconstructs else "seen"],
            ),
            (
                "Time left",
                duration(left) if running and is_number(left) else "–",
                "at the speed so far" if running else {"done": "finished"}.get(str(status.get("state")), "not running"),
                "",
            ),
            ("Images/s", "–" if speed is None else f"{speed:.1f}", "since the last start", EXPLAINED["speed"]),
            ("Face distance", shown, "photo to reconstruction", EXPLAINED["face distance"])
            if reconstructs
            else ("Augmentation p", shown, "strength now", EXPLAINED["p"]),
        ],
    )


def _samples(run: Run) -> None:
    st.markdown("**Samples**")
    if not run.samples:
        blocks.note("The first samples appear once the networks are loaded.")
        return
    kimg, path = _pick(run)
    try:
        picture = path.read_bytes()
    except OSError:
        blocks.note("This picture was deleted.")
        return
    st.image(picture, width="stretch", alt=f"Grid of samples after {kimg:g} thousand images")
    blocks.note(
        f"After {kimg:g} thousand images, always from the same random numbers. A sample that looks like one of the "
        "photos may be that person."
    )


def _reconstructions(run: Run) -> None:
    st.markdown("**Reconstructions**")
    try:
        picture = run.reconstructions.read_bytes() if run.reconstructions else None
    except OSError:
        picture = None
    if picture is None:
        blocks.note("The first appear once the networks are loaded.")
        return
    st.image(picture, width="stretch", alt=f"Photos and their reconstructions by {run.name}")
    blocks.note("Photos of the set; their reconstructions; reconstructions from a face code with equal layers.")


def _pick(run: Run) -> tuple[float, Path]:
    """The picture on screen: the newest, until the person goes back."""
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


def _chart(run: Run, kind: str, target: float | None = None) -> None:
    title, alt, _, _ = charts.CHARTS[kind]
    figure = charts.chart(run, kind, target)
    st.markdown(f"**{trusted(title)}**")
    if not figure.data:
        blocks.note("Nothing measured yet: it appears with the first report.")
        return
    key = f"finetune-chart-{run.name}-{title}"
    st.plotly_chart(
        plain_figure(figure), theme=None, alt=f"{alt} over thousand images", key=key, config={"displayModeBar": False}
    )


def _result(run: Run, job: Job | None) -> None:
    """The checkpoint that the run made, and how good it is."""
    out = None if job is None else option(job.command, "--out")
    if job is None or out is None:
        return
    name = Path(out).name
    if name in resources.checkpoint_names():
        st.success(
            f"The face model **{plain(name)}** can now be chosen in the sidebar. {plain(_what_next(name))}",
            icon=":material/check_circle:",
        )
        current = st.session_state.get("checkpoint") == name
        words = "Chosen" if current else "Choose it in the sidebar"
        if st.button(words, key="finetune-choose", disabled=current):
            session.choose("checkpoint", name)
            st.rerun()
        evaluation.show(run, Path(out), job)


def _what_next(name: str) -> str:
    again = "embed the study's photos again with it and fit the risk model again (page Cohort)."
    if (resources.checkpoints_root() / name / "encoder.safetensors").is_file():
        return f"To use it with a study, {again}"
    return f"To use it with a study, train an encoder for it (see docs/guide.md), then {again}"


def _small_print(run: Run, job: Job | None) -> None:
    with st.expander("Log", icon=":material/article:"):
        if job is None:
            blocks.note("This run was started in a terminal, where its output went.")
        else:
            st.code(
                resources.queue().tail(job.id, LOG_LINES) or "Nothing yet.", language=None, wrap_lines=True, height=320
            )
    with st.expander("Settings of this run", icon=":material/tune:"):
        if job is not None:
            blocks.note("The command. Entered again in the project's folder, it resumes the run.")
            st.code(f"python -m {shlex.join(job.command)}", language=None, wrap_lines=True)
        settings = run.settings.get("settings")
        if isinstance(settings, dict):
            blocks.facts([(str(name), _plain(value)) for name, value in settings.items()])


def _plain(value: object) -> str:
    if value is None:
        return "as in the start"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
