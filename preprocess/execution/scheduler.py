"""Who does what next: units to actors, starts and ends of actors, and the hunt for a row that kills its actor. Pure.

Events go in, actions come out; nothing here knows Ray, time or disk. `suspects` says what a death tells of a unit.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from preprocess.execution.bisection import Suspect
from preprocess.units import Unit
from shared.errors import ClusterError

DEATHS_AT_START = 5
UNBOUNDED_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class StartActor:
    """Start actor *actor*, or a new one in its place."""

    actor: int


@dataclass(frozen=True, slots=True)
class EndActor:
    """End actor *actor*, which has nothing to do."""

    actor: int


@dataclass(frozen=True, slots=True)
class RunUnit:
    """Let *actor* make *unit*'s shard of at most *max_bytes*, quarantining *crashed_rows* unread."""

    actor: int
    unit: Unit
    crashed_rows: frozenset[int] = frozenset()
    max_bytes: int = UNBOUNDED_BYTES


@dataclass(frozen=True, slots=True)
class ProbeRows:
    """Let *actor* process source rows *start* to *stop* of *unit* without writing, to see whether it survives."""

    actor: int
    unit: Unit
    start: int
    stop: int
    crashed_rows: frozenset[int] = frozenset()


Work = RunUnit | ProbeRows
Action = StartActor | EndActor | Work


@dataclass(slots=True)
class Scheduler:
    """Hands out *units* to *num_actors* actors; `resize` changes their number.

    *admit* says how many bytes a unit may write, or None while it has to wait; at most *limit* actors are at work. Both
    may change from call to call: `on_tick` looks again.
    """

    units: Iterable[Unit]
    num_actors: int
    admit: Callable[[Unit], int | None] = lambda _unit: UNBOUNDED_BYTES
    limit: int | None = None
    restarts: int = 0
    _queue: deque[Unit] = field(default_factory=deque)
    _alive: set[int] = field(default_factory=set)
    _idle: set[int] = field(default_factory=set)
    _busy: dict[int, Work] = field(default_factory=dict)
    _suspects: dict[tuple[str, int], Suspect] = field(default_factory=dict)
    _deaths_at_start: int = 0

    def __post_init__(self) -> None:
        self._queue.extend(self.units)

    @property
    def finished(self) -> bool:
        """True when every unit is committed."""
        return not self._queue and not self._busy

    @property
    def unfinished(self) -> tuple[Unit, ...]:
        """Units that are not committed, those at work first."""
        return (*(work.unit for work in self._busy.values()), *self._queue)

    @property
    def waiting(self) -> tuple[Unit, ...]:
        """Units that nobody works on, in order."""
        return tuple(self._queue)

    @property
    def num_busy(self) -> int:
        """Actors at work."""
        return len(self._busy)

    @property
    def held_up(self) -> bool:
        """True when actors are ready and units are left, but nothing was admitted."""
        return bool(self._idle and self._queue and not self._busy)

    def work_of(self, actor: int) -> Work | None:
        """What *actor* is at."""
        return self._busy.get(actor)

    def start(self) -> list[Action]:
        """The first actions: as many actors as there is work for."""
        return self._grow()

    def resize(self, num_actors: int) -> list[Action]:
        """*num_actors* are wanted from now on: more are started, too many end as soon as they are idle."""
        self.num_actors = num_actors
        return [*self._grow(), *self._assign()]

    def on_ready(self, actor: int) -> list[Action]:
        """*actor* has started and waits for work."""
        self._deaths_at_start = 0
        self._idle.add(actor)
        return self._assign()

    def on_done(self, actor: int, *, recycle: bool = False) -> list[Action]:
        """*actor* finished what it was given: a committed unit, or a probe that it survived.

        With *recycle* a new one takes its place where there is more to do.
        """
        work = self._busy.pop(actor)
        if isinstance(work, ProbeRows):
            self._put_back(self._suspects[_key(work.unit)].survived(work.stop))
        else:
            self._suspects.pop(_key(work.unit), None)
        if recycle and self._queue:
            return [StartActor(actor), *self._assign()]
        self._idle.add(actor)
        return self._assign()

    def on_gave_up(self, actor: int) -> list[Action]:
        """*actor* gave its unit up and left nothing behind, for no fault of a row; the unit goes back to the queue."""
        self._queue.appendleft(self._busy.pop(actor).unit)
        self._idle.add(actor)
        return self._assign()

    def on_recycled(self, actor: int, *, num_actors: int | None = None) -> list[Action]:
        """*actor* was ended on purpose, whatever it was at; no row is blamed. *num_actors* are wanted from now on."""
        self.num_actors = num_actors or self.num_actors
        self._idle.discard(actor)
        work = self._busy.pop(actor, None)
        if work is not None:
            self._queue.appendleft(work.unit)
        return [*self._replace(actor), *self._assign()]

    def on_tick(self) -> list[Action]:
        """Time went by: what had to wait may be admitted now."""
        return self._assign()

    def on_died(self, actor: int) -> list[Action]:
        """*actor* died, at work or while it started. Raises ClusterError when actors cannot even start."""
        self.restarts += 1
        self._idle.discard(actor)
        work = self._busy.pop(actor, None)
        if work is None:
            self._deaths_at_start += 1
            if self._deaths_at_start >= DEATHS_AT_START:
                message = f"actors died {self._deaths_at_start} times in a row before they had any work"
                raise ClusterError(message, "look at the memory left on the machine and at Ray's log folder")
        else:
            known = self._suspect(work.unit)
            self._put_back(known.killed() if isinstance(work, RunUnit) else known.killed_by(work.start, work.stop))
        return [*self._replace(actor), *self._assign()] if self._queue or self._busy else []

    def _grow(self) -> list[Action]:
        """Starts what is missing of the actors wanted, as far as there is work for them."""
        # Four wanted, 0 and 2 alive and both at work, one unit waiting: min(4, 1 + 2) - 2 = 1 is missing. It becomes
        # actor 1, the first number that is free, so that views and files never count beyond the actors wanted.
        missing = min(self.num_actors, len(self._queue) + len(self._busy)) - len(self._alive)
        free = (actor for actor in range(self.num_actors) if actor not in self._alive)
        started = [StartActor(actor) for actor, _ in zip(free, range(missing), strict=False)]
        self._alive.update(action.actor for action in started)
        return [*started]

    def _replace(self, actor: int) -> list[Action]:
        """A new actor for *actor*, which is gone, unless there were too many."""
        if len(self._alive) > self.num_actors:
            self._alive.discard(actor)
            return []
        return [StartActor(actor)]

    def _assign(self) -> list[Action]:
        actions: list[Action] = []
        # Five alive and three wanted: two too many, of whom only the idle end now, the highest numbers first. Those at
        # work end here as well, once `on_done` has made them idle.
        for actor in sorted(self._idle, reverse=True)[: max(0, len(self._alive) - self.num_actors)]:
            self._idle.discard(actor)
            self._alive.discard(actor)
            actions.append(EndActor(actor))
        for actor in sorted(self._idle):
            if self.limit is not None and len(self._busy) >= self.limit:
                break
            work = self._admitted_work(actor)
            if work is None:
                break
            self._idle.discard(actor)
            self._busy[actor] = work
            actions.append(work)
        return actions

    def _admitted_work(self, actor: int) -> Work | None:
        """Work on the first unit of the queue that may start; it leaves the queue."""
        for place, unit in enumerate(self._queue):
            work = self._next_work(actor, unit)
            if work is not None:
                del self._queue[place]
                return work
        return None

    def _next_work(self, actor: int, unit: Unit) -> Work | None:
        suspect = self._suspect(unit)
        if suspect.bisecting:
            # A probe writes nothing and so needs no admission.
            return ProbeRows(actor, unit, suspect.start, suspect.middle, suspect.crashed_rows)
        max_bytes = self.admit(unit)
        return None if max_bytes is None else RunUnit(actor, unit, suspect.crashed_rows, max_bytes)

    def _suspect(self, unit: Unit) -> Suspect:
        return self._suspects.get(_key(unit), Suspect(unit))

    def _put_back(self, suspect: Suspect) -> None:
        self._suspects[_key(suspect.unit)] = suspect
        self._queue.appendleft(suspect.unit)


def _key(unit: Unit) -> tuple[str, int]:
    return unit.split, unit.number
