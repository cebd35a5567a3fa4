"""Takes a plan's sample: some rows of a split, processed as an actor would, in a process apart. Nothing is written.

A row may crash or hang its decoder; then that process ends and not the run, which would meet the row again at every
start, and the sample is taken again without it. And what large pages took goes with the process.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from preprocess.features.long_clips import LongClips, stated_seconds
from preprocess.features.pieces import CutsOf, feature_rows
from preprocess.features.pipeline import PipelineSettings, RowPipeline
from preprocess.features.stages import StageClock
from preprocess.planning.cost import Cost, CostMeter
from preprocess.sources.base import Block, RowReader, Source, SourceRow
from preprocess.workspace.environment import actor_environment, leave_pandas_out
from shared.errors import RowRejectedError, SourceError, SpeechPrepError
from shared.schema import FeatureSpec, QuarantineReason
from shared.shard import FeatureRow, encoded_bytes
from shared.system.stop_request import deaf_children
from shared.units import format_counted

FIRST_ROWS = 200
"""Rows that are looked at first; whether they are enough is `SampleTask.enough`'s to say."""
SAMPLE_ROWS = 1_000
SAMPLE_BLOCKS = 40
INDEX_ROW_BYTES = 20
"""Compressed bytes of an index row without its labels, which take about one byte each."""
SILENT_SECONDS = 120.0
"""Nothing may take one row so long, not even a row group that comes over a slow network."""
MAX_LOST_ROWS = 10
"""A data set that kills its decoder this often among a thousand rows wants a person's look first."""
_LOST = RowRejectedError(QuarantineReason.CRASHED, "")
_NOTHING = RowRejectedError("", "")


@dataclass(frozen=True, slots=True)
class SampledRow:
    """One sampled row: its encoded bytes and what became of it (0 bytes and the *reason* when rejected).

    Rows read in one go have the same *stretch*. *long* is that of a clip over the model's window.
    """

    encoded_bytes: int
    payload_bytes: int
    audio_seconds: float
    rejected: bool
    stretch: int
    reason: str = ""
    long: LongClips | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of one split, with what one row costs a core and the store's bytes per payload byte."""

    rows: tuple[SampledRow, ...]
    cost_per_row: Cost
    overhead: float


def sample_ranges(blocks: Sequence[Block], limit: int | None = None) -> list[tuple[int, int]]:
    """Row ranges (start, stop) to sample at most: all rows of a small split, else the heads of blocks spread evenly."""
    edges = [0]
    for block in blocks:
        edges.append(edges[-1] + block.num_rows)
    total = min(edges[-1], limit) if limit is not None else edges[-1]
    if total <= FIRST_ROWS:
        return [(0, total)] if total else []
    inside = [edge for edge in edges[:-1] if edge < total]
    if len(inside) < SAMPLE_BLOCKS or total <= SAMPLE_ROWS:
        # Few large blocks: take evenly spaced stretches, wherever they begin.
        inside = [total * part // SAMPLE_BLOCKS for part in range(SAMPLE_BLOCKS)]
    chosen = [inside[len(inside) * part // SAMPLE_BLOCKS] for part in range(SAMPLE_BLOCKS)]
    rows = SAMPLE_ROWS // SAMPLE_BLOCKS
    stops = [*chosen[1:], total]
    return [(start, min(start + rows, stop)) for start, stop in zip(chosen, stops, strict=True)]


def in_two_steps(ranges: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """*ranges* as the heads that are taken first, and what is left of each; a single range is taken whole."""
    if len(ranges) <= 1:
        return list(ranges), []
    heads = [(start, min(stop, start + FIRST_ROWS // SAMPLE_BLOCKS)) for start, stop in ranges]
    return heads, [(head, stop) for (_, head), (_, stop) in zip(heads, ranges, strict=True)]


def always_enough(_rows: Sequence[SampledRow]) -> bool:
    """For a sample that is taken in one step."""
    return True


@dataclass(frozen=True, slots=True)
class SampleTask:
    """What to sample: stretches of *split* as readers, the first of its rows alone as *warm_up*. Picklable.

    *num_rows* is how many there are; those in *skipped* are left out and count as rejected. *more* are the stretches'
    further rows, which are taken where what was found first is not *enough*.
    """

    split: str
    warm_up: RowReader | None
    stretches: tuple[RowReader, ...]
    num_rows: int
    settings: PipelineSettings
    skipped: frozenset[int] = frozenset()
    more: tuple[RowReader, ...] = ()
    enough: Callable[[Sequence[SampledRow]], bool] = always_enough
    cuts: CutsOf | None = None

    def without(self, rows: Iterable[int]) -> "SampleTask":
        """The same without *rows*."""
        return replace(self, skipped=frozenset(rows))


def sample_task(
    source: Source,
    split: str,
    settings: PipelineSettings,
    limit: int | None = None,
    *,
    enough: Callable[[Sequence[SampledRow]], bool] = always_enough,
    cuts: CutsOf | None = None,
) -> SampleTask:
    """The task of sampling the first *limit* rows of *split*, or all, in two steps unless the first is *enough*.

    Recordings that *cuts* names are split.
    """
    ranges = sample_ranges(source.splits[split].blocks, limit)
    heads, rest = in_two_steps(ranges)
    stretches, more = (
        tuple(source.reader(split, start, stop) for start, stop in part if start < stop) for part in (heads, rest)
    )
    warm_up = source.reader(split, ranges[0][0], ranges[0][0] + 1) if ranges else None
    count = sum(stop - start for start, stop in heads)
    return SampleTask(split, warm_up, stretches, count, settings, more=more, enough=enough, cuts=cuts)


def sample_rows(task: SampleTask, progress: Callable[[int], None] = lambda _row_id: None) -> Sample:
    """Reads and processes the rows of *task* as an actor would; *progress* is told each row before it is processed."""
    pipeline = RowPipeline(task.settings, StageClock())
    spec, window = task.settings.spec, task.settings.model_limits.window_seconds
    sampled: list[SampledRow] = []
    features: list[FeatureRow] = []
    every = max(1, task.num_rows // SAMPLE_BLOCKS)
    for row in task.warm_up.rows() if task.warm_up else ():
        # What happens once (imports, tables made at first use) is no row's cost.
        progress(row.row_id)
        made = [] if row.row_id in task.skipped else _try(pipeline, row, task.cuts)[0]
        encoded_bytes(made, spec)
    making = CostMeter()
    for readers in (task.stretches, task.more):
        with making:
            for stretch, reader in enumerate(readers):
                for row in reader.rows():
                    progress(row.row_id)
                    made, refused = ([], _LOST) if row.row_id in task.skipped else _try(pipeline, row, task.cuts)
                    # A few rows from all over the split show what the store adds to their payloads.
                    if readers is task.stretches and len(sampled) % every == 0:
                        features += made
                    sampled.append(_measure(row, made, refused, stretch, window))
        if task.enough(sampled):
            break
    with CostMeter() as writing:
        stored = encoded_bytes(features, spec)
    cost = making.total * (1 / max(1, len(sampled))) + writing.total * (1 / max(1, len(features)))
    return Sample(tuple(sampled), cost, _overhead(features, stored, spec))


def _overhead(features: Sequence[FeatureRow], stored_bytes: int, spec: FeatureSpec) -> float:
    """The store's bytes per payload byte, where *features* take *stored_bytes* in a shard."""
    # The first row's bytes are taken off with what a row group costs by itself: `SHARD_BYTES` counts that.
    counted = features[1:] or features
    stored_bytes -= encoded_bytes(features[:1], spec) if len(features) > 1 else 0
    payload = sum(len(row.payload) for row in counted)
    index = sum(INDEX_ROW_BYTES + len(row.labels) for row in counted)
    return (stored_bytes + index) / payload if payload else 1.0


def _try(pipeline: RowPipeline, row: SourceRow, cuts: CutsOf | None) -> tuple[list[FeatureRow], RowRejectedError]:
    """The feature rows, or none and why not."""
    try:
        return feature_rows(pipeline, row, cuts), _NOTHING
    except RowRejectedError as error:
        return [], error


def _measure(
    row: SourceRow, made: Sequence[FeatureRow], refused: RowRejectedError, stretch: int, window: float
) -> SampledRow:
    encoded, payload = len(row.audio or b""), sum(len(part.payload) for part in made)
    seconds = [part.duration for part in made]
    split = [(len(made), sum(seconds))] if len(made) > 1 else []
    too_long = [stated_seconds(refused.message)] if refused.reason == QuarantineReason.TOO_LONG else []
    reason, long = "" if made else str(refused.reason), LongClips.counted(window, seconds, too_long, split)
    return SampledRow(encoded, payload, sum(seconds), rejected=not made, stretch=stretch, reason=reason, long=long)


@dataclass(frozen=True, slots=True)
class _Lost:
    """The process ended while it was at row *row_id*; None before it reached any."""

    row_id: int | None


def sample_apart(task: SampleTask, silent_seconds: float = SILENT_SECONDS) -> Sample:
    """As `sample_rows`, in another process; rows that end it are left out and count as rejected.

    Raises what `sample_rows` raises, and SourceError when too many rows, or none of them, end the process.
    """
    skipped: set[int] = set()
    while True:
        found = _attempt(task.without(skipped), silent_seconds)
        if isinstance(found, Sample):
            return found
        if found.row_id is None or found.row_id in skipped or len(skipped) == MAX_LOST_ROWS:
            where = "before it read a row" if found.row_id is None else f"at row {found.row_id}"
            raise SourceError(
                f"the process that samples split {task.split!r} ended {where}, after "
                f"{format_counted(len(skipped), 'row')} that end it",
                "look at memory, and at the rows with python -m preprocess.inspect",
            )
        skipped.add(found.row_id)


def _attempt(task: SampleTask, silent_seconds: float) -> Sample | _Lost:
    # A fresh interpreter, not a fork: this process may have threads.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, task), daemon=True)
    with actor_environment(), deaf_children(), _nobodys_main():
        process.start()
    theirs.close()
    try:
        return _listen(ours, silent_seconds)
    finally:
        process.kill()
        process.join()
        ours.close()


@contextmanager
def _nobodys_main() -> Iterator[None]:
    """A process that is started inside the block does not import the command again, as `multiprocessing` would have it.

    Half a second to a second of imports; nothing that the process is sent or calls is of the command's own module.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _listen(connection: Connection, silent_seconds: float) -> Sample | _Lost:
    """The child's result; until then it says which row it begins."""
    row_id: int | None = None
    try:
        while connection.poll(silent_seconds):
            message = connection.recv()
            if isinstance(message, Sample):
                return message
            if isinstance(message, BaseException):
                raise message
            row_id = message
    except EOFError:
        return _Lost(row_id)
    return _Lost(row_id)


def _child(connection: Any, task: SampleTask) -> None:
    leave_pandas_out()
    send: Callable[[object], None] = connection.send
    try:
        send(sample_rows(task, progress=send))
    except (SpeechPrepError, OSError) as error:
        send(error)
