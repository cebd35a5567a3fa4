"""The plan: contiguous ranges of source rows, each of which becomes one shard. Pure.

The same source metadata and settings always give the same plan; its digest covers everything that decides a shard's
bytes, so that a store never mixes two plans.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from preprocess.alignment.cut_plan import CutPlan
from preprocess.piece_ranges import PieceCounts
from preprocess.sources.base import Block, Columns, SplitLayout
from shared.layout import SplitRecord
from shared.models.limits import ModelLimits
from shared.schema import FORMAT_VERSION, FeatureSpec, fingerprint
from shared.selection import Selection


@dataclass(frozen=True, slots=True)
class Unit:
    """Source rows *start* to *stop* (exclusive), of which *num_rows* are selected: shard *number* of *split*.

    *further_pieces* are those that its recordings are split into, beyond one a row.
    """

    split: str
    number: int
    start: int
    stop: int
    num_rows: int
    further_pieces: int = 0

    @property
    def num_pieces(self) -> int:
        """Rows of its shard, where none is quarantined; one that is not split is one piece."""
        return self.num_rows + self.further_pieces


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """One split of the store: its units and the record that goes into `store.json`."""

    name: str
    source_split: str
    selection: Selection
    units: tuple[Unit, ...]
    record: SplitRecord

    @property
    def num_rows(self) -> int:
        """Rows that go in: each is written or quarantined."""
        return self.record.num_rows

    @property
    def num_pieces(self) -> int:
        """The pieces of these rows; one that is not split is one."""
        return sum(unit.num_pieces for unit in self.units)


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """What decides the bytes of a row, besides the row itself."""

    spec: FeatureSpec
    tokenizer: str
    language: str
    max_duration: float
    columns: Columns = field(default_factory=Columns)
    format_version: int = FORMAT_VERSION
    strip_timestamps: bool = False
    limits: ModelLimits = field(default_factory=ModelLimits)

    def settings(self) -> dict[str, Any]:
        """As a split's record states them; what came later, or is not Whisper's own, only where it was asked for.

        So stores of before go on under their digests.
        """
        usual, own = asdict(ModelLimits()), asdict(self.limits)
        return {
            "feature_dtype": self.spec.dtype,
            "num_mel_bins": self.spec.num_mel_bins,
            "tokenizer": self.tokenizer,
            "language": self.language,
            "max_duration": self.max_duration,
            **self.columns.settings(),
            **({"strip_timestamps": True} if self.strip_timestamps else {}),
            **{name: value for name, value in own.items() if value != usual[name]},
        }


def plan_split(
    name: str,
    layout: SplitLayout,
    features: FeatureSettings,
    rows_per_unit: int,
    *,
    selection: Selection | None = None,
    limit: int | None = None,
    shard_bytes: int = 0,
    forecast_bytes: int = 0,
    held_out: Mapping[str, str] | None = None,
    cuts: CutPlan | None = None,
) -> SplitPlan:
    """Plans split *name* of the store from the source split *layout*, about *rows_per_unit* rows a shard.

    *limit* takes the first rows of the source split. A split without rows has no units. Rows that equal one of the
    splits *held_out*, which are named with their plans' digests, are left out. Recordings that *cuts* names are split,
    and each of their pieces counts as a row of a shard.
    """
    selection = selection or Selection()
    counts = PieceCounts.of({} if cuts is None else cuts.num_pieces)
    ranges = _ranges(layout.blocks, rows_per_unit, limit, counts)
    units = tuple(_unit(name, number, edges, selection, counts) for number, edges in enumerate(ranges))
    settings = features.settings() | {
        "limit": limit,
        "shard_size": shard_bytes,
        "part": selection.part,
        "test_fraction": selection.test_fraction,
    }
    # Only where they are asked for: stores of earlier versions state no such settings.
    if cuts is not None:
        settings |= {"long_audio": "split", "cuts": cuts.digest}
    if held_out:
        settings["drop_test_leaks"] = dict(held_out)
    digest = fingerprint(
        [features.format_version, name, layout.name, layout.fingerprint, settings, [[u.start, u.stop] for u in units]]
    )
    num_rows = sum(unit.num_rows for unit in units)
    record = SplitRecord(
        digest,
        len(units),
        num_rows,
        rows_per_unit,
        layout.name,
        layout.fingerprint,
        forecast_bytes,
        settings,
        row_bounds=(*(unit.start for unit in units), *(unit.stop for unit in units[-1:])),
    )
    return SplitPlan(name, layout.name, selection, units, record)


def _unit(name: str, number: int, edges: tuple[int, int], selection: Selection, counts: PieceCounts) -> Unit:
    selected = selection.mask(*edges)
    return Unit(name, number, *edges, int(selected.sum()), counts.further_of(edges[0], selected))


def _ranges(
    blocks: Sequence[Block], rows_per_unit: int, limit: int | None, counts: PieceCounts
) -> list[tuple[int, int]]:
    """As `cut_ranges`, where each piece that *counts* knows weighs as much as a row."""
    pieces = cut_ranges(counts.spread(blocks), rows_per_unit, None if limit is None else counts.before(limit))
    return counts.row_ranges(pieces)


def cut_ranges(blocks: Sequence[Block], rows_per_unit: int, limit: int | None = None) -> list[tuple[int, int]]:
    """Ranges (start, stop) that cover all rows, or the first *limit*, in order.

    A range ends at a block's end where blocks are small, so that no block is read twice; a block of more than one and a
    half units is divided evenly.
    """
    ranges: list[tuple[int, int]] = []
    start = stop = 0
    for block in blocks:
        block_stop = min(stop + block.num_rows, limit) if limit is not None else stop + block.num_rows
        if block.num_rows > 1.5 * rows_per_unit:
            if stop > start:
                ranges.append((start, stop))
            ranges += _even(stop, block_stop, rows_per_unit)
            start = block_stop
        else:
            if start < stop and (block_stop - start) - rows_per_unit > rows_per_unit - (stop - start):
                # Ending before this block comes nearer to the size wanted than ending after it.
                ranges.append((start, stop))
                start = stop
            if block_stop - start >= rows_per_unit:
                ranges.append((start, block_stop))
                start = block_stop
        stop = block_stop
    if stop > start:
        ranges.append((start, stop))
    return ranges


def _even(start: int, stop: int, rows_per_unit: int) -> list[tuple[int, int]]:
    parts = max(1, round((stop - start) / rows_per_unit))
    edges = [start + (stop - start) * part // parts for part in range(parts + 1)]
    return [edge for edge in pairwise(edges) if edge[1] > edge[0]]


def rows_per_unit(shard_bytes: int, row_bytes: float) -> int:
    """Rows whose features make about *shard_bytes*, rounded to two digits so that a plan does not hang on noise."""
    rows = max(1.0, shard_bytes / max(row_bytes, 1.0))
    digits = max(0, len(str(int(rows))) - 2)
    return max(1, int(round(rows, -digits)))
