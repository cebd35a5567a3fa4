"""One unit, from source rows to a committed shard: every row is written or quarantined, and nothing else is left."""

import errno
import io
import os
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from preprocess.audio.decode import DecodeLimits, decode
from preprocess.features.log_mel import LogMel
from preprocess.features.worker import FeatureWorker, WorkerSettings
from preprocess.planning.completion import cancelled_rows
from preprocess.planning.job import plan_job
from preprocess.settings import RunSettings
from preprocess.sources.base import SourceFile
from preprocess.workspace.cleanup import owner_of
from preprocess.workspace.prepare import prepare_store
from shared.errors import InterruptedRunError, ReservationOutgrownError, SourceError
from shared.rows import dequantise
from shared.schema import QuarantineReason
from shared.shard import write_quarantine
from shared.system.owner_mark import own_mark
from tests.support.samples import quarantined_row, wav, write_source

pytestmark = pytest.mark.usefixtures("quick_plans")
GOOD = [(wav(1_600 + 160 * n, seed=n), f"{n}.wav", f"Satz {n}: schöne Grüße") for n in range(8)]


def not_finite() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(1_600, np.nan, np.float32), 16_000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


# What the source holds, and what must become of it; None is a written row. Clips may last 2 s and have 100 kB.
FATES = [
    (GOOD[0], None),
    ((None, "missing.wav", "Satz"), QuarantineReason.NO_AUDIO),
    ((b"", "empty.wav", "Satz"), QuarantineReason.EMPTY_AUDIO),
    ((wav(0), "silent.wav", "Satz"), QuarantineReason.EMPTY_AUDIO),
    ((b"no sound" * 100, "noise.wav", "Satz"), QuarantineReason.UNDECODABLE),
    ((not_finite(), "nan.wav", "Satz"), QuarantineReason.NOT_FINITE),
    ((wav(32_001), "long.wav", "Satz"), QuarantineReason.TOO_LONG),
    ((wav(32_000), "longest.wav", "Satz"), None),
    ((bytes(100_001), "large.wav", "Satz"), QuarantineReason.TOO_LARGE),
    ((None, "../outside.wav", "Satz"), QuarantineReason.OUTSIDE_SOURCE),
    ((wav(), "untold.wav", " \t\u200b"), QuarantineReason.EMPTY_TRANSCRIPT),
    ((wav(), "null.wav", None), QuarantineReason.EMPTY_TRANSCRIPT),
    ((wav(), "verbose.wav", "!?" * 500), QuarantineReason.TOO_MANY_LABELS),
    ((wav(), "deadly.wav", "Satz"), QuarantineReason.CRASHED),
    ((wav(), "timed.wav", "<|0.00|> Satz<|2.00|>"), QuarantineReason.TIMESTAMPS),
    ((wav(), "commanded.wav", "<|de|> Satz"), QuarantineReason.SPECIAL_TOKENS),
    (GOOD[1], None),
]
CRASHED_ROW = 13


@pytest.fixture
def planned(tmp_path, demo_model):
    """Plans a job over *rows* and prepares its store, as a run does before it starts actors."""

    def plan(rows, name="store", **settings):
        source = write_source(tmp_path / "source" / "train.parquet", rows)
        given = {"source": str(source.parent), "model": str(demo_model), "store": tmp_path / name}
        job = plan_job(RunSettings(**(given | settings)))
        job.layout.root.mkdir()
        prepare_store(job.layout, job.record, "{}\n", "")
        return job

    return plan


def worker(job, host="me"):
    return FeatureWorker(WorkerSettings(job.layout.root, job.pipeline), replace(own_mark(), host=host))


def tasks(job):
    return [job.task_for(unit) for unit in job.open_units()]


def files(job):
    return sorted(str(path.relative_to(job.layout.root)) for path in job.layout.root.rglob("*.parquet*"))


def rows(job, folder="data", split="train"):
    tables = [pq.read_table(path) for path in sorted((job.layout.root / folder).glob(f"{split}-*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


@dataclass(frozen=True)
class Interposed:
    """A reader that does something else after *count* rows."""

    reader: object
    count: int
    action: object

    def source_files(self):
        return self.reader.source_files()

    def rows(self, batch_bytes):
        for number, row in enumerate(self.reader.rows(batch_bytes)):
            if number == self.count:
                self.action()
            yield row


def inverted() -> bytes:
    """Speech whose right channel is its left one turned round."""
    samples, rate = soundfile.read(io.BytesIO(wav(seed=5)), dtype="float32")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([samples, -samples], axis=1), rate, format="WAV")
    return buffer.getvalue()


def test_rows_whose_channels_cancel_each_other_are_written_and_told_by_every_shard_that_has_some(planned):
    rows_given = [GOOD[0], (inverted(), "inverted.wav", "Satz"), GOOD[1]]
    job = planned([*rows_given, *GOOD[2:]], shard_size=1)
    reports = [worker(job).process(task) for task in tasks(job)]
    assert [row for report in reports for row in report.cancelled] == [1]
    assert sum(report.rows for report in reports) == len(rows_given) + len(GOOD[2:])
    assert cancelled_rows(job.layout, "train", job.record.splits["train"]) == [1]


def test_every_row_is_written_or_quarantined_with_its_reason(planned, tmp_path):
    (tmp_path / "outside.wav").write_bytes(wav())
    job = planned([row for row, _ in FATES], max_duration=2.0, shard_size=10**9)
    job = replace(job, pipeline=replace(job.pipeline, limits=DecodeLimits(max_seconds=2.0, max_encoded_bytes=100_000)))
    made = worker(job)
    for unit in job.open_units():
        report = made.process(job.task_for(unit, frozenset({CRASHED_ROW})))
        assert report.rows + sum(report.quarantined.values()) == unit.num_rows
    fates = {row["row_id"]: row["reason"] for row in rows(job, "quarantine")} | {
        row["row_id"]: None for row in rows(job)
    }
    assert fates == {number: fate for number, (_, fate) in enumerate(FATES)}
    # Leaks and recordings that cannot be split have tests of their own.
    elsewhere = {QuarantineReason.TEST_LEAK, QuarantineReason.UNSPLITTABLE}
    assert {fate for _, fate in FATES} - {None} == set(QuarantineReason) - elsewhere
    assert list(job.layout.partial.iterdir()) == []


def test_a_row_whose_text_is_not_utf_8_is_quarantined_alone(planned, tmp_path):
    job = planned([GOOD[0], (wav(), "", "Satz XXXX"), GOOD[1]], shard_size=10**9)
    file = tmp_path / "source/train.parquet"
    table = pq.read_table(file).combine_chunks()
    # pyarrow writes whatever bytes a string column holds, and so do other programs.
    text = table["transkription"].chunk(0)
    broken = pa.py_buffer(text.buffers()[2].to_pybytes().replace(b"XXXX", b"\xff\xfe\xc3\x28"))
    strings = pa.Array.from_buffers(pa.string(), 3, [None, text.buffers()[1], broken])
    pq.write_table(table.set_column(1, "transkription", strings), file)
    for task in tasks(job):
        worker(job).process(task)
    assert [row["row_id"] for row in rows(job)] == [0, 2]
    assert [(row["row_id"], row["reason"]) for row in rows(job, "quarantine")] == [(1, "undecodable")]


def test_a_quarantined_row_keeps_its_path_and_a_message(planned):
    job = planned([*GOOD[:1], (b"no sound" * 100, "noise.wav", "Satz")])
    for task in tasks(job):
        worker(job).process(task)
    [found] = rows(job, "quarantine")
    assert (found["row_id"], found["path"]) == (1, "noise.wav")
    assert found["message"]


def test_a_written_row_holds_what_the_source_says(planned):
    job = planned(GOOD[:3])
    for task in tasks(job):
        worker(job).process(task)
    row = rows(job)[2]
    assert (row["row_id"], row["transkription"], row["source"], row["path"]) == (2, GOOD[2][2], "korpus 2", "2.wav")
    assert row["duration"] == pytest.approx(1_920 / 16_000)
    assert row["num_frames"] == 14
    assert len(row["log_mel"]) == 14 * 80 * 2


def test_a_shard_accounts_for_its_rows(planned):
    job = planned([*GOOD, (b"", "", "Satz")], shard_size=10**9)
    for task in tasks(job):
        worker(job).process(task)
    totals = np.zeros(3, int)
    for path in job.layout.data.iterdir():
        metadata = pq.read_metadata(path).metadata
        counts = [int(metadata[name]) for name in (b"rows_in", b"rows_out", b"rows_quarantined")]
        assert counts[0] == counts[1] + counts[2]
        assert metadata[b"plan_digest"].decode() == job.plans[0].record.digest
        totals += counts
    assert totals.tolist() == [9, 8, 1]


def test_a_unit_without_usable_rows_is_an_empty_shard(planned):
    job = planned([GOOD[0], (b"", "", "Satz")])
    reports = [worker(job).process(task) for task in tasks(job)]
    assert [report.rows for report in reports] == [1, 0]
    assert len(list(job.layout.data.iterdir())) == 2


def test_two_attempts_are_equal_byte_for_byte(planned):
    jobs = [planned([*GOOD, (b"", "", "Satz")], name) for name in ("first", "second")]
    for number, job in enumerate(jobs):
        for task in tasks(job)[:: 1 if number else -1]:
            worker(job, f"owner{number}").process(task)
    contents = [[(name, (job.layout.root / name).read_bytes()) for name in files(job)] for job in jobs]
    assert contents[0] == contents[1]


def test_the_second_of_two_racing_writers_drops_its_own(planned):
    job = planned([*GOOD, (b"", "", "Satz")], shard_size=10**9)
    task = tasks(job)[-1]
    final = job.layout.shard("train", task.unit.number, task.num_units)
    # While the slow one is at its last row, the other one does the whole unit.
    first = []
    reader = Interposed(task.reader, 0, lambda: first.append(worker(job, "other").process(task)))
    report = worker(job, "slow").process(replace(task, reader=reader))
    inode = final.stat().st_ino
    assert (report.rows, report.quarantined) == (first[0].rows, first[0].quarantined)
    worker(job, "late").process(task)
    assert final.stat().st_ino == inode
    assert list(job.layout.partial.iterdir()) == []


def test_an_earlier_attempts_quarantine_gives_way_to_none(planned):
    job = planned(GOOD[:1])
    [task] = tasks(job)
    stale = job.layout.quarantined("train", 0, 1)
    write_quarantine(job.layout.partial / "q", stale, [quarantined_row(0, "crashed")])
    worker(job).process(task)
    assert not stale.exists()
    assert [row["row_id"] for row in rows(job)] == [0]


def test_an_earlier_attempts_quarantine_gives_way_to_the_new_one(planned):
    job = planned([(b"no sound" * 100, "", "Satz")])
    [task] = tasks(job)
    write_quarantine(job.layout.partial / "q", job.layout.quarantined("train", 0, 1), [quarantined_row(0, "crashed")])
    worker(job).process(task)
    assert [row["reason"] for row in rows(job, "quarantine")] == ["undecodable"]


def test_a_committed_shards_quarantine_is_never_touched(planned):
    job = planned([GOOD[0], (b"no sound" * 100, "", "Satz")], shard_size=10**9)
    first = tasks(job)
    for task in first:
        worker(job).process(task)
    before = {name: (job.layout.root / name).stat().st_ino for name in files(job)}
    for task in first:
        # A zombie that believes another row to be deadly.
        worker(job, "zombie").process(replace(task, crashed_rows=frozenset({0})))
    assert {name: (job.layout.root / name).stat().st_ino for name in files(job)} == before


def test_stop_ends_the_open_unit_and_leaves_nothing_behind(planned):
    job = planned([(b"", "", "Satz"), *GOOD], test_fraction=0.0)
    stopping = worker(job)
    for task in tasks(job):
        with pytest.raises(InterruptedRunError, match="given up"):
            stopping.process(replace(task, reader=Interposed(task.reader, 0, stopping.stop)))
    assert files(job) == []
    assert list(job.layout.partial.iterdir()) == []


def test_a_source_that_lost_rows_is_refused_and_nothing_is_committed(planned):
    job = planned(GOOD)
    task = tasks(job)[0]
    more = replace(task, unit=replace(task.unit, num_rows=task.unit.num_rows + 1))
    with pytest.raises(SourceError, match="the source gave 1 row, planned were 2"):
        worker(job).process(more)
    assert files(job) == []


def test_a_full_disk_is_reported_as_itself_and_leaves_nothing_behind(planned, monkeypatch):
    job = planned([GOOD[0], (b"", "", "Satz")])
    task = tasks(job)[0]

    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        worker(job).process(task)
    assert files(job) == []


@dataclass
class OfManyFiles:
    """A reader whose rows come from two thousand files with long names."""

    reader: object

    def source_files(self):
        return [SourceFile(f"{'ü' * 100}{number}.wav", 10**6, 10**18) for number in range(2_000)]

    def rows(self, batch_bytes):
        return self.reader.rows(batch_bytes)


@pytest.mark.parametrize("max_bytes", [0, 150_000, 400_000, 600_000, 900_000, None])
def test_a_unit_takes_no_more_than_was_reserved_with_all_that_is_told_of_its_files(planned, max_bytes):
    job = planned([GOOD[0], (b"", "", "Satz")])
    task = tasks(job)[0]
    task = replace(task, reader=OfManyFiles(task.reader), max_bytes=max_bytes)
    try:
        worker(job).process(task)
    except ReservationOutgrownError:
        assert max_bytes < 700_000
        assert files(job) == []
        assert list(job.layout.provenance.iterdir()) == []
    else:
        folders = (job.layout.data, job.layout.quarantine, job.layout.provenance)
        taken = sum(path.stat().st_blocks * 512 for folder in folders for path in folder.iterdir())
        assert 400_000 < taken <= (max_bytes or 10**9)


def test_a_workers_partial_file_names_its_process(planned):
    job = planned([GOOD[0], (b"", "", "Satz")])
    task, owners = tasks(job)[0], []

    def look():
        owners.extend(owner_of(path.name) for path in job.layout.partial.iterdir())

    unnamed = FeatureWorker(WorkerSettings(job.layout.root, job.pipeline))
    unnamed.process(replace(task, reader=Interposed(task.reader, 0, look)))
    assert owners == [own_mark()]


def test_a_probe_writes_nothing(planned):
    job = planned([GOOD[0], (b"", "", "Satz")])
    for task in tasks(job):
        worker(job).probe(task)
    assert files(job) == []
    assert list(job.layout.partial.iterdir()) == []


def test_a_worker_can_be_watched(planned):
    job = planned([*GOOD, (b"", "", "Satz")], shard_size=10**9)
    watched = worker(job)
    seen = []
    task = tasks(job)[-1]
    watched.process(replace(task, reader=Interposed(task.reader, 0, lambda: seen.append(watched.progress.rows))))
    assert seen == [0]
    assert (watched.progress.unit, watched.progress.rows) == (task.name, task.unit.num_rows)
    assert watched.progress.quarantined == 1


def test_a_report_tells_stages_seconds_and_bytes(planned):
    job = planned(GOOD)
    task = tasks(job)[0]
    report = worker(job).process(task)
    stages = {"read", "tokenise", "decode", "resample", "log_mel", "write", "commit"}
    assert set(report.stage_seconds) == stages
    assert 0 < sum(report.stage_seconds.values()) <= report.seconds
    assert report.num_bytes == job.layout.shard("train", 0, task.num_units).stat().st_size
    assert report.audio_seconds == pytest.approx(0.1)


def test_a_test_fraction_divides_the_rows_without_loss(planned):
    clips = [(wav(800, seed=n), f"{n}.wav", f"Satz {n}") for n in range(60)]
    job = planned(clips, test_fraction=0.3)
    for task in tasks(job):
        worker(job).process(task)
    ids = {split: [row["row_id"] for row in rows(job, split=split)] for split in ("train", "test")}
    assert 5 < len(ids["test"]) < 35
    assert sorted(ids["train"] + ids["test"]) == list(range(60))


def test_the_rows_of_a_part_are_those_that_its_selection_names(planned):
    job = planned([(wav(800, seed=n), f"{n}.wav", f"Satz {n}") for n in range(20)], test_fraction=0.3)
    for plan in job.plans:
        wanted = np.flatnonzero(plan.selection.mask(0, 20)).tolist()
        worker(job).process(job.task_for(replace(plan.units[0], start=0, stop=20, num_rows=len(wanted))))
        assert [row["row_id"] for row in rows(job, split=plan.name)] == wanted


def test_uint8_errs_by_at_most_a_two_hundred_and_fiftieth(planned):
    jobs = {dtype: planned(GOOD, dtype, feature_dtype=dtype) for dtype in ("float16", "uint8")}
    for job in jobs.values():
        for task in tasks(job):
            worker(job).process(task)
    reference = LogMel(jobs["uint8"].pipeline.filters)
    for dtype, job in jobs.items():
        for row, (audio, _, _) in zip(rows(job), GOOD, strict=True):
            found = dequantise(row["log_mel"], job.record.features, row["num_frames"], row["floor"])
            error = np.abs(found - reference(decode(audio, job.pipeline.limits))).max()
            assert error <= {"float16": 0.0005, "uint8": 0.0040}[dtype]
