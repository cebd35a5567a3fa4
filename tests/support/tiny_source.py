"""A data set of seven clips in two row groups, in the Hub's Parquet layout; clip 2 belongs into quarantine."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile as sf


def write_tiny_source(file: Path, clips: int = 7) -> None:
    """Writes *file*; clip 2 has no transcript."""
    rows = [{"audio": {"bytes": _wav(clip), "path": f"{clip}.wav"}, "transkription": f"Satz {clip}"}
            for clip in range(clips)]  # fmt: skip
    rows[2]["transkription"] = ""
    for row in rows:
        row["source"] = "tiny"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=(clips + 1) // 2)


def _wav(clip: int) -> bytes:
    seconds = 0.2 + 0.05 * clip
    samples = 0.3 * np.sin(2 * np.pi * (200 + 40 * clip) * np.arange(int(16_000 * seconds)) / 16_000)
    buffer = io.BytesIO()
    sf.write(buffer, samples, 16_000, format="WAV", subtype="PCM_16")
    return buffer.getvalue()
