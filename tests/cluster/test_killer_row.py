"""A row that kills the process that works on it costs that row alone."""

import json

import pyarrow.parquet as pq

from tests.support.stores import contents

SITECUSTOMIZE = """
import os, signal, sys

if any("default_worker" in argument for argument in sys.orig_argv):
    # An actor of Ray's: the row at hand takes it down, as a fault in a decoder would.
    from preprocess.features.pipeline import RowPipeline

    ordinary = RowPipeline.__call__

    def deadly(self, row):
        if row.path == {path!r} and row.audio is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return ordinary(self, row)

    RowPipeline.__call__ = deadly
"""


def test_exactly_the_row_that_kills_its_actor_is_quarantined_as_crashed(start, straight, tmp_path):
    shard = "data/train-00010-of-00024.parquet"
    rows = pq.read_table(straight.store / shard, columns=["row_id", "path"]).to_pylist()
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch" / "sitecustomize.py").write_text(SITECUSTOMIZE.format(path=rows[1]["path"]))
    run = start(PYTHONPATH=str(tmp_path / "patch"))
    assert run.wait(180) == 0, run.messages()
    found = pq.read_table(run.store / "quarantine" / shard.removeprefix("data/")).to_pylist()
    assert [(row["row_id"], row["reason"]) for row in found] == [(rows[1]["row_id"], "crashed")]
    left = pq.read_table(run.store / shard, columns=["row_id"])["row_id"].to_pylist()
    assert left == [row["row_id"] for row in rows if row != rows[1]]
    store = contents(run.store)
    others = [name for name in store if name.startswith(("data/", "quarantine/")) and not name.endswith(shard[5:])]
    assert [name for name in others if store[name] != straight.expected.get(name)] == []
    assert json.loads((run.store / "COMPLETE").read_text())["splits"]["train"]["quarantined"] == 2
