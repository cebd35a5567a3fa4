"""Who does what next: units to actors, restarts, and the hunt for a row that kills its actor. Pure.

Events go in, actions come out; nothing here knows Ray, time or disk. A unit that kills its actor three times is halved
again and again until one row is left; when that row alone kills three actors too, it is marked and quarantined as
`crashed`. A unit whose death cannot be repeated goes back to the queue: actors also die of what no row has done.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from preprocess.units import Unit
from shared.errors import ClusterError

CRASHES_BEFORE_BISECTION = 3
CRASHES_ALONE = 3
FRUITLESS_BISECTIONS = 3
DEATHS_AT_START = 5
UNBOUNDED_BYTES = 1 << 62


@dataclass(frozen=True, slots=True)
class StartActor:
    """Start actor *actor*, or a new one in its place."""

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
Action = StartActor | Work


@dataclass(frozen=True, slots=True)
class Suspect:
    """What is known of a unit that killed actors; rows *start* to *stop* hold a killer, if there is one.

    *alone* counts the actors that the one row left has killed by itself.
    """

    unit: Unit
    crashes: int = 0
    crashed_rows: frozenset[int] = frozenset()
    start: int = 0
    stop: int = 0
    alone: int = 0
    fruitless: int = 0

    @property
    def middle(self) -> int:
        """End of the first half; the whole range when only one row is left."""
        return self.stop if self.stop - self.start == 1 else (self.start + self.stop) // 2

    @property
    def bisecting(self) -> bool:
        """True while the killer is being hunted."""
        return self.stop > self.start


@dataclass(slots=True)
class Scheduler:
    """Hands out *units* to *num_actors* actors; see the module's docstring for what happens when one dies.

    *admit* says how many bytes a unit may write, or None while it has to wait; at most *limit* actors are at work. Both
    may change from call to call: `on_tick` looks again.
    """

    units: Iterable[Unit]
    num_actors: int
    admit: Callable[[Unit], int | None] = lambda _unit: UNBOUNDED_BYTES
    limit: int | None = None
    restarts: int = 0
    _queue: deque[Unit] = field(default_factory=deque)
    _busy: dict[int, Work] = field(default_factory=dict)
    _idle: set[int] = field(default_factory=set)
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
    def held_up(self) -> bool:
        """True when actors are ready and units are left, but nothing was admitted."""
        return bool(self._idle and self._queue and not self._busy)

    def start(self) -> list[Action]:
        """The first actions: as many actors as there is work for."""
        return [StartActor(actor) for actor in range(min(self.num_actors, len(self._queue)))]

    def on_ready(self, actor: int) -> list[Action]:
        """*actor* has started and waits for work."""
        self._deaths_at_start = 0
        self._idle.add(actor)
        return self._assign()

    def on_done(self, actor: int) -> list[Action]:
        """*actor* finished what it was given: a committed unit, or a probe that it survived."""
        work = self._busy.pop(actor)
        self._idle.add(actor)
        if isinstance(work, ProbeRows):
            self._survived(work)
        else:
            self._suspects.pop(_key(work.unit), None)
        return self._assign()

    def on_gave_up(self, actor: int) -> list[Action]:
        """*actor* gave its unit up and left nothing behind, for no fault of a row; the unit goes back to the queue."""
        self._queue.appendleft(self._busy.pop(actor).unit)
        self._idle.add(actor)
        return self._assign()

    def on_recycled(self, actor: int) -> list[Action]:
        """*actor* was ended on purpose, whatever it was at; no row is blamed."""
        self._idle.discard(actor)
        work = self._busy.pop(actor, None)
        if work is not None:
            self._queue.appendleft(work.unit)
        return [StartActor(actor), *self._assign()]

    def on_tick(self) -> list[Action]:
        """Time went by: what had to wait may be admitted now."""
        return self._assign()

    def work_of(self, actor: int) -> Work | None:
        """What *actor* is at."""
        return self._busy.get(actor)

    @property
    def waiting(self) -> tuple[Unit, ...]:
        """Units that nobody works on, in order."""
        return tuple(self._queue)

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
        elif isinstance(work, ProbeRows):
            self._killed_probe(work)
        else:
            self._killed_unit(work)
        return [StartActor(actor), *self._assign()] if self._queue or self._busy else []

    def _assign(self) -> list[Action]:
        actions: list[Action] = []
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
        suspect = self._suspects.get(_key(unit), Suspect(unit))
        if suspect.bisecting:
            # A probe writes nothing and so needs no admission.
            return ProbeRows(actor, unit, suspect.start, suspect.middle, suspect.crashed_rows)
        max_bytes = self.admit(unit)
        return None if max_bytes is None else RunUnit(actor, unit, suspect.crashed_rows, max_bytes)

    def _killed_unit(self, work: RunUnit) -> None:
        suspect = self._suspects.get(_key(work.unit), Suspect(work.unit))
        suspect = replace(suspect, crashes=suspect.crashes + 1)
        if suspect.crashes >= CRASHES_BEFORE_BISECTION:
            suspect = replace(suspect, start=work.unit.start, stop=work.unit.stop)
        self._put_back(suspect)

    def _killed_probe(self, work: ProbeRows) -> None:
        suspect = replace(self._suspects[_key(work.unit)], start=work.start, stop=work.stop)
        if work.stop - work.start == 1:
            suspect = replace(suspect, alone=suspect.alone + 1)
        self._put_back(_convicted(suspect) if suspect.alone >= CRASHES_ALONE else suspect)

    def _survived(self, work: ProbeRows) -> None:
        suspect = self._suspects[_key(work.unit)]
        if work.stop < suspect.stop:
            self._put_back(replace(suspect, start=work.stop))
            return
        if suspect.fruitless + 1 >= FRUITLESS_BISECTIONS:
            raise ClusterError(
                f"shard {work.unit.number} of {work.unit.split!r} keeps killing its actor, but no single row does",
                "give the actors more memory (fewer --actors, smaller --shard-size) and run the same command again",
            )
        self._put_back(Suspect(suspect.unit, crashed_rows=suspect.crashed_rows, fruitless=suspect.fruitless + 1))

    def _put_back(self, suspect: Suspect) -> None:
        self._suspects[_key(suspect.unit)] = suspect
        self._queue.appendleft(suspect.unit)


def _convicted(suspect: Suspect) -> Suspect:
    """*suspect* with its one row marked. Raises ClusterError when it was marked before."""
    if suspect.start in suspect.crashed_rows:
        message = f"row {suspect.start} of shard {suspect.unit.number} of {suspect.unit.split!r} cannot even be read"
        raise ClusterError(f"{message}: reading it kills the process", "repair or remove it in the source")
    crashed = suspect.crashed_rows | {suspect.start}
    # The next death of this unit is another row's doing and is hunted at once.
    return Suspect(suspect.unit, CRASHES_BEFORE_BISECTION - 1, crashed, fruitless=suspect.fruitless)


def _key(unit: Unit) -> tuple[str, int]:
    return unit.split, unit.number
