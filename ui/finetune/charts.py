"""Charts of a training run over the thousand images it has seen."""

from __future__ import annotations

import plotly.graph_objects as go

from ui.finetune.runs import Run
from ui.shell import theme

HEIGHT = 270
AXIS = "Thousand images"
DASHES = ("solid", "dash", "dot", "dashdot")  # told apart without colour too
GRADIENTS = (
    ("gradient_g", "G"),
    ("gradient_d", "D"),
    ("gradient_r1", "R1"),
    ("gradient_pl", "path length"),
)


def losses(run: Run) -> go.Figure:
    """Adversarial losses of both networks."""
    return _lines(run, (("loss_g", "generator"), ("loss_d", "discriminator")), "Loss")


def likeness(run: Run) -> go.Figure:
    """How far reconstructions are from the photos; random samples have none of these."""
    names = (("pixel", "pixels"), ("texture", "texture (frozen features)"), ("identity", "face features"))
    return _lines(run, names, "Distance to the photo")


def projected_losses(run: Run) -> go.Figure:
    """Losses of the generator and of the projected discriminator; then of the discriminator that is kept."""
    names = (("loss_g", "generator"), ("loss_projected", "projected discriminator"), ("loss_d", "discriminator"))
    return _lines(run, names, "Loss")


def augmentation(run: Run, target: float | None) -> go.Figure:
    """Strength of the augmentation, and what it follows; target: where adaptive strength holds the sign."""
    figure = _lines(run, (("ada_p", "strength p"), ("real_sign", "sign on real photos")), "Strength, mean sign")
    if target is not None:
        muted = theme.palette().muted
        figure.add_hline(target, line={"color": muted, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=1,
            xref="paper",
            y=target,
            text=f"target {target:g}",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            font={"size": 12, "color": muted},
        )
    return figure


def gradients(run: Run) -> go.Figure:
    """Lengths of the gradients of generator G and discriminator D, on a logarithmic axis to show jumps."""
    figure = _lines(run, GRADIENTS, "Gradient length")
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    return figure


def speed(run: Run) -> go.Figure:
    """Images a second."""
    figure = _lines(run, (("images_per_s", "images/s"),), "Images a second")
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(showlegend=False)
    return figure


def distance(run: Run) -> go.Figure:
    """Frechet distance of samples to the training faces, where it was measured."""
    figure = _lines(run, (("frechet", "Frechet distance"),), "Frechet distance")
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(showlegend=False)
    return figure


def _lines(run: Run, names: tuple[tuple[str, str], ...], title: str) -> go.Figure:
    colours = theme.palette()
    order = (colours.accent, colours.high, colours.low, colours.muted)
    figure = go.Figure()
    for (name, label), colour, dash in zip(names, order, DASHES, strict=False):
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
    figure.update_layout(margin={"t": 34}, showlegend=True)
    figure.update_xaxes(title_text=AXIS, rangemode="tozero")
    figure.update_yaxes(title_text=title)
    return figure
