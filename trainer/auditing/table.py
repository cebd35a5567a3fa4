"""What an audit leaves behind for programs: every row with its figures, worst first, and the first of them alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shared.store import StoreSplit
from shared.system.durable import DurableFile
from shared.system.locks import remove_unheld
from trainer.auditing.listener import Heard
from trainer.auditing.ranking import Ranking

ROWS, SUSPECTS = "rows.parquet", "suspects.parquet"


def audit_table(
    split: StoreSplit,
    rows: Sequence[int],
    heard: Heard,
    ranking: Ranking,
    *,
    references: Sequence[str],
    hypotheses: Sequence[str | None],
) -> pa.Table:
    """*rows* of *split*, worst first; `hypothesis` is null where a row was not transcribed.

    `store`, `split`, `row_id` and `piece` are what `trainer.train --exclude-rows` goes by.
    """
    chosen = np.asarray(rows, np.int64)
    columns = {
        "score": ranking.score.astype(np.float32),
        "suspicion": [str(suspicion) for suspicion in ranking.suspicion],
        "store": [split.record.uuid] * len(rows),
        "split": [split.name] * len(rows),
        "row_id": split.row_id[chosen],
        "piece": split.piece[chosen],
        "source": split.source.take(chosen).cast(pa.string()),
        "duration": split.duration[chosen],
        "loss": heard.loss,
        "head_loss": heard.head,
        "tail_loss": heard.tail,
        "end_loss": heard.end,
        "language_probability": heard.language,
        "no_speech_probability": heard.no_speech,
        "peak": heard.peak,
        "reference": references,
        "hypothesis": pa.array(hypotheses, pa.string()),
    }
    return pa.table(columns).take(pa.array(ranking.order))


def write_tables(table: pa.Table, suspects: int, output: Path) -> None:
    """Writes *table* and its first *suspects* rows into the folder *output*, each atomically and durably."""
    for name, part in ((ROWS, table), (SUSPECTS, table.slice(0, suspects))):
        partial = output / f".{name}.partial"
        remove_unheld(partial)
        with DurableFile(partial) as durable:
            pq.write_table(part, durable.file, compression="zstd")
            durable.seal()
            durable.publish(output / name, replace=True)
