"""What the augmentation pipe may do: a weight for each transform, how far it goes, and presets by name.

Karras et al. 2020 (arXiv:2006.06676), appendix B, table of section 3 for the presets' letters.
"""

from dataclasses import dataclass

from latent.errors import LatentError


@dataclass(frozen=True)
class Transforms:
    """Weights w of the transforms, 0 for never: each is tried with probability w * p. Then their ranges."""

    xflip: float = 0
    rotate90: float = 0
    xint: float = 0
    scale: float = 0
    rotate: float = 0
    aniso: float = 0
    xfrac: float = 0
    brightness: float = 0
    contrast: float = 0
    lumaflip: float = 0
    hue: float = 0
    saturation: float = 0
    imgfilter: float = 0
    noise: float = 0
    cutout: float = 0

    xint_max: float = 0.125  # of the image's side
    scale_std: float = 0.2  # of log2 of the factor
    rotate_max: float = 1  # of half a turn
    aniso_std: float = 0.2  # of log2 of the factor
    xfrac_std: float = 0.125  # of the image's side
    brightness_std: float = 0.2  # of the range -1 .. 0
    contrast_std: float = 0.5  # of log2 of the factor
    hue_max: float = 1  # of half a turn
    saturation_std: float = 1  # of log2 of the factor
    imgfilter_bands: tuple[float, float, float, float] = (1, 1, 1, 1)  # weights of the bands, lowest first
    imgfilter_std: float = 1  # of log2 of a band's gain
    noise_std: float = 0.1  # of the noise's own standard deviation
    cutout_size: float = 0.5  # of the image's side


PRESETS: dict[str, dict[str, float]] = {
    "blit": dict.fromkeys(("xflip", "rotate90", "xint"), 1.0),
    "geom": dict.fromkeys(("scale", "rotate", "aniso", "xfrac"), 1.0),
    "color": dict.fromkeys(("brightness", "contrast", "lumaflip", "hue", "saturation"), 1.0),
    "filter": {"imgfilter": 1.0},
    "noise": {"noise": 1.0},
    "cutout": {"cutout": 1.0},
}
PRESETS["bg"] = PRESETS["blit"] | PRESETS["geom"]
for _name, _added in (("bgc", "color"), ("bgcf", "filter"), ("bgcfn", "noise"), ("bgcfnc", "cutout")):
    PRESETS[_name] = PRESETS[_name[:-1]] | PRESETS[_added]


def preset(name: str) -> Transforms:
    """The transforms of a preset, each with weight 1. Raises LatentError for an unknown name."""
    if name not in PRESETS:
        raise LatentError(f"There is no augmentation called {name!r}: choose one of {', '.join(PRESETS)}.")
    return Transforms(**PRESETS[name])  # type: ignore[arg-type]
