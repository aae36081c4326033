"""Plotly figures of survival and risk: numbers in, `go.Figure` out. Colours and template come from the caller.

Every figure is drawn from a tidy table, which is also what its CSV holds.
"""

from survival.plots.face import face_survival, risk_histogram
from survival.plots.flow import flow_figure, flow_frame
from survival.plots.intervals import concordance_dots, forest, interval_figure, paired_differences
from survival.plots.kaplan_meier import curves_frame, kaplan_meier_figure, median_words, medians_frame
from survival.plots.path import penalty_figure
from survival.plots.probability import (
    auc_figure,
    brier_figure,
    calibration_figure,
    calibration_frame,
    calibration_words,
    decision_figure,
)
from survival.plots.schoenfeld import drawn_every, schoenfeld_figure
from survival.plots.style import Palette

__all__ = [
    "Palette",
    "auc_figure",
    "brier_figure",
    "calibration_figure",
    "calibration_frame",
    "calibration_words",
    "concordance_dots",
    "curves_frame",
    "decision_figure",
    "drawn_every",
    "face_survival",
    "flow_figure",
    "flow_frame",
    "forest",
    "interval_figure",
    "kaplan_meier_figure",
    "median_words",
    "medians_frame",
    "paired_differences",
    "penalty_figure",
    "risk_histogram",
    "schoenfeld_figure",
]
