"""Rows and row groups that need much memory: each is written or quarantined within the run's memory limit."""

import io
import struct
import uuid

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from tests.support.hostile import hand_made
from tests.support.memory_group import MemoryGroup
from tests.support.runs import Run
from tests.support.samples import wav, write_source

MB = 1 << 20


def recording(seconds, sampling_rate, channels, container="WAV"):
    """A recording of soft noise, 16 bits a sample."""
    samples = np.random.default_rng(0).normal(0, 0.1, (int(seconds * sampling_rate), channels)).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sampling_rate, format=container, subtype="PCM_16")
    return buffer.getvalue()


def heavy(num_bytes=4_000_000):
    """A short recording in a large file, most of which no decoder looks at; like sound it cannot be compressed."""
    clip = recording(0.5, 48_000, 2)
    chunks = clip[12:] + struct.pack("<4sI", b"junk", num_bytes) + np.random.default_rng(0).bytes(num_bytes)
    return struct.pack("<4sI4s", b"RIFF", len(chunks) + 4, b"WAVE") + chunks


def fates(store):
    """Reason by row id for the quarantined rows, '' for the written ones."""
    found = {}
    for path in store.glob("data/*.parquet"):
        found |= dict.fromkeys(pq.read_table(path, columns=["row_id"]).column("row_id").to_pylist(), "")
    for path in store.glob("quarantine/*.parquet"):
        table = pq.read_table(path, columns=["row_id", "reason"])
        found |= dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return found


def run_within(tmp_path, model, rows, limit_bytes, seconds=180, **layout):
    """The fates of *rows* in a run within *limit_bytes*, which the kernel enforces."""
    source = write_source(tmp_path / "source" / "train.parquet", rows, **layout)
    options = ["--source", str(source), "--model", str(model), "--max-quarantine", "100%"]
    options += ["--shard-size", "1kB"]
    with MemoryGroup(f"speech-prep-test-{uuid.uuid4().hex[:8]}", limit_bytes) as group:
        run = Run(tmp_path / "store", options, prefix=group.enter)
        try:
            assert run.wait(seconds) == 0, run.messages()
        finally:
            run.end()
        assert group.oom_kills == 0
        assert group.most_bytes <= limit_bytes
    assert "died" not in run.stdout.read_text()
    return fates(run.store)


def test_long_loud_and_lying_recordings_are_written_or_quarantined(tmp_path, demo_model):
    long, short = recording(40, 192_000, 2), recording(29, 192_000, 2)
    claims = hand_made()
    liars = [claims[name].encoded for name in sorted(claims) if "2^36 - 1" in name or "2^63" in name]
    assert len(liars) >= 3
    clips = [wav(), long, short, *liars, short, long, wav(seed=1)]
    found = run_within(tmp_path, demo_model, [(clip, "clip", "Ein Satz.") for clip in clips], 1_600 * MB)
    assert sorted(found) == list(range(len(clips)))
    last = len(clips) - 1
    assert [found[row] for row in (0, 1, 2, last - 2, last - 1, last)] == ["", "too_long", "", "", "too_long", ""]


@pytest.mark.parametrize(
    ("rows", "limit_mb"),
    [pytest.param(64, 2_400, id="256 MB"), pytest.param(256, 6_000, id="1 GB", marks=pytest.mark.campaign)],
)
def test_a_row_group_that_is_one_page_is_read_by_no_more_actors_than_memory_allows(
    tmp_path, demo_model, rows, limit_mb
):
    clip = heavy()
    # Each ends otherwise: equal ones would stand only once in the file.
    clips = (clip[:-4] + number.to_bytes(4, "little") for number in range(2 * rows))
    content = [(clip, f"{number}.wav", "Ein Satz.") for number, clip in enumerate(clips)]
    found = run_within(tmp_path, demo_model, content, limit_mb * MB, seconds=900, row_group_size=rows)
    assert found == dict.fromkeys(range(2 * rows), "")


def test_clips_that_stand_once_in_a_row_group_are_not_unpacked_all_at_once(tmp_path, demo_model):
    content = [(heavy(), "clip.wav", "Ein Satz.")] * 128
    found = run_within(tmp_path, demo_model, content, 1_200 * MB, row_group_size=128)
    assert found == dict.fromkeys(range(128), "")
