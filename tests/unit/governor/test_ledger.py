"""Reservations against everything that may happen between two looks at the disk, and how much a unit reserves."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from preprocess.governor.admission import FIXED_BYTES, Admission, likely_bytes, worst_case_bytes
from preprocess.governor.ledger import Ledger
from preprocess.units import Unit
from shared.schema import MAX_LABELS, SAMPLING_RATE, FeatureSpec, num_frames_of

UNITS = [f"train-{number}" for number in range(6)]
SPEC = FeatureSpec()
UNTIMED = settings(deadline=None)
"""The machine may be busy."""


@dataclass
class Disk:
    """What really lies on the mount: the run's committed and unfinished bytes, and everybody else's."""

    size: int
    others: int
    committed: int
    unfinished: dict[str, int]

    @property
    def own(self) -> int:
        return self.committed + sum(self.unfinished.values())

    @property
    def free(self) -> int:
        return self.size - self.others - self.own


class Governed(RuleBasedStateMachine):
    """Units that reserve, write, commit, settle and give up in any order, beside a stranger who eats free space."""

    @initialize(
        budget=st.integers(0, 2_000),
        reserve=st.integers(0, 500),
        size=st.integers(0, 5_000),
        committed=st.integers(0, 1_000),
    )
    def begin(self, budget, reserve, size, committed):
        self.disk = Disk(size + committed, 0, committed, {})
        self.ledger = Ledger(budget, reserve)
        self.committed_at_start = committed
        self.reserved: dict[str, int] = {}
        self.finished: dict[str, int] = {}
        self.look()

    def look(self):
        """As a scan counts: what holders of reservations wrote is open, wherever it lies."""
        self.others_at_look = self.disk.others
        open_bytes = sum(self.disk.unfinished.values()) + sum(self.finished.values())
        self.ledger.scanned(self.disk.own, self.disk.free, open_bytes)

    @rule()
    def scan(self):
        self.look()

    @rule(unit=st.sampled_from(UNITS), num_bytes=st.integers(0, 1_000))
    def reserve(self, unit, num_bytes):
        if unit in self.reserved:
            with pytest.raises(ValueError, match=unit):
                self.ledger.reserve(unit, num_bytes)
            return
        before = (self.ledger.left_bytes, self.ledger.reserved_bytes)
        if not self.ledger.reserve(unit, num_bytes):
            assert num_bytes > before[0]
            assert (self.ledger.left_bytes, self.ledger.reserved_bytes) == before
            return
        self.reserved[unit] = num_bytes
        self.disk.unfinished[unit] = 0
        if num_bytes:
            assert (
                self.disk.committed - sum(self.finished.values()) + self.ledger.reserved_bytes
                <= self.ledger.budget_bytes
            )

    @rule(num_bytes=st.integers(1, 1_000))
    def reserve_just_after_a_look(self, num_bytes):
        """What was granted on fresh knowledge leaves the reserve free even if all of it is written."""
        unit = next((unit for unit in UNITS if unit not in self.reserved), None)
        self.look()
        if unit is not None and self.ledger.reserve(unit, num_bytes):
            self.reserved[unit] = num_bytes
            self.disk.unfinished[unit] = 0
            to_come = self.ledger.reserved_bytes - sum(self.disk.unfinished.values()) - sum(self.finished.values())
            assert self.disk.free - to_come >= self.ledger.reserve_bytes

    @precondition(lambda self: self.disk.unfinished)
    @rule(data=st.data())
    def write(self, data):
        unit = data.draw(st.sampled_from(sorted(self.disk.unfinished)))
        room = min(self.reserved[unit] - self.disk.unfinished[unit], self.disk.free)
        self.disk.unfinished[unit] += data.draw(st.integers(0, max(0, room)))

    @precondition(lambda self: self.disk.unfinished)
    @rule(data=st.data())
    def commit(self, data):
        """The shard has its name; the driver has not heard of it yet."""
        unit = data.draw(st.sampled_from(sorted(self.disk.unfinished)))
        self.finished[unit] = self.disk.unfinished.pop(unit)
        self.disk.committed += self.finished[unit]

    @precondition(lambda self: self.finished)
    @rule(data=st.data())
    def settle(self, data):
        unit = data.draw(st.sampled_from(sorted(self.finished)))
        del self.reserved[unit]
        assert self.ledger.settle(unit, self.finished.pop(unit)) == 0

    @precondition(lambda self: self.disk.unfinished)
    @rule(data=st.data(), twice=st.booleans())
    def give_up(self, data, twice):
        unit = data.draw(st.sampled_from(sorted(self.disk.unfinished)))
        del self.disk.unfinished[unit], self.reserved[unit]
        self.ledger.release(unit)
        if twice:
            self.ledger.release(unit)

    @rule(share=st.floats(0, 1))
    def a_stranger_takes_space(self, share):
        self.disk.others += int(share * max(0, self.disk.free))

    @rule(share=st.floats(0, 1))
    def a_stranger_frees_space(self, share):
        self.disk.others -= int(share * self.disk.others)

    @invariant()
    def the_store_never_takes_more_than_its_budget_nor_than_it_had(self):
        if hasattr(self, "disk"):
            assert self.disk.own <= max(self.ledger.budget_bytes, self.committed_at_start)

    @invariant()
    def the_ledger_knows_what_is_reserved_and_what_is_used_for_good(self):
        if hasattr(self, "disk"):
            assert self.ledger.reserved_bytes == sum(self.reserved.values())
            settled = self.disk.committed - sum(self.finished.values())
            assert self.ledger.used_bytes == settled
            assert self.ledger.free_bytes == self.disk.size - self.others_at_look - settled
            assert self.ledger.left_bytes >= 0

    def teardown(self):
        if not hasattr(self, "disk"):
            return
        for unit in [*self.disk.unfinished]:
            del self.disk.unfinished[unit]
            self.ledger.release(unit)
        for unit, allocated in self.finished.items():
            self.ledger.settle(unit, allocated)
        assert self.ledger.reserved_bytes == 0
        assert self.ledger.quota_left_bytes == self.ledger.budget_bytes - self.disk.own


TestGoverned = Governed.TestCase
TestGoverned.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_nothing_is_admitted_before_the_first_scan():
    assert not Ledger(budget_bytes=1_000, reserve_bytes=0).reserve("train-0", 1)


def test_standing_bytes_are_never_handed_out():
    ledger = Ledger(1_000, 0, standing_bytes=300, free_bytes=10_000)
    assert ledger.left_bytes == 700
    assert not ledger.reserve("train-0", 701)
    assert ledger.reserve("train-0", 700)


def test_open_shards_count_by_their_reservations_and_not_by_what_a_scan_finds_of_them():
    ledger = Ledger(1_000, 0)
    ledger.scanned(used_bytes=500, free_bytes=2_000, open_bytes=300)
    assert (ledger.used_bytes, ledger.free_bytes) == (200, 2_300)


@UNTIMED
@given(reserved=st.integers(0, 1_000), took=st.integers(0, 3_000))
def test_a_unit_that_took_more_than_it_reserved_is_reported_and_counted(reserved, took):
    ledger = Ledger(1_000, 0, free_bytes=10_000)
    assert ledger.reserve("train-0", reserved)
    assert ledger.settle("train-0", took) == max(0, took - reserved)
    assert ledger.quota_left_bytes == 1_000 - took
    assert not ledger.reserve("train-1", max(1, 1_001 - took))


def test_a_unit_without_a_reservation_cannot_be_settled_and_one_with_it_not_twice():
    ledger = Ledger(1_000, 0, free_bytes=1_000)
    ledger.reserve("train-0", 10)
    ledger.settle("train-0", 10)
    with pytest.raises(KeyError, match="train-0"):
        ledger.settle("train-0", 10)
    assert ledger.used_bytes == 10


@pytest.mark.parametrize(("used", "opened"), [(10, 11), (10, -1)])
def test_a_scan_that_contradicts_itself_is_refused_and_changes_nothing(used, opened):
    ledger = Ledger(1_000, 0, used_bytes=5, free_bytes=7)
    with pytest.raises(ValueError, match="a scan found"):
        ledger.scanned(used, 100, opened)
    assert (ledger.used_bytes, ledger.free_bytes) == (5, 7)


def test_a_negative_reservation_is_refused():
    with pytest.raises(ValueError, match="-1"):
        Ledger(1_000, 0, free_bytes=1_000).reserve("train-0", -1)


# --- how much a unit reserves ---


def unit_of(num_rows: int) -> Unit:
    return Unit("train", 7, 0, num_rows, num_rows)


def admission(row_bytes: float | None, budget: int = 10**15) -> Admission:
    known = {} if row_bytes is None else {"train": row_bytes}
    return Admission(Ledger(budget, 0, free_bytes=10**15), SPEC, 30.0, known)


@UNTIMED
@given(
    num_samples=st.integers(1, 60 * SAMPLING_RATE),
    max_duration=st.floats(0.1, 60),
    dtype=st.sampled_from(["float16", "uint8"]),
)
def test_no_allowed_clip_passes_the_worst_case(num_samples, max_duration, dtype):
    spec = FeatureSpec(80, dtype)
    if num_samples <= max_duration * SAMPLING_RATE:
        row = spec.payload_bytes(num_frames_of(num_samples)) + 4 * MAX_LABELS
        assert row <= worst_case_bytes(unit_of(1), spec, max_duration)


@UNTIMED
@given(num_rows=st.integers(0, 5_000), row_bytes=st.none() | st.floats(0, 10**6), actual=st.integers(0, 10**10))
def test_a_unit_that_outgrows_its_reservation_reserves_more_each_time_until_it_fits(num_rows, row_bytes, actual):
    admitting, unit = admission(row_bytes), unit_of(num_rows)
    tries = []
    while not tries or tries[-1] < actual:
        tries.append(admitting.admit(unit))
        if tries[-1] < actual:
            admitting.given_up(unit, outgrown_bytes=tries[-1])
    assert tries == sorted(set(tries))
    assert len(tries) <= 20
    assert admitting.ledger.reserved_bytes == tries[-1]
    # Twice the worst case is reserved only by who needed more than the worst case.
    worst = worst_case_bytes(unit, SPEC, 30.0)
    assert tries[-1] <= worst or actual > worst
    admitting.committed(unit, actual)
    assert admitting.ledger.reserved_bytes == 0
    assert admitting.need_bytes(unit) == tries[0]


def test_a_unit_that_was_outgrown_reserves_twice_as_much_the_next_time():
    admitting, unit = admission(1_000.0), unit_of(1_000)
    first = admitting.admit(unit)
    admitting.given_up(unit, outgrown_bytes=first)
    assert admitting.admit(unit) == 2 * first


def test_a_committed_unit_counts_with_what_it_takes():
    admitting, unit = admission(None), unit_of(10)
    admitting.admit(unit)
    admitting.committed(unit, 5_000)
    assert (admitting.ledger.used_bytes, admitting.ledger.reserved_bytes) == (5_000, 0)


def test_a_unit_given_up_for_another_reason_reserves_the_same_again():
    admitting, unit = admission(139_000.0), unit_of(1_000)
    first = admitting.admit(unit)
    admitting.given_up(unit)
    assert admitting.admit(unit) == first


def test_a_split_without_a_forecast_reserves_the_worst_case():
    assert admission(None).need_bytes(unit_of(10)) == worst_case_bytes(unit_of(10), SPEC, 30.0)


def test_a_recording_that_is_split_reserves_for_each_of_its_pieces():
    split, apart = Unit("train", 7, 0, 1, 1, further_pieces=11), unit_of(12)
    for row_bytes in (None, 100_000.0):
        assert admission(row_bytes).need_bytes(split) == admission(row_bytes).need_bytes(apart)
        assert admission(row_bytes).expected_bytes(split) == admission(row_bytes).expected_bytes(apart)


def test_a_unit_that_does_not_fit_waits_and_is_admitted_once_another_gave_up():
    admitting = admission(100_000.0, budget=250_000_000)
    first, second = unit_of(1_500), Unit("train", 8, 1_500, 3_000, 1_500)
    assert admitting.admit(first) is not None
    assert admitting.admit(second) is None
    admitting.given_up(first)
    assert admitting.admit(second) is not None


def test_the_last_unit_is_content_with_what_is_left_if_that_is_what_it_is_expected_to_need():
    admitting, unit = admission(100_000.0, budget=151_000_000), unit_of(1_500)
    assert admitting.need_bytes(unit) > 151_000_000
    assert admitting.admit(unit) == 151_000_000
    admitting.given_up(unit, outgrown_bytes=151_000_000)
    assert admitting.admit(unit) is None


def test_a_unit_that_is_not_expected_to_fit_is_not_even_tried():
    assert admission(100_000.0, budget=149_000_000).admit(unit_of(1_500)) is None


def test_while_another_unit_is_open_a_unit_waits_rather_than_start_with_too_little():
    admitting = admission(100_000.0, budget=340_000_000)
    assert admitting.admit(unit_of(1_500)) is not None
    assert admitting.admit(Unit("train", 8, 1_500, 3_000, 1_500)) is None


def lengths(kind: str, rng: random.Random) -> float:
    """Seconds of a clip; the mean is 4.4 s, the largest 30 s, the deviation about the mean."""
    draw = {
        "constant": lambda: 4.4,
        "exponential": lambda: rng.expovariate(1 / 4.4),
        "lognormal": lambda: rng.lognormvariate(1.13, 0.85),
        "mostly short, some of 30 s": lambda: 30.0 if rng.random() < 0.03 else 3.6,
    }[kind]
    return min(30.0, draw())


@pytest.mark.parametrize("kind", ["constant", "exponential", "lognormal", "mostly short, some of 30 s"])
@pytest.mark.parametrize("num_rows", [1, 10, 100, 1_800])
def test_what_is_likely_suffices_for_nearly_every_unit_of_skewed_lengths(kind, num_rows):
    rng = random.Random(f"{kind} {num_rows}")

    def row() -> int:
        return SPEC.payload_bytes(num_frames_of(int(lengths(kind, rng) * SAMPLING_RATE))) + 300

    mean = sum(row() for _ in range(20_000)) / 20_000
    rounds = 100 if num_rows > 100 else 1_000
    need = admission(mean).need_bytes(unit_of(num_rows))
    outgrown = sum(sum(row() for _ in range(num_rows)) > need for _ in range(rounds))
    assert outgrown <= rounds * (0.1 if num_rows == 1 else 0.02)


@UNTIMED
@given(num_rows=st.integers(1_000, 10_000), row_bytes=st.floats(50_000, 200_000))
def test_a_large_unit_reserves_a_fifth_more_than_it_is_expected_to_need(num_rows, row_bytes):
    assert likely_bytes(unit_of(num_rows), row_bytes) <= 1.21 * num_rows * row_bytes + FIXED_BYTES
