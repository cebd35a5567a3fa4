"""A row's log-mel as a PNG small enough to be part of a page."""

import warnings
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from preprocess.inspection.log_mel_picture import save_log_mel_png
from preprocess.inspection.store import StoreRowFacts

MAX_PNG_BYTES = 320_000
_WIDTHS = (1_400, 1_100, 850, 650, 500)
_COLOURS = 128


def row_png(row: StoreRowFacts, log_mel: NDArray[np.float32]) -> bytes:
    """The picture of *row* with its words, as a PNG of at most 320 kB."""
    # In memory: a run that ended for want of disk still gets its pictures.
    file = BytesIO()
    with warnings.catch_warnings():
        # Scripts that the font lacks: the page itself shows the words, too.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        save_log_mel_png(file, log_mel, title=row.path, transcript=row.transkription, duration_seconds=row.duration)
    return shrunk(file.getvalue())


def shrunk(png: bytes, max_bytes: int = MAX_PNG_BYTES) -> bytes:
    """*png* with a palette, and narrower by steps until it takes at most *max_bytes* or is 500 pixels wide."""
    from PIL import Image  # noqa: PLC0415 - comes with matplotlib, and only a report needs it

    with Image.open(BytesIO(png)) as image:
        whole = image.convert("RGB")
    # The colour bar's ends are rare colours, which the other methods merge.
    method, small = Image.Quantize.MAXCOVERAGE, png
    for width in _WIDTHS:
        scale = min(1.0, width / whole.width)
        size = (round(whole.width * scale), max(1, round(whole.height * scale)))
        buffer = BytesIO()
        narrowed = whole.resize(size, Image.Resampling.LANCZOS)
        narrowed.quantize(_COLOURS, method).save(buffer, "PNG", optimize=True)
        small = buffer.getvalue()
        if len(small) <= max_bytes:
            break
    return small
