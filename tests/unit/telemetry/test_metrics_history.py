"""A history of records that stays small, whole and readable."""

import json
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.telemetry.metrics_history import Entry, evaluation_entry, read_entry, step_entry, thinned
from trainer.telemetry.records import EvaluationRecord, StepRecord, WordErrors

RECORD = StepRecord(25, 0.5, 1e-5, 1.25, 1_024.0, 2.0, 24.0, 100.0, 0.01, 0.03)
RATES = {"raw": WordErrors(0.127, 0.05, 900)}
EVALUATION = EvaluationRecord(50, 512, "own", RATES, {"cv": RATES}, 33.0)


@given(st.lists(st.tuples(st.integers(0, 5_000), st.booleans()), max_size=60), st.integers(60, 2_000))
def test_a_history_stays_below_its_size_and_keeps_the_newest_and_the_best(found, max_bytes):
    numbers = sorted(dict(found).items())
    kept = []
    for step, best in numbers:
        kept = thinned([*kept, Entry(step, "x" * 20, best=best)], max_bytes)
        assert sum(len(entry.line) + 2 for entry in kept) <= max_bytes
    assert [entry.step for entry in kept] == sorted({entry.step for entry in kept})
    assert not numbers or kept[-1].step == numbers[-1][0]
    assert [entry.step for entry in kept if entry.best][-1:] == [step for step, best in numbers if best][-1:]


def test_a_thinned_history_has_no_wide_gap():
    entries = []
    for step in range(25, 100_001, 25):
        entries = thinned([*entries, Entry(step, "x" * 400)], 100_000)
    steps = [0, *(entry.step for entry in entries)]
    widest = max(later - earlier for earlier, later in pairwise(steps))
    assert widest <= 2 * 100_000 / len(entries)


def test_both_paddings_of_one_step_are_kept_when_others_are_thinned():
    entries = [Entry(step, "x" * 50, padding) for step in range(1, 65) for padding in ("own", "window")]
    kept = thinned(entries, 500)
    assert {entry.padding for entry in kept if entry.step == 64} == {"own", "window"}


@settings(max_examples=50)
@given(st.floats(), st.booleans())
def test_an_entry_reads_back_as_it_was_written(loss, best):
    for entry in (step_entry(replace(RECORD, loss=loss)), evaluation_entry(EVALUATION, best=best)):
        assert read_entry(json.loads(entry.line)) == entry
