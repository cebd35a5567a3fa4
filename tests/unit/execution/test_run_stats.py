"""What the stats of a run tell, whatever happens in whatever order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.execution.run_stats import RunStats
from preprocess.features.worker import UnitReport, WorkerProgress
from preprocess.governor.autoscaling import ACTOR_BYTES, Load
from preprocess.governor.governor import DiskFigures
from preprocess.monitoring.snapshot import ActorState
from preprocess.units import Unit
from preprocess.workspace.disk_usage import Usage

ROWS = 10
UNITS = 12
DISK = DiskFigures(3, 2, 1)
ACTORS = st.integers(0, 3)
EVENT = st.one_of(
    st.tuples(st.just("work"), ACTORS),
    st.tuples(st.just("observe"), ACTORS, st.integers(0, ROWS), st.booleans()),
    st.tuples(st.just("commit"), ACTORS),
    st.tuples(st.just("die"), ACTORS),
)


class Story:
    """A run as its stats hear of it; actors are told of work, observed, done or dead in any order."""

    def __init__(self) -> None:
        self.stats = RunStats(ROWS * UNITS, UNITS, 0, 0, disk_forecast_bytes=1, started=0.0)
        self.open: dict[int, int] = {}
        self.next_unit, self.committed, self.deaths, self.now = 0, 0, 0, 0.0

    def tell(self, kind, actor, rows=0, late=False) -> None:
        self.now += 0.5
        if kind == "work" and actor not in self.open and self.next_unit < UNITS:
            self.open[actor] = self.next_unit
            self.next_unit += 1
            self.stats.set_state(actor, ActorState.WORKING, self.now, f"unit {self.open[actor]}", ROWS)
        elif kind == "observe":
            name = "an earlier unit" if late else f"unit {self.open.get(actor)}"
            self.stats.observe(actor, WorkerProgress(name, ROWS, rows, rows * 2.0, 0), 1000 + rows, now=0.0)
        elif kind == "commit" and actor in self.open:
            unit = Unit("train", self.open.pop(actor), 0, ROWS, ROWS)
            report = UnitReport(unit, ROWS - 1, {"undecodable": 1}, 2.0 * ROWS, 100, {"decode": 0.1}, 0.2, 2000)
            self.stats.commit(actor, report, self.now)
            self.committed += 1
        elif kind == "die" and actor in self.open:
            self.open.pop(actor)
            self.deaths += 1
            self.stats.set_state(actor, ActorState.RESTARTING, self.now)

    def snapshot(self):
        return self.stats.snapshot(self.now, Usage(1000, 0, 10, 10, 10), DISK)


@settings(deadline=None)
@given(st.lists(EVENT, max_size=60))
def test_a_snapshot_never_claims_more_than_the_plan_nor_less_than_what_is_committed(events):
    story = Story()
    for event in events:
        story.tell(*event)
        seen = story.snapshot()
        assert story.committed * ROWS <= seen.rows_done <= seen.rows_total
        assert seen.units_done == story.committed
        assert seen.rows_per_second >= 0
        assert seen.audio_seconds_per_second >= 0
        assert seen.eta_seconds is None or seen.eta_seconds >= 0


@settings(deadline=None)
@given(st.lists(EVENT, max_size=60))
def test_committed_work_is_counted_once_and_a_dead_actors_open_unit_not_at_all(events):
    story = Story()
    for event in events:
        story.tell(*event)
    for actor in list(story.open):
        story.tell("die", actor)
    assert story.snapshot().rows_done == story.stats.rows == story.committed * ROWS
    assert story.stats.quarantined.total() == story.committed
    assert story.stats.restarts == story.deaths


def test_rows_of_an_open_unit_count_until_its_actor_dies_and_once_when_it_is_committed():
    story, done = Story(), []
    for event in (("work", 0), ("observe", 0, 7), ("die", 0), ("work", 0), ("observe", 0, 6), ("commit", 0)):
        story.tell(*event)
        done.append(story.snapshot().rows_done)
    assert done == [0, 7, 0, 0, 6, ROWS]


@given(st.integers(1, 5), st.integers(0, ROWS))
def test_progress_of_another_unit_than_the_present_one_changes_no_count(late_answers, rows):
    story = Story()
    story.tell("work", 0)
    for _ in range(late_answers):
        story.tell("observe", 0, rows, late=True)
    assert story.snapshot().rows_done == 0


def test_the_time_before_the_first_row_does_not_count_in_the_rate_nor_in_what_is_left():
    stats = Story().stats
    usage = Usage(1000, 0, 10, 10, 10)
    stats.set_state(0, ActorState.WORKING, 0.0, "unit 0", ROWS)
    for now in range(30):
        assert stats.snapshot(float(now), usage, DISK).eta_seconds is None
    for rows in (2, 4, 6):
        stats.observe(0, WorkerProgress("unit 0", ROWS, rows, rows * 2.0, 0), 1000, now=0.0)
        seen = stats.snapshot(29.0 + rows / 2, usage, DISK)
        assert seen.rows_per_second == 2.0
        # Too little was seen to say when it will be done.
        assert seen.eta_seconds is None
    stats.observe(0, WorkerProgress("unit 0", ROWS, 22, 44.0, 0), 1000, now=0.0)
    assert stats.snapshot(40.0, usage, DISK).eta_seconds == (ROWS * UNITS - 22) / 2


def test_peaks_are_the_largest_that_were_ever_seen():
    story = Story()
    story.tell("work", 0)
    for rows in (2, 9, 4):
        story.tell("observe", 0, rows)
    story.stats.snapshot(1.0, Usage(500, 0, 10, 10, 10), DISK)
    story.stats.snapshot(2.0, Usage(300, 0, 10, 10, 10), DISK)
    assert story.stats.peak_memory_bytes == {0: 1009}
    assert story.stats.peak_disk_bytes == 500


def test_an_actor_that_waits_for_room_between_two_units_is_charged_to_the_reservation():
    stats = Story().stats
    stats.set_state(0, ActorState.IDLE, 0.0)
    stats.set_state(0, ActorState.WORKING, 7.0, "unit 0", ROWS)
    stats.set_state(0, ActorState.IDLE, 9.0)
    assert stats.stage_seconds == {"reserve": 7.0}


def test_cpu_seconds_add_up_over_an_actors_processes():
    stats = Story().stats
    stats.set_state(0, ActorState.WORKING, 0.0, "unit 0", ROWS)
    for seconds in (5.0, 8.0, 2.0, 3.0):
        stats.observe(0, WorkerProgress("unit 0", ROWS, 0, 0.0, 0), 1, seconds, now=0.0)
    assert stats.cpu_seconds == 11.0


def test_the_load_counts_audio_of_open_units_and_the_largest_actor_that_there_was():
    stats = Story().stats
    assert stats.load(1.0, 0) == Load(1.0, 0.0, 0.0, 0, ACTOR_BYTES)
    for actor in (0, 1):
        stats.set_state(actor, ActorState.WORKING, 0.0, "unit 0", ROWS)
        stats.observe(actor, WorkerProgress("unit 0", ROWS, 1, 2.0, 0), 150 + actor, 4.0, now=0.0)
    stats.ended(1)
    assert stats.load(2.0, 1) == Load(2.0, 2.0, 8.0, 1, 151)


def test_a_snapshot_has_the_governors_figures():
    seen = Story().snapshot()
    assert (seen.disk_reserved_bytes, seen.disk_reserve_bytes, seen.disk_missing_bytes) == (3, 2, 1)


def test_an_actor_is_stuck_from_its_last_new_row_on_whether_it_answers_or_not():
    stats = RunStats(ROWS, 1, 0, 0, disk_forecast_bytes=1, started=0.0)
    stats.set_state(0, ActorState.WORKING, 0.0, "unit 0", ROWS)
    stats.observe(0, WorkerProgress("unit 0", ROWS, 1, 2.0, 0), 1, now=5.0)
    stats.observe(0, WorkerProgress("unit 0", ROWS, 1, 2.0, 0), 1, now=14.0)
    assert stats.stuck(14.9, 10.0) == []
    assert [view.number for view in stats.stuck(15.0, 10.0)] == [0]
    stats.set_state(0, ActorState.IDLE, 15.0)
    assert stats.stuck(99.0, 10.0) == []


def test_what_comes_after_the_work_changes_neither_its_time_nor_the_load_of_others(monkeypatch):
    seconds = iter([1_000.0, 1_004.0, 9_000.0, 9_000.0])
    monkeypatch.setattr("preprocess.execution.run_stats.others_seconds", lambda: next(seconds))
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    stats = RunStats(ROWS, 1, 0, 0, disk_forecast_bytes=1, started=0.0, others_before=next(seconds))
    stats.end(10.0)
    assert (stats.elapsed_seconds(99.0), stats.others_share(99.0)) == (10.0, 0.2)
