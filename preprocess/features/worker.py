"""FeatureWorker: one unit, from source rows to a committed shard. A plain class; an actor wraps it.

Order of a commit: quarantined rows, what the unit was made from, then the shard. The shard's name is the only mark of
progress.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import psutil
import pyarrow.parquet as pq

from preprocess.features.held_out import HeldOut
from preprocess.features.pieces import CutsOf, feature_rows
from preprocess.features.pipeline import PipelineSettings, RowPipeline
from preprocess.features.provenance import Provenance, ReadChecksum, this_software
from preprocess.features.stages import StageClock
from preprocess.sources.base import BATCH_BYTES, RowReader, SourceRow
from preprocess.units import Unit
from shared.errors import InterruptedRunError, RowRejectedError, SourceError
from shared.layout import StoreLayout, shard_name
from shared.membership import shard_counts, unit_metadata
from shared.schema import FORMAT_VERSION, QuarantineReason
from shared.selection import Selection
from shared.shard import FeatureRow, QuarantinedRow, ShardWriter, write_quarantine
from shared.system.durable import fsync_directory, write_durably
from shared.system.owner_mark import OwnerMark, own_mark
from shared.units import format_counted

_BLOCK_BYTES = 4096
"""What a disk gives a file in."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What every unit of a run shares; picklable."""

    store: Path
    pipeline: PipelineSettings


@dataclass(frozen=True, slots=True)
class UnitTask:
    """One unit's work: rows from *reader*, those of *selection*, without *crashed_rows*, in at most *max_bytes*.

    Rows that equal one in the committed shards *held_out* are quarantined. Recordings that *cuts* names are
    split. *batch_bytes* is how much audio is read at
    once; it does not show in the shard.
    """

    unit: Unit
    num_units: int
    plan_digest: str
    reader: RowReader
    selection: Selection = field(default_factory=Selection)
    crashed_rows: frozenset[int] = frozenset()
    max_bytes: int | None = None
    batch_bytes: int = BATCH_BYTES
    format_version: int = FORMAT_VERSION
    held_out: tuple[Path, ...] = ()
    cuts: CutsOf | None = None

    @property
    def name(self) -> str:
        """The shard's file name."""
        return shard_name(self.unit.split, self.unit.number, self.num_units)


@dataclass(frozen=True, slots=True)
class UnitReport:
    """What one finished unit came to; small, since it travels through Ray. *quarantined* counts by reason.

    *memory_bytes* is the worker's unique set size at its end, *cancelled* are the rows of `RowPipeline.cancelled`.
    """

    unit: Unit
    rows: int
    quarantined: Mapping[str, int]
    audio_seconds: float
    num_bytes: int
    stage_seconds: Mapping[str, float]
    seconds: float
    memory_bytes: int
    cancelled: Sequence[int] = ()


@dataclass(slots=True)
class WorkerProgress:
    """What a worker is at, readable from another thread at any moment."""

    unit: str = ""
    unit_rows: int = 0
    rows: int = 0
    audio_seconds: float = 0.0
    quarantined: int = 0


class FeatureWorker:
    """Makes shards for one run. One unit at a time; `stop` may come from another thread.

    Partial files are marked with this process, or with *owner*.
    """

    def __init__(self, settings: WorkerSettings, owner: OwnerMark | None = None) -> None:
        self._owner = owner or own_mark()
        self._layout = StoreLayout(settings.store)
        self._settings = settings
        self._clock = StageClock()
        self._pipeline = RowPipeline(settings.pipeline, self._clock)
        self._stopping = False
        self._held_out: HeldOut | None = None
        self.progress = WorkerProgress()

    def stop(self) -> None:
        """Makes the open unit end at its next row, leaving nothing behind."""
        self._stopping = True

    def process(self, task: UnitTask) -> UnitReport:
        """Makes and commits the shard of *task*; one that another writer committed meanwhile is reported instead.

        Raises OSError when the disk refuses, ReservationOutgrownError when the shard would pass *max_bytes*,
        SourceError when the source cannot be read, InterruptedRunError after `stop`. In all cases the unit's partial
        files are gone.
        """
        started = perf_counter()
        self._clock.seconds, self._pipeline.cancelled = {}, []
        unit = task.unit
        final = self._layout.shard(unit.split, unit.number, task.num_units)
        self.progress = WorkerProgress(task.name, unit.num_rows)
        quarantined: list[QuarantinedRow] = []
        files, checksum = task.reader.source_files(), ReadChecksum()
        spec, partial = self._settings.pipeline.spec, self._partial(task.name)
        # How long that gets is known before a row is read: a checksum always has the same length.
        most = _beside(task.max_bytes, Provenance(checksum.text, files, this_software()))
        later_pieces = 0
        with ShardWriter(partial, spec, max_bytes=most, version=task.format_version) as writer:
            for row in self._feature_rows(task, quarantined, checksum):
                later_pieces += row.piece > 0
                with self._clock.stage("write"):
                    writer.append(row)
            found = writer.num_rows - later_pieces + len(quarantined)
            if found != unit.num_rows:
                message = f"{task.name}: the source gave {format_counted(found, 'row')}, planned were {unit.num_rows}"
                raise SourceError(message, "the source changed during the run: restore it, or use a new --store")
            with self._clock.stage("commit"):
                writer.seal(_metadata(task, writer.num_rows, len(quarantined)))
                origin = Provenance(checksum.text, files, this_software(), tuple(self._pipeline.cancelled))
                self._commit(task, writer, quarantined, origin)
        return self._report(unit, final, quarantined, perf_counter() - started)

    def probe(self, task: UnitTask) -> None:
        """Processes the rows of *task* without writing anything: it survives, or the process dies as it did before."""
        self.progress = WorkerProgress(f"{task.name} (probe)", task.unit.stop - task.unit.start)
        for _ in self._feature_rows(task, [], ReadChecksum()):
            pass

    def _feature_rows(
        self, task: UnitTask, quarantined: list[QuarantinedRow], checksum: ReadChecksum
    ) -> Iterator[FeatureRow]:
        """Feature rows in order; rejected ones are appended to *quarantined* instead. *checksum* takes in all."""
        held_out = self._held_out_of(task)
        for row in self._selected_rows(task, checksum):
            if self._stopping:
                raise InterruptedRunError(f"{task.name} was given up: the run is stopping")
            try:
                made = feature_rows(self._pipeline, row, task.cuts)
                for features in made:
                    held_out.refuse(features)
            except RowRejectedError as error:
                quarantined.append(QuarantinedRow(row.row_id, row.path, error.reason, error.message))
                self.progress.quarantined += 1
            else:
                self.progress.audio_seconds += sum(features.duration for features in made)
                yield from made
            self.progress.rows += 1

    def _held_out_of(self, task: UnitTask) -> HeldOut:
        """Read once for all units of a split."""
        if self._held_out is None or self._held_out.shards != task.held_out:
            self._held_out = HeldOut(task.held_out)
        return self._held_out

    def _selected_rows(self, task: UnitTask, checksum: ReadChecksum) -> Iterator[SourceRow]:
        selected = task.selection.mask(task.unit.start, task.unit.stop)
        rows = task.reader.rows(task.batch_bytes)
        while True:
            with self._clock.stage("read"):
                row = next(rows, None)
            if row is None:
                return
            if selected[row.row_id - task.unit.start]:
                with self._clock.stage("read"):
                    checksum.add(row)
                yield _spoilt(row) if row.row_id in task.crashed_rows else row

    def _commit(
        self, task: UnitTask, writer: ShardWriter, quarantined: list[QuarantinedRow], origin: Provenance
    ) -> None:
        place = task.unit.split, task.unit.number, task.num_units
        final = self._layout.shard(*place)
        if not final.exists():
            self._commit_quarantine(task, quarantined)
            partial = self._partial(f"provenance-{task.name}")
            write_durably(self._layout.provenance_of(*place), origin.content(), partial)
        writer.publish(final)

    def _commit_quarantine(self, task: UnitTask, quarantined: list[QuarantinedRow]) -> None:
        final = self._layout.quarantined(task.unit.split, task.unit.number, task.num_units)
        if quarantined:
            write_quarantine(self._partial(f"quarantine-{task.name}"), final, quarantined, task.format_version)
        elif final.exists():
            # An earlier attempt at this unit rejected rows and died before its shard was committed.
            final.unlink()
            fsync_directory(final.parent)

    def _partial(self, name: str) -> Path:
        return self._layout.partial / f"{name}.{self._owner.text}"

    def _report(self, unit: Unit, final: Path, quarantined: list[QuarantinedRow], seconds: float) -> UnitReport:
        return UnitReport(
            unit=unit,
            rows=shard_counts(pq.read_metadata(final), final.name)[1],
            quarantined=Counter(row.reason for row in quarantined),
            audio_seconds=self.progress.audio_seconds,
            num_bytes=final.stat().st_size,
            stage_seconds=dict(self._clock.seconds),
            seconds=seconds,
            memory_bytes=psutil.Process().memory_full_info().uss,
            cancelled=tuple(self._pipeline.cancelled),
        )


def _beside(max_bytes: int | None, origin: Provenance) -> int | None:
    """What of *max_bytes* is left for a shard beside its *origin*."""
    if max_bytes is None:
        return None
    return max(0, max_bytes - -(-len(origin.content()) // _BLOCK_BYTES) * _BLOCK_BYTES)


def _spoilt(row: SourceRow) -> SourceRow:
    """*row* without its audio, which nobody may touch again."""
    message = "this row alone kills the process that works on it"
    return replace(row, audio=None, problem=QuarantineReason.CRASHED, problem_message=message)


def _metadata(task: UnitTask, written: int, quarantined: int) -> dict[str, str]:
    """The shard's own account of itself; the same on every attempt, so that attempts are equal byte for byte."""
    unit = task.unit
    place = unit_metadata(
        unit.split,
        unit.number,
        task.num_units,
        rows=(unit.start, unit.stop),
        plan_digest=task.plan_digest,
        version=task.format_version,
    )
    counts = {
        "rows_in": str(unit.num_rows),
        "rows_out": str(unit.num_rows - quarantined),
        "rows_quarantined": str(quarantined),
    }
    # Of a store without splitting each row is one piece, and its shards stay what they were.
    return place | counts | ({} if task.cuts is None else {"pieces_out": str(written)})
