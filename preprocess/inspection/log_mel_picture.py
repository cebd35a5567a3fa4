"""One clip's log-mel as a picture that a person can read: time, pitch, loudness and the words."""

import textwrap
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from preprocess.features.mel import mel_frequencies
from shared.schema import HOP_LENGTH, SAMPLING_RATE
from shared.text import one_line
from shared.units import format_counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAME_SECONDS = HOP_LENGTH / SAMPLING_RATE
HZ_TICKS = (0, 250, 500, 1_000, 2_000, 4_000, 8_000)
"""Frequencies that a picture names."""
_DOTS_PER_INCH = 120
_IMAGE_INCHES, _LINE_INCHES, _FRAME_INCHES = 3.4, 0.24, 1.2
"""Heights of the mel image, of one line of transcript, and of everything else."""
_NARROW_INCHES, _WIDE_INCHES, _INCHES_PER_SECOND = 9.0, 18.0, 0.9
_CHARACTERS_PER_INCH = 11.5
_TITLE_CHARACTERS_PER_INCH, _BESIDE_TITLE_INCHES = 9.6, 4.6
"""How wide a bold letter is, and the room that axes and the figures beside the title take."""
_MOST_LINES = 20


def save_log_mel_png(
    path: Path | IO[bytes],
    log_mel: npt.NDArray[np.float32],
    *,
    title: str,
    transcript: str,
    duration_seconds: float,
) -> None:
    """Write *log_mel* (float32, *num_frames* x *num_mel_bins*, Whisper's scale) to *path*, which may be an open
    file, as a PNG.

    Time runs to the right in seconds; the left axis is in Hz, the right one in mel bins; the *transcript* stands
    below, wrapped, and both texts are shown as they are. The same input gives the same bytes. Raises ValueError for an
    array that is not two-dimensional or is empty, OSError where *path* cannot be written.
    """
    if log_mel.ndim != 2 or log_mel.size == 0:  # noqa: PLR2004 - frames and bins are two axes
        raise ValueError(
            f"log_mel has the shape {log_mel.shape}: expected num_frames x num_mel_bins, neither of them 0"
        )
    # Seconds to import, and only this command draws; the object API leaves pyplot's global state alone.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - see above

    lines = _wrapped(transcript, _width_inches(duration_seconds))
    figure = _figure(log_mel, one_line(title), lines, duration_seconds)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})


def _width_inches(duration_seconds: float) -> float:
    return min(_WIDE_INCHES, max(_NARROW_INCHES, _INCHES_PER_SECOND * duration_seconds))


def _shortened(title: str, width_inches: float) -> str:
    longest = int(_TITLE_CHARACTERS_PER_INCH * (width_inches - _BESIDE_TITLE_INCHES))
    return title if len(title) <= longest else title[: longest - 1] + "…"


def _wrapped(transcript: str, width_inches: float) -> list[str]:
    columns = int(_CHARACTERS_PER_INCH * width_inches)
    return textwrap.wrap(one_line(transcript), columns, max_lines=_MOST_LINES, placeholder=" …") or ["(no transcript)"]


def _figure(log_mel: npt.NDArray[np.float32], title: str, lines: list[str], duration_seconds: float) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - only this command draws

    text_inches = _LINE_INCHES * len(lines)
    width, height = _width_inches(duration_seconds), _IMAGE_INCHES + text_inches + _FRAME_INCHES
    figure = Figure(figsize=(width, height), layout=_layout(), facecolor="white")
    image_axes, text_axes = figure.subplots(2, 1, height_ratios=[_IMAGE_INCHES, text_inches])
    _draw_image(figure, image_axes, log_mel)
    num_frames, num_mel_bins = log_mel.shape
    words = f"{duration_seconds:.2f} s, {format_counted(num_frames, 'frame')} x {num_mel_bins} mel bins"
    image_axes.set_title(_shortened(title, width), loc="left", fontweight="bold", parse_math=False)
    image_axes.set_title(words, loc="right", fontsize=9, color="dimgray", parse_math=False)
    text_axes.set_axis_off()
    # Dollar signs in a transcript are not formulas.
    text_axes.text(0, 1, "\n".join(lines), va="top", fontsize=11, linespacing=1.35, parse_math=False)
    return figure


def _layout() -> Any:
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415 - only this command draws

    # Its default spaces are fractions of the width and tear the colour bar off a wide picture.
    return ConstrainedLayoutEngine(wspace=0)


def _draw_image(figure: "Figure", axes: "Axes", log_mel: npt.NDArray[np.float32]) -> None:
    num_frames, num_mel_bins = log_mel.shape
    # A frame is centred on its own time, a bin on its own number.
    extent = (-0.5 * _FRAME_SECONDS, (num_frames - 0.5) * _FRAME_SECONDS, -0.5, num_mel_bins - 0.5)
    image = axes.imshow(log_mel.T, origin="lower", aspect="auto", extent=extent, cmap="magma")
    axes.set_ylim(-0.5, num_mel_bins - 0.5)
    axes.set_xlim(0, max(_FRAME_SECONDS, (num_frames - 0.5) * _FRAME_SECONDS))
    axes.set_xlabel("time (s)")
    axes.set_ylabel("frequency (Hz)")
    axes.set_yticks(bins_of(HZ_TICKS, num_mel_bins), [f"{hz:,}" for hz in HZ_TICKS])
    bins = axes.secondary_yaxis("right")
    bins.set_ylabel("mel bin")
    inch = 1 / figure.get_figwidth()
    label = "log-mel (Whisper's scale)"
    figure.colorbar(image, ax=axes, pad=0.15 * inch, fraction=0.3 * inch, aspect=25, label=label)


def bins_of(frequencies_hz: tuple[int, ...], num_mel_bins: int) -> npt.NDArray[Any]:
    """Where *frequencies_hz* lie on the axis of mel bins, of which bin i is centred on the i-th inner mel frequency."""
    edges = mel_frequencies(num_mel_bins + 2)
    bins = np.interp(frequencies_hz, edges, np.arange(-1, num_mel_bins + 1))
    # 0 Hz and 8 kHz are edges, half a bin outside the picture: their ticks stand at its border.
    return np.clip(bins, -0.5, num_mel_bins - 0.5)
