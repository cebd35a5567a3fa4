"""Which feature rows a source row gives: itself, or the pieces that the one committed cut plan makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from preprocess.alignment.cut_plan import read_cut_plan
from preprocess.alignment.recording import RowCuts
from preprocess.features.pipeline import RowPipeline
from preprocess.sources.base import SourceRow
from shared.errors import StoreError
from shared.shard import FeatureRow


@dataclass(frozen=True, slots=True)
class CutsOf:
    """The cut plan in the file at *path*, which has *digest*; picklable, and as small as that."""

    path: Path
    digest: str

    def read(self) -> Mapping[int, RowCuts]:
        """Its recordings by row id. Raises StoreError where the file is not the one that was planned with."""
        return _read(self)


@lru_cache(maxsize=2)
def _read(cuts: CutsOf) -> Mapping[int, RowCuts]:
    plan = read_cut_plan(cuts.path, cuts.digest)
    if plan is None:
        raise StoreError(f"{cuts.path} is missing: the store was planned with it", "restore it from a copy")
    return plan.rows


def feature_rows(pipeline: RowPipeline, row: SourceRow, cuts: CutsOf | None) -> list[FeatureRow]:
    """The feature rows of *row*, all of them. Raises RowRejectedError: then none of its pieces is to be used."""
    known = None if cuts is None else cuts.read().get(row.row_id)
    return [pipeline(row)] if known is None else pipeline.pieces(row, known)
