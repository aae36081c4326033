"""Words: what the terms mean, how numbers are written. One home, so that every page says the same."""

from __future__ import annotations

import common.text
from common.text import MINUS, duration, number

__all__ = ["GLOSSARY", "MINUS", "THIN", "duration", "number"]
THIN = "\u2009"

GLOSSARY = {
    "W+": "W+ is the space of codes a StyleGAN2 generator draws a face from: one vector for each of its layers, "
    "coarse layers first (pose, shape), fine layers last (colour, texture).",
    "inversion": "Inversion searches the code in W+ whose rendered face comes closest to the photo.",
    "efforts": "Medians of 50 held-out portraits of 128 px (`python -m bench invert`; 0 is identical): **fast** leaves "
    "a face-feature distance of 0.066 and an identity distance of 0.115; **balanced**, in 2.4 times the time, 0.042 "
    "and 0.068; **faithful**, in 6.7 times the time, 0.028 and 0.046.",
    "log-HR": "Natural logarithm of the hazard ratio between this face and the cohort's median face. "
    "0 is the median; +0.69 doubles the modelled hazard; \u22120.69 halves it.",
    "step": "Hazard ratio between the face drawn and the face at the start. A step of ×\u20092 doubles the hazard that "
    "the model gives, whatever it was at the start.",
    "HR": "Hazard ratio: how many times as high the modelled rate of the event is, at any time, as for the cohort's "
    "median face.",
    "percentile": "Share of the cohort's patients whose out-of-fold score is lower. Out-of-fold: each patient was "
    "scored by a model that never saw that patient.",
    "survival": "Modelled share of people with this score who are free of the event at that time (Breslow estimate). "
    "It holds for a group with the same score, not for one person.",
    "C": "Harrell's C: the share of pairs of patients in which the one with the higher score had the event first. "
    "0.5 is guessing, 1 is perfect.",
    "Uno": "Uno's C: like Harrell's C, but pairs are weighted so that the pattern of censoring does not shape the "
    "answer.",
    "slope": "Slope of a Cox model on the out-of-fold score. 1: score differences mean what they say; below 1: they "
    "are exaggerated.",
    "ceiling": "Harrell's C of the face's true log-hazard, known because the study is simulated. No photo model can be "
    "expected to do better.",
    "recovered": "(C − 0.5) / (C of the true face hazard − 0.5): how much of what a face can tell was found.",
    "out-of-fold": "Every patient is scored by a model fitted without that patient, so the figure is not flattered "
    "by the fit.",
    "LPIPS (AlexNet)": "Learned perceptual distance (LPIPS, AlexNet). 0 is identical; lower looks more alike.",
    "Face-feature distance (dlib)": "Distance between the two faces' features in dlib's face encoder. It sees the face "
    "but not hair or background. It is not LPIPS and the two cannot be compared. 0 is identical.",
    "PSNR": "Peak signal-to-noise ratio of the pixels, in decibel. Higher is closer; above about 30 dB the "
    "difference is hard to see.",
    "SSIM": "Structural similarity of the pixels, 0 to 1. 1 is identical.",
    "identity": "Distance between the two faces in dlib's recognition space; 0 is identical. Below 0.6 the recogniser "
    "takes two sharp photos for one person; soft pictures of different people lie below it too.",
    "coefficients": "The shortest way through W+ that changes the modelled hazard by the step: the model's own "
    "coefficients, carried back through scaling and principal components.",
    "pattern": "What differs, on average, between faces of the cohort whose modelled risk differs by the step: the "
    "coefficients mapped through the cohort's covariance. It changes the hazard by exactly the same amount.",
    "checkpoint": "The trained generator that draws the faces, with the encoder that starts the inversion.",
    "psi": "Truncation: how far random faces may stray from the generator's mean face. Lower is more ordinary.",
}


def signed(value: float, digits: int = 2) -> str:
    """+1.23 or, with a true minus, -1.23."""
    return f"{'+' if value >= 0 else MINUS}{abs(value):.{digits}f}"


def ratio(value: float) -> str:
    """A hazard ratio with three figures: \u00d7 1.23. The scrubber writes them alike."""
    digits = 1 if value >= 9.995 else 2 if value >= 0.9995 else 3
    return f"\u00d7{THIN}{value:.{digits}f}"


def percent(share: float) -> str:
    """A share 0-1 as a percentage, one decimal where it is small. For a survival probability: `probability`."""
    return common.text.percent(share, 0 if share > 0.0995 else 1, THIN)


def probability(p: float) -> str:
    """A modelled probability in whole per cent, never 0 or 100: < 1 %."""
    return common.text.probability(p, THIN)


def times_hazard(hr: float) -> str:
    """A hazard ratio to the cohort's median in words."""
    shown = f"{hr:.0f}" if hr >= 9.95 else f"{hr:.1f}" if hr >= 0.95 else f"{hr:.2f}"
    if shown == "1.0":
        return "about the hazard of the typical patient of this cohort"
    return f"{shown} times the hazard of the typical patient of this cohort"


def ordinal(value: float) -> str:
    """A percentile: 1st, 2nd, 43rd; never the 0th or the 100th."""
    whole = round(value)
    if whole <= 0:
        return f"<{THIN}1st"
    if whole >= 100:
        return f">{THIN}99th"
    ending = "th" if 10 <= whole % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{ending}"


def elapsed(seconds: float) -> str:
    """Time so far for people: with tenths under ten seconds, so that a page that is polled is seen to be at work."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 9.95 else duration(seconds)


def plain_time(value: float) -> str:
    """A horizon without needless decimals: 12, 1.5."""
    return f"{value:g}"
