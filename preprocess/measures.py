"""What a run does at each of the governor's levels: fewer actors, memory given back, cleanup, a new actor, the end."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import monotonic

import psutil

from preprocess.cluster import Cluster
from preprocess.governor.control import Governor
from preprocess.governor.policy import Level
from preprocess.governor.process_memory import give_memory_back
from preprocess.live import View
from preprocess.preparation import clear_dead
from preprocess.processes import largest_in_words, same_group
from preprocess.progress import ActorState
from preprocess.schedule import Action, RunUnit, Scheduler, StartActor
from preprocess.sources.base import BATCH_BYTES, SMALL_BATCH_BYTES
from preprocess.tally import RunStats
from shared.errors import ResourceLimitError
from shared.layout import StoreLayout
from shared.units import format_bytes, format_seconds

RELIEF_SECONDS = 30.0
"""The shortest time between two measures against an emergency."""
STOP_SECONDS = 5.0
"""Time that open units get to end by themselves."""


@dataclass(slots=True)
class Measures:
    """Enacts the levels of *governor* on *cluster* and *scheduler*. *stall_seconds* without progress end the run."""

    layout: StoreLayout
    cluster: Cluster
    scheduler: Scheduler
    governor: Governor
    stats: RunStats
    view: View
    stall_seconds: float
    now: Callable[[], float] = monotonic
    _moved_at: float = field(default=0.0)
    _relieved_at: float = field(default=float("-inf"))

    def __post_init__(self) -> None:
        self._moved_at = self.now()

    def moved(self) -> None:
        """There was progress."""
        self._moved_at = self.now()

    @property
    def batch_bytes(self) -> int:
        """How much audio a reader may take at once."""
        return BATCH_BYTES if self.governor.memory_level is Level.NORMAL else SMALL_BATCH_BYTES

    def take(self) -> list[Action]:
        """What the present level asks for. Raises ResourceLimitError when it asks for the end."""
        before = self.stats.governed.level
        self.stats.governed.see(self.governor.watchdog.verdict, self.now())
        level = self.stats.governed.level
        if level != before:
            self.view.event(f"level {level.name.lower()}: {self._shortage() or 'calm'}")
            if level > before and level >= Level.PAUSE:
                self._relieve()
        self.scheduler.limit = self.governor.actors_allowed(self.scheduler.num_actors)
        if level is Level.STOP:
            self.end_for_want(self._shortage())
        if self.now() - self._moved_at >= self.stall_seconds and (level >= Level.PAUSE or self.scheduler.held_up):
            self.end_for_want(self._shortage())
        if level is Level.EMERGENCY and self.now() - self._relieved_at >= RELIEF_SECONDS:
            self._relieved_at = self.now()
            self.clean()
            self._relieve()
            return self._recycle_largest()
        return []

    def lost(self, actor: int) -> None:
        """*actor* is gone: its reservation and its partial files go, too."""
        work = self.scheduler.work_of(actor)
        if isinstance(work, RunUnit):
            self.governor.admission.given_up(work.unit)
        self.clean()
        self.stats.set_state(actor, ActorState.RESTARTING, self.now())

    def clean(self) -> None:
        """Removes partial files whose owner is provably dead."""
        removals = clear_dead(self.layout.root)
        self.stats.governed.count(removals)
        for removal in removals:
            self.view.event(removal.in_words)

    def end_for_want(self, reason: str) -> None:
        """Ends the run for want of disk or memory: open shards are given up, committed ones stay."""
        if self.governor.memory_level >= Level.PAUSE:
            reason = f"{reason} ({largest_in_words(self._holders())})"
        self.view.event(f"stopping for want of room: {reason}")
        self.cluster.stop(STOP_SECONDS)
        waited = format_seconds(self.now() - self._moved_at)
        raise ResourceLimitError(
            f"{reason or 'no work could be admitted'} (no progress for {waited}); {self.stats.shards_in_words}",
            "make room, or raise --disk-budget or --ram-budget; then the same command goes on",
        )

    def _holders(self) -> Iterable[psutil.Process]:
        """Who may hold the memory that is short: every process, or those of our cgroup where its limit is the one."""
        reading = self.governor.watchdog.verdict.memory
        if reading is None or reading.limit_bytes >= psutil.virtual_memory().total:
            everyone: Iterable[psutil.Process] = psutil.process_iter()
            return everyone
        return same_group()

    def _shortage(self) -> str:
        return self.governor.shortage(self.scheduler.waiting)

    def _relieve(self) -> None:
        self.cluster.give_memory_back()
        give_memory_back()

    def _recycle_largest(self) -> list[Action]:
        """Against want of memory: the actor that holds most ends, its unit goes back to the queue.

        None takes its place while others are left: as many as there were are too many. `Crew` adds one again when there
        is room for it.
        """
        actor = self.stats.largest_actor()
        # The level stays for a while after memory is back; another actor would be ended for nothing.
        if actor is None or not self.governor.memory_is_short:
            return []
        size = format_bytes(self.stats.memory_of(actor))
        self.view.event(f"memory is short: actor {actor}, the largest with {size}, is ended")
        self.stats.governed.recycled += 1
        self.cluster.end_actor(actor)
        self.lost(actor)
        actions = self.scheduler.on_recycled(actor, num_actors=max(1, self.scheduler.num_actors - 1))
        if StartActor(actor) not in actions:
            self.stats.ended(actor)
        return actions
