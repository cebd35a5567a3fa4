"""A row's log-mel as a PNG for the report's page, which has its words: in milliseconds, where matplotlib takes seconds.

`inspection/log_mel_picture.py` draws the one that a person asks for, with everything in it.
"""

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from preprocess.inspection.log_mel_picture import HZ_TICKS, bins_of
from shared.pages.svg_plots import value_ticks
from shared.schema import HOP_LENGTH, SAMPLING_RATE

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

MAX_PNG_BYTES = 320_000
"""A picture has less than a byte for each of its 1,250 x 238 pixels."""
_LEAST_WIDTH, _MOST_WIDTH, _HEIGHT = 600, 1_200, 210
_LEFT, _TOP, _RIGHT, _BOTTOM = 42, 6, 8, 22
_COLOURS, _PAPER, _INK = 128, 128, 129
_MAGMA = ("000004", "1c1044", "4f127b", "812581", "b5367a", "e55064", "fb8761", "fec287", "fcfdbf")
"""matplotlib's colours of that name at ninths of the scale; between them they are blended."""


def row_png(log_mel: NDArray[np.float32]) -> bytes:
    """The picture of *log_mel* [num_frames, num_mel_bins] as a PNG of at most 320 kB: seconds to the right, Hz upwards.

    Dark is quiet; the darkest and the brightest colour are the clip's own least and largest value.
    """
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only a report needs it

    width = min(_MOST_WIDTH, max(_LEAST_WIDTH, len(log_mel)))
    low, high = float(log_mel.min()), float(log_mel.max())
    shades = np.rint((log_mel - low) * ((_COLOURS - 1) / max(high - low, 1e-9))).astype(np.uint8)
    clip = Image.fromarray(np.ascontiguousarray(shades.T[::-1])).resize((width, _HEIGHT), Image.Resampling.BOX)
    picture = Image.new("P", (_LEFT + width + _RIGHT, _TOP + _HEIGHT + _BOTTOM), _PAPER)
    picture.putpalette([*_palette().tobytes(), *b"\xff\xff\xff", *b"\x4a\x52\x60"])
    picture.paste(Image.frombytes("P", clip.size, clip.tobytes()), (_LEFT, _TOP))
    _name_axes(ImageDraw.Draw(picture), log_mel.shape, width)
    # In memory: a run that ended for want of disk still gets its pictures.
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _palette() -> NDArray[np.uint8]:
    """The colours [128, 3]."""
    known = np.array([list(bytes.fromhex(colour)) for colour in _MAGMA], np.float64)
    places = np.linspace(0, len(known) - 1, _COLOURS)
    return np.stack([np.interp(places, range(len(known)), part) for part in known.T], axis=1).astype(np.uint8)


def _name_axes(draw: "ImageDraw", shape: tuple[int, ...], width: int) -> None:
    """Hz at the left, seconds below."""
    num_frames, num_mel_bins = shape
    bottom = _TOP + _HEIGHT
    for hertz, place in zip(HZ_TICKS, bins_of(HZ_TICKS, num_mel_bins), strict=True):
        y = bottom - (place + 0.5) / num_mel_bins * _HEIGHT
        draw.line([(_LEFT - 4, y), (_LEFT - 1, y)], fill=_INK)
        draw.text((_LEFT - 6, min(max(y, _TOP + 5), bottom - 5)), f"{hertz:,}", fill=_INK, anchor="rm")
    seconds = num_frames * HOP_LENGTH / SAMPLING_RATE
    for tick in value_ticks(seconds):
        if tick <= seconds:
            x = _LEFT + tick / seconds * width
            draw.line([(x, bottom), (x, bottom + 3)], fill=_INK)
            draw.text((min(x, _LEFT + width - 10), bottom + 5), f"{tick:g} s", fill=_INK, anchor="ma")
