"""Pictures for the screen and for download: encoding, numbered faces, differences, strips. uint8 (H, W, 3) RGB."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from faces.align import resize

Pixels = NDArray[np.uint8]
SCREEN_SIDE = 512  # px; frames beyond this are scaled down for the screen, never for download
DRAWING_SIDE = 900  # px; the longer side of a photo with boxes drawn on it
MARK = (20, 60, 72)
LOSSLESS_SIDE = 160  # px; up to here PNG is small enough, and JPEG's blocks would show when enlarged
HEAT_FULL = 0.25  # mean difference of the three channels, as a share of the grey range, that gets the full colour
HEAT_STOPS = np.array([[38, 22, 66], [178, 58, 78], [244, 150, 70], [255, 236, 170]], dtype=np.float64)


def encode(pixels: Pixels, kind: str = "PNG", quality: int = 95) -> bytes:
    """A file's bytes; JPEG without colour subsampling."""
    buffer = io.BytesIO()
    options = {"quality": quality, "subsampling": 0} if kind == "JPEG" else {}
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def encode_frames(frames: Pixels) -> tuple[list[bytes], str]:
    """Frames (K, S, S, 3) as files for the browser, and their MIME type."""
    side = frames.shape[1]
    kind = "PNG" if side <= LOSSLESS_SIDE else "JPEG"
    small = (frame if side <= SCREEN_SIDE else resize(frame, SCREEN_SIDE) for frame in frames)
    return [encode(frame, kind) for frame in small], f"image/{kind.lower()}"


def data_uri(pixels: Pixels) -> str:
    """A picture to stand inside a page's own HTML."""
    files, mime = encode_frames(pixels[None])
    return f"data:{mime};base64,{base64.b64encode(files[0]).decode()}"


def to_screen(pixels: Pixels, longest: int) -> tuple[Pixels, float]:
    """The picture scaled so that its longer side is `longest`, and the scale: lines drawn on it look alike."""
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    return resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale)))), scale


def number_faces(
    pixels: Pixels, boxes: Sequence[tuple[float, float, float, float]], chosen: int, longest: int = DRAWING_SIDE
) -> Pixels:
    """The photo with a numbered box (left, top, right, bottom) around every face; the chosen one stands out."""
    scaled, scale = to_screen(pixels, longest)
    image = Image.fromarray(scaled)
    draw = ImageDraw.Draw(image)
    line = max(1, longest // 300)
    font = ImageFont.load_default(size=9 * line)
    for index, box in enumerate(boxes):
        corners = [edge * scale for edge in box]
        draw.rectangle(corners, outline=MARK, width=2 * line + 2)
        inner = [corners[0] + 1, corners[1] + 1, corners[2] - 1, corners[3] - 1]
        draw.rectangle(inner, outline=(255, 255, 255) if index == chosen else (170, 178, 184), width=line)
        label, (left, top) = str(index + 1), corners[:2]
        extent, pad = draw.textbbox((left, top), label, font=font), 2 * line
        draw.rectangle((left, top, extent[2] + 2 * pad, extent[3] + 2 * pad), fill=MARK)
        draw.text((left + pad, top + pad), label, fill=(255, 255, 255), font=font)
    return np.asarray(image)


def outline_square(pixels: Pixels, quad: NDArray[np.float64], longest: int = DRAWING_SIDE) -> Pixels:
    """The photo with the square that will be cut out, corners (4, 2) in photo pixels."""
    scaled, scale = to_screen(pixels, longest)
    image = Image.fromarray(scaled)
    draw = ImageDraw.Draw(image)
    points = [(float(x * scale), float(y * scale)) for x, y in quad]
    line = max(1, longest // 300)
    draw.line([*points, points[0]], fill=MARK, width=2 * line + 2)
    draw.line([*points, points[0]], fill=(255, 255, 255), width=line)
    return np.asarray(image)


def difference(now: Pixels, before: Pixels) -> Pixels:
    """Where two pictures of one size differ: a dark copy of `now` under a heat colour, full at `HEAT_FULL`.

    The same picture as the scrubber's "Show difference".
    """
    change = np.abs(now.astype(np.float64) - before.astype(np.float64)).mean(-1) / 255
    share = np.minimum(change / HEAT_FULL, 1)
    place = np.minimum(share, 0.9999) * (len(HEAT_STOPS) - 1)
    low = place.astype(int)
    colour = HEAT_STOPS[low] + (HEAT_STOPS[low + 1] - HEAT_STOPS[low]) * (place - low)[..., None]
    weight = np.minimum(1, 3 * share)[..., None]
    grey = 0.16 * now.astype(np.float64).sum(-1, keepdims=True)
    return np.clip(np.rint(grey * (1 - weight) + colour * weight), 0, 255).astype(np.uint8)


def heat_gradient() -> str:
    """The heat colours as a CSS gradient, for the legend."""
    stops = (f"rgb({r:.0f} {g:.0f} {b:.0f}) {33.3333 * i:.0f}%" for i, (r, g, b) in enumerate(HEAT_STOPS))
    return f"linear-gradient(90deg, {', '.join(stops)})"


def strip(frames: Pixels, labels: Sequence[str], side: int = 256) -> Pixels:
    """Frames (K, S, S, 3) side by side with a label under each, on white."""
    font = ImageFont.load_default(size=max(12, side // 12))
    band = max(24, side // 7)
    image = Image.new("RGB", (side * len(frames), side + band), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for index, (frame, label) in enumerate(zip(frames, labels, strict=True)):
        image.paste(Image.fromarray(resize(frame, side)), (index * side, 0))
        width = draw.textlength(label, font=font)
        draw.text((index * side + (side - width) / 2, side + band * 0.2), label, fill=(20, 30, 40), font=font)
    return np.asarray(image)


def animation(frames: Pixels, seconds: float = 4.0) -> bytes:
    """A GIF that sweeps through the frames and back, `seconds` each way."""
    there_and_back = [Image.fromarray(frame) for frame in (*frames, *frames[-2:0:-1])]
    buffer = io.BytesIO()
    step = max(20, round(1000 * seconds / max(len(frames) - 1, 1)))
    there_and_back[0].save(buffer, "GIF", save_all=True, append_images=there_and_back[1:], duration=step, loop=0)
    return buffer.getvalue()


def sparkline(values: Sequence[float], label: str, colour: str) -> str:
    """A small line of two or more values over their steps, as an HTML image, for a job's loss."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = (f"{100 * i / (len(values) - 1):.2f},{38 - 34 * (v - low) / span:.2f}" for i, v in enumerate(values))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 40" preserveAspectRatio="none">'
        f'<path fill="none" stroke="{colour}" stroke-width="1.6" vector-effect="non-scaling-stroke" '
        f'd="M{" L".join(points)}"/></svg>'
    )
    uri = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    return f'<img class="lh-spark" alt="{html.escape(label, quote=True)}" src="{uri}">'
