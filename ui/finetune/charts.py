"""Charts of a training run over the thousand images it has seen."""

from __future__ import annotations

import plotly.graph_objects as go

from ui.finetune.runs import Run
from ui.shell import theme

HEIGHT = 270
DASHES = ("solid", "dash", "dot", "dashdot")  # told apart without colour too
# kind -> title and alternative text on the page, title of the axis, (name in the log, what it is called) of each line
CHARTS: dict[str, tuple[str, str, str, tuple[tuple[str, str], ...]]] = {
    "losses": (
        "Losses",
        "Losses of generator and discriminator",
        "Loss",
        (("loss_g", "generator"), ("loss_d", "discriminator")),
    ),
    "projected losses": (
        "Losses",
        "Losses of generator and discriminators",
        "Loss",
        (("loss_g", "generator"), ("loss_projected", "projected discriminator"), ("loss_d", "discriminator")),
    ),
    "likeness": (  # of reconstructions: random samples have none of these
        "Distance to the photos",
        "Distance between photos and reconstructions",
        "Distance to the photo",
        (("pixel", "pixels"), ("texture", "texture (frozen features)"), ("identity", "face features")),
    ),
    "augmentation": (
        "Augmentation",
        "Augmentation strength and real sign",
        "Strength, mean sign",
        (("ada_p", "strength p"), ("real_sign", "sign on real photos")),
    ),
    "gradients": (
        "Gradients",
        "Lengths of the gradients",
        "Gradient length",
        (("gradient_g", "G"), ("gradient_d", "D"), ("gradient_r1", "R1"), ("gradient_pl", "path length")),
    ),
    "speed": ("Speed", "Images a second", "Images a second", (("images_per_s", "images/s"),)),
    "distance": (
        "Distance to the training faces",
        "Fréchet distance on face descriptors",
        "Frechet distance",
        (("frechet", "Frechet distance"),),
    ),
}


def chart(run: Run, kind: str, target: float | None = None) -> go.Figure:
    """One of CHARTS. target: where adaptive augmentation holds the sign."""
    _, _, title, lines = CHARTS[kind]
    colours = theme.palette()
    order = (colours.accent, colours.high, colours.low, colours.muted)
    figure = go.Figure()
    for (name, label), colour, dash in zip(lines, order, DASHES, strict=False):
        x, y = run.series(name)
        if not x:
            continue
        figure.add_scatter(
            x=x,
            y=y,
            name=label,
            mode="lines" if len(x) > 1 else "markers",
            line={"color": colour, "width": 2, "dash": dash},
            marker={"color": colour, "size": 7},
            hovertemplate="%{y:.4g} at %{x:.4g} thousand images",
        )
    theme.style_figure(figure, HEIGHT)
    figure.update_layout(margin={"t": 34}, showlegend=len(lines) > 1)
    figure.update_xaxes(title_text="Thousand images", rangemode="tozero")
    figure.update_yaxes(title_text=title)
    if kind == "gradients":  # jumps show
        figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    elif len(lines) == 1:
        figure.update_yaxes(rangemode="tozero")
    if target is not None:
        figure.add_hline(target, line={"color": colours.muted, "width": 1, "dash": "dot"})
        place = {"xref": "paper", "xanchor": "right", "yanchor": "bottom", "font": {"size": 12, "color": colours.muted}}
        figure.add_annotation(x=1, y=target, text=f"target {target:g}", showarrow=False, **place)
    return figure
