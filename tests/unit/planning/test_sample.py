"""A sample taken in a process of its own: the same as here, and a row that ends the process ends nothing else."""

import importlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psutil
import pytest

from preprocess.audio.decode import DecodeLimits
from preprocess.features.mel import mel_filters
from preprocess.features.pipeline import PipelineSettings
from preprocess.planning.sample import (
    FIRST_ROWS,
    MAX_LOST_ROWS,
    SampleTask,
    in_two_steps,
    sample_apart,
    sample_ranges,
    sample_rows,
)
from preprocess.sources.base import BATCH_BYTES, Block, SourceRow
from shared.errors import SourceError
from shared.schema import FeatureSpec
from tests.support.samples import wav


class KillingText(str):
    """A transcript that ends the process that looks at it."""

    __slots__ = ()

    def __bool__(self) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return True


class InterruptingText(str):
    """A transcript at which a terminal's Ctrl-C comes, which goes to every process."""

    __slots__ = ()

    def __bool__(self) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return True


class HangingText(str):
    """A transcript that nobody finishes looking at."""

    __slots__ = ()

    def __bool__(self) -> bool:
        time.sleep(3_600)
        return True


@dataclass(frozen=True)
class Rows:
    """A `RowReader` of *count* rows from *first* on; some of them kill, hang or cannot be read."""

    first: int
    count: int
    killers: frozenset[int] = frozenset()
    hanging: frozenset[int] = frozenset()
    interrupting: frozenset[int] = frozenset()
    naming: frozenset[int] = frozenset()
    damaged_at: int = -1

    def rows(self, batch_bytes: int = BATCH_BYTES) -> Iterator[SourceRow]:
        del batch_bytes
        for row_id in range(self.first, self.first + self.count):
            if row_id == self.damaged_at:
                raise SourceError("the file ends here", "copy it again")
            kinds = (
                *((self.killers, KillingText), (self.hanging, HangingText)),
                *((self.interrupting, InterruptingText), (self.naming, NamingText)),
            )
            text = next((kind for rows, kind in kinds if row_id in rows), str)
            yield SourceRow(
                row_id, wav(1_600 + 160 * row_id, seed=row_id), f"{row_id}.wav", text(f"Satz {row_id}"), "x"
            )


@pytest.fixture(scope="module")
def settings(demo_model):
    tokenizer = (demo_model / "tokenizer.json").read_text()
    return PipelineSettings(FeatureSpec(80), tokenizer, "de", mel_filters(80), DecodeLimits())


@pytest.fixture
def task(settings):
    def make(**faults):
        stretches = (Rows(0, 20, **faults), Rows(100, 20, **faults))
        return SampleTask("train", Rows(0, 1, **faults), stretches, 40, settings)

    return make


def test_it_is_the_sample_that_this_process_would_take(task):
    here, apart = sample_rows(task()), sample_apart(task())
    assert replace(apart, cost_per_row=here.cost_per_row) == here
    assert apart.cost_per_row.cpu_seconds > 0


@pytest.mark.parametrize("killer", [0, 7, 119])
def test_a_row_that_kills_is_left_out_and_counts_as_crashed(task, killer):
    found = sample_apart(task(killers=frozenset({killer})))
    assert [row.reason for row in found.rows].count("crashed") == 1
    assert len(found.rows) == 40
    assert sum(row.payload_bytes > 0 for row in found.rows) == 39


def test_a_row_that_hangs_is_left_out_as_well(task):
    found = sample_apart(task(hanging=frozenset({103})), silent_seconds=5)
    assert [row.rejected for row in found.rows].count(True) == 1


def test_ctrl_c_is_for_the_process_that_waits_for_the_sample(task):
    assert not any(row.rejected for row in sample_apart(task(interrupting=frozenset({103}))).rows)


def test_too_many_rows_that_kill_end_the_plan_with_a_reason(task):
    with pytest.raises(SourceError, match=f"ended at row {MAX_LOST_ROWS}, after {MAX_LOST_ROWS} rows"):
        sample_apart(task(killers=frozenset(range(20))))


def test_what_is_wrong_with_the_source_is_told_as_it_is(task):
    with pytest.raises(SourceError, match="the file ends here"):
        sample_apart(task(damaged_at=105))


def test_nothing_is_left_of_the_process(task):
    sample_apart(task())
    assert [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())] == []


def test_this_process_keeps_its_environment(task):
    before = dict(os.environ)
    sample_apart(task())
    assert dict(os.environ) == before


def test_further_rows_are_taken_only_where_the_first_do_not_tell_enough(task):
    one_step = task()
    two_steps = replace(one_step, stretches=(Rows(0, 5), Rows(100, 5)), num_rows=10, more=(Rows(5, 15), Rows(105, 15)))
    first = sample_rows(two_steps)
    assert [row.stretch for row in first.rows] == [0] * 5 + [1] * 5
    both = sample_rows(replace(two_steps, enough=lambda rows: len(rows) >= 40))
    assert sorted(both.rows, key=str) == sorted(sample_rows(one_step).rows, key=str)
    assert both.cost_per_row.cpu_seconds == pytest.approx(first.cost_per_row.cpu_seconds, rel=0.9)


def test_the_first_step_is_spread_as_the_whole_is():
    ranges = sample_ranges([Block(100, 1)] * 9_700)
    heads, rest = in_two_steps(ranges)
    assert sum(stop - start for start, stop in heads) == FIRST_ROWS
    assert [(start, stop) for (start, _), (_, stop) in zip(heads, rest, strict=True)] == ranges
    assert in_two_steps([(0, 150)]) == ([(0, 150)], [])


class NamingText(str):
    """A transcript that names the modules of the process that looks at it."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise SourceError(" ".join(sys.modules), "")


def test_the_process_does_not_import_the_command_again(task, tmp_path, monkeypatch):
    """As `multiprocessing` does with the module that a command began with."""
    (tmp_path / "a_command.py").write_text("import heavy_as_lead")
    (tmp_path / "heavy_as_lead.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    main = importlib.import_module("a_command")
    monkeypatch.setitem(sys.modules, "__main__", main)
    with pytest.raises(SourceError) as told:
        sample_apart(replace(task(), stretches=(Rows(1, 20, naming=frozenset({7})),)))
    names = told.value.message.split()
    assert "preprocess.planning.sample" in names
    assert "heavy_as_lead" not in names
    assert sys.modules["__main__"] is main
