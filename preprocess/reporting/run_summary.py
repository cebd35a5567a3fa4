"""What a run did, what it cost and what held it back: values and arithmetic, no rendering."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from preprocess.features.long_clips import LongClips
from preprocess.features.stages import RESERVE, STAGES, WAITING
from preprocess.planning.completion import cancelled_rows, quarantine_reasons
from preprocess.planning.planned_job import PlannedJob
from shared.index import read_complete
from shared.reading.duplicates import Repeats
from shared.units import format_counted

BUSY_SHARE = 0.25
"""Of the cores; where other programs take more, they decide how long a run takes."""
_ADVICE = {
    RESERVE: "disk or memory was short; more room (--disk-budget, --ram-budget, other programs) would help",
    "read": "a faster or nearer source would help, more actors would not",
    "write": "a faster disk under the store would help, more actors would not",
    "commit": "a disk that syncs faster would help, more actors would not",
    WAITING: "fewer actors would do as much; look for throttling and slow starts in the log",
}


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """One split of the finished store: rows written, rows quarantined by reason, seconds of audio written.

    Rows are the source's: one that was split is one, however many pieces it has.

    *cancelled* rows are written as near silence: their channels have opposite phase.
    """

    name: str
    rows_written: int
    audio_seconds: float
    quarantined: Mapping[str, int] = field(default_factory=dict)
    cancelled: int = 0

    @property
    def rows_quarantined(self) -> int:
        """Rows of this split that could not be used, for whatever reason."""
        return sum(self.quarantined.values())


def split_summaries(job: PlannedJob) -> list[SplitSummary]:
    """What the planned splits of a finished store hold."""
    complete = read_complete(job.layout)
    return [
        SplitSummary(
            plan.name,
            plan.num_rows - complete[plan.name]["quarantined"],
            complete[plan.name]["audio_seconds"],
            quarantine_reasons(job.layout, plan.name),
            len(cancelled_rows(job.layout, plan.name, plan.record)),
        )
        for plan in job.plans
    ]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A finished run and the store that it leaves.

    *splits*, *num_shards* and *store_bytes* count the whole store, *run_rows* and *run_audio_seconds* what this run
    added to it; rates are of this run alone. *actor_seconds* is the time that the actors were alive, summed;
    *stage_seconds* says what they did with it. *peak_disk_bytes* is store and scratch together, *actor_peak_ram_bytes*
    one figure per actor, *peak_own_bytes* all of the run's own processes, *others_share* the share of the cores that
    other programs took. *peak_ram_bytes* is the most in use of *ram_limit_bytes*, which is the run's own budget, its
    cgroup's limit or the machine's memory, whichever was nearest; 0 where there were no actors. *level_seconds* says
    how long the governor was at each level, *removed_bytes* what it removed of dead processes. *forecast_store_bytes*
    and *forecast_seconds* are what the plan promised for the store and
    for this run, None without a forecast. *next_command* is an argument list, not yet quoted. *repeats* are rows of the
    finished store that equal each other, *long* its clips over the model's window.
    """

    store: str
    splits: Sequence[SplitSummary]
    num_shards: int
    store_bytes: int
    run_rows: int
    run_audio_seconds: float
    elapsed_seconds: float
    peak_disk_bytes: int
    peak_ram_bytes: int
    actor_peak_ram_bytes: Sequence[int]
    stage_seconds: Mapping[str, float]
    actor_seconds: float
    num_cores: int
    actor_restarts: int = 0
    disk_budget_bytes: int = 0
    peak_own_bytes: int = 0
    others_share: float = 0.0
    ram_limit_bytes: int = 0
    level_seconds: Mapping[str, float] = field(default_factory=dict)
    removed_bytes: int = 0
    forecast_store_bytes: int | None = None
    forecast_seconds: float | None = None
    next_command: Sequence[str] = ()
    repeats: Sequence[Repeats] = ()
    long: LongClips | None = None

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio in the whole store."""
        return sum(split.audio_seconds for split in self.splits)

    @property
    def bytes_per_audio_hour(self) -> float:
        """Bytes of the store per hour of its audio, 0 without audio."""
        return _ratio(self.store_bytes, self.audio_seconds / 3_600)

    @property
    def samples_per_second(self) -> float:
        """Rows that this run handled per second."""
        return _ratio(self.run_rows, self.elapsed_seconds)

    @property
    def audio_seconds_per_second(self) -> float:
        """Seconds of audio that this run handled per second: how many times faster than real time it was."""
        return _ratio(self.run_audio_seconds, self.elapsed_seconds)

    @property
    def real_time_factor(self) -> float:
        """Seconds of work per second of audio, as ASR counts it: below 1 is faster than real time."""
        return _ratio(self.elapsed_seconds, self.run_audio_seconds)

    @property
    def limited_by(self) -> str:
        """What this run spent most of its actors' time on, and what would have made it faster."""
        if self.run_rows and self.others_share > BUSY_SHARE:
            share = f"{100 * self.others_share:.0f} %"
            return f"other programs took {share} of the cores: a machine with less to do would help"
        actors, cores = len(self.actor_peak_ram_bytes), self.num_cores
        return limiting_stage(self.stage_seconds, self.actor_seconds, num_actors=actors, num_cores=cores)

    @property
    def quarantined(self) -> Counter[str]:
        """Rows quarantined by reason, over all splits."""
        total: Counter[str] = Counter()
        for split in self.splits:
            total.update(split.quarantined)
        return total

    @property
    def cancelled(self) -> int:
        """Rows whose channels cancelled each other, over all splits."""
        return sum(split.cancelled for split in self.splits)


def percent_error(forecast: float, outcome: float) -> float:
    """How far *forecast* lay from *outcome*, in percent of the outcome; positive when it was too high.

    Zero against zero is 0, anything else against zero is infinite.
    """
    if outcome == 0:
        return 0.0 if forecast == 0 else float("inf")
    return 100 * (forecast - outcome) / outcome


def scored(forecast: float, outcome: float, others_share: float = 0.0) -> str:
    """How right *forecast* was, in words.

    Too short a time is no wonder where other programs took *others_share* of the cores, and it is said.
    """
    error = percent_error(forecast, outcome)
    if not isfinite(error):
        return "nothing came of it"
    words = f"{abs(error):.1f} %"
    busy = " (busy)" if others_share > BUSY_SHARE and error < 0 else ""
    return "right" if words == "0.0 %" else f"{words} too {'high' if error > 0 else 'low'}{busy}"


def stage_shares(stage_seconds: Mapping[str, float], actor_seconds: float) -> dict[str, float]:
    """Each stage's share of the actors' time, 0 to 1, with `waiting` for what is left; empty where nothing ran."""
    known = sum(stage_seconds.values())
    total = max(known, actor_seconds)
    if total <= 0:
        return {}
    names = [*STAGES, *(name for name in stage_seconds if name not in STAGES)]
    shares = {name: stage_seconds[name] / total for name in names if name in stage_seconds}
    return shares | {WAITING: (total - known) / total}


def limiting_stage(stage_seconds: Mapping[str, float], actor_seconds: float, *, num_actors: int, num_cores: int) -> str:
    """One sentence that names the stage with the largest share of actor time and what would make the run faster."""
    shares = stage_shares(stage_seconds, actor_seconds)
    if not shares:
        return "this run made no shard"
    name = max(shares, key=lambda stage: shares[stage])
    advice = _ADVICE.get(name) or _cpu_advice(num_actors, num_cores)
    return f"{name} took {100 * shares[name]:.0f} % of actor time: {advice}"


def _cpu_advice(num_actors: int, num_cores: int) -> str:
    if num_actors < num_cores:
        return f"more actors would help ({num_actors} on {format_counted(num_cores, 'core')})"
    return f"more or faster cores would help ({format_counted(num_actors, 'actor')} on {num_cores})"


def _ratio(value: float, of: float) -> float:
    return value / of if of > 0 else 0.0
