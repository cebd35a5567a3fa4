"""The governor of a run: when it admits a unit, and which memory counts."""

import math

import pytest

from preprocess.governor.admission import Admission
from preprocess.governor.budgets import Budgets
from preprocess.governor.governor import Governor
from preprocess.governor.ledger import Ledger
from preprocess.governor.policy import DiskReading, MemoryReading, PolicyState, Signals, decide
from preprocess.governor.sensors import MemorySensor
from preprocess.governor.watchdog import SILENT_SECONDS, Verdict
from preprocess.units import Unit
from shared.schema import FeatureSpec

UNIT, OTHER = Unit("train", 0, 0, 10, 10), Unit("train", 1, 10, 20, 10)
GB = 10**9
NOW = 100.0
ROOM = DiskReading(0, GB, GB, 0)


def machine(folder, available_kb):
    (folder / "proc").mkdir(exist_ok=True)
    (folder / "proc" / "meminfo").write_text(f"MemTotal: 1000 kB\nMemAvailable: {available_kb} kB\n")
    return MemorySensor(folder / "proc", folder)


@pytest.fixture
def governor(tmp_path):
    """A governor with room for everything; its watchdog was heard of just now."""
    admission = Admission(Ledger(GB, 0, free_bytes=GB), FeatureSpec(), 30.0, {})
    found = Governor(
        tmp_path, Budgets(GB, 0, 500 * 1024), admission, list, now=lambda: NOW, sensor=machine(tmp_path, 900)
    )
    found.watchdog.verdict = verdict(MemoryReading(0, GB))
    return found


def verdict(memory, at=NOW):
    return Verdict(decide(PolicyState(), Signals(ROOM, memory), at), at, ROOM, memory)


def test_a_unit_that_fits_is_admitted(governor):
    assert governor.admit(UNIT) == governor.admission.need_bytes(UNIT)


def test_nothing_is_admitted_from_pause_on(governor):
    governor.watchdog.verdict = verdict(MemoryReading(80, 100))
    assert governor.admit(UNIT) is None


@pytest.mark.parametrize("heard_at", [NOW - SILENT_SECONDS, -math.inf])
def test_a_silent_watchdog_admits_nothing(governor, heard_at):
    governor.watchdog.verdict = verdict(MemoryReading(0, GB), heard_at)
    assert governor.admit(UNIT) is None
    assert governor.admission.ledger.reserved_bytes == 0


def test_a_unit_whose_source_takes_much_memory_waits_for_another_such(governor):
    governor.held_bytes = {UNIT: GB // 2, OTHER: GB // 2}
    assert governor.admit(UNIT) is not None
    assert governor.admit(OTHER) is None


def follow(governor, folder, pss_kb):
    (folder / "proc" / "7").mkdir()
    (folder / "proc" / "7" / "smaps_rollup").write_text(f"x\nRss: 9000 kB\nPss: {pss_kb} kB\n")
    governor.process_memory.proc = folder / "proc"
    governor.process_memory.follow([7])


@pytest.mark.parametrize(("pss_kb", "available_kb", "counts"), [(400, 900, (400, 500)), (10, 100, (900, 1000))])
def test_of_a_memory_budget_and_the_machine_the_one_nearer_to_its_limit_counts(
    governor, tmp_path, pss_kb, available_kb, counts
):
    governor.sensor = machine(tmp_path, available_kb)
    follow(governor, tmp_path, pss_kb)
    governor.watchdog.beat()
    used, limit = counts
    assert governor.watchdog.verdict.memory == MemoryReading(used * 1024, limit * 1024)


def test_a_memory_budget_whose_processes_cannot_be_read_is_a_failed_reading(governor):
    governor.watchdog.beat()
    assert governor.watchdog.verdict.memory is None


def test_what_is_missing_is_what_units_are_expected_to_take_beyond_what_is_open(governor):
    governor.admission.row_bytes["train"] = 1_000.0
    governor.scanned(5_000, GB, 2_000, [UNIT, OTHER])
    assert governor.missing_bytes == 18_000
    assert governor.used_bytes == 5_000


@pytest.mark.parametrize(("used", "short"), [(95, True), (81, True), (79, False), (None, True)])
def test_after_an_emergency_memory_is_short_until_a_reading_lies_well_below(governor, used, short):
    state = decide(PolicyState(), Signals(ROOM, MemoryReading(92, 100)), NOW)
    reading = None if used is None else MemoryReading(used, 100)
    governor.watchdog.verdict = Verdict(decide(state, Signals(ROOM, reading), NOW + 1), NOW + 1, ROOM, reading)
    assert governor.memory_is_short is short


def test_below_an_emergency_memory_is_not_short(governor):
    governor.watchdog.verdict = verdict(MemoryReading(85, 100))
    assert not governor.memory_is_short
