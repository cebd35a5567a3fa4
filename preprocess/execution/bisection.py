"""Units that killed actors: what is known of them, and what each further event tells. Pure.

A unit that kills its actor three times is halved again and again until one row is left; when that row alone kills three
actors too, it is marked and quarantined as `crashed`. A unit whose death cannot be repeated goes back to the queue:
actors also die of what no row has done.
"""

from dataclasses import dataclass, replace

from preprocess.units import Unit
from shared.errors import ClusterError

CRASHES_BEFORE_BISECTION = 3
CRASHES_ALONE = 3
FRUITLESS_BISECTIONS = 3


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

    def killed(self) -> "Suspect":
        """After an actor died of the whole unit."""
        suspect = replace(self, crashes=self.crashes + 1)
        if suspect.crashes >= CRASHES_BEFORE_BISECTION:
            suspect = replace(suspect, start=self.unit.start, stop=self.unit.stop)
        return suspect

    def killed_by(self, start: int, stop: int) -> "Suspect":
        """After an actor died of rows *start* to *stop* alone. Raises ClusterError for a row that was marked before."""
        suspect = replace(self, start=start, stop=stop)
        if stop - start == 1:
            suspect = replace(suspect, alone=suspect.alone + 1)
        return _convicted(suspect) if suspect.alone >= CRASHES_ALONE else suspect

    def survived(self, stop: int) -> "Suspect":
        """After an actor survived the rows up to *stop*. Raises ClusterError when hunts keep finding nothing."""
        if stop < self.stop:
            return replace(self, start=stop)
        if self.fruitless + 1 >= FRUITLESS_BISECTIONS:
            raise ClusterError(
                f"shard {self.unit.number} of {self.unit.split!r} keeps killing its actor, but no single row does",
                "give the actors more memory (fewer --actors, smaller --shard-size) and run the same command again",
            )
        return Suspect(self.unit, crashed_rows=self.crashed_rows, fruitless=self.fruitless + 1)


def _convicted(suspect: Suspect) -> Suspect:
    """*suspect* with its one row marked. Raises ClusterError when it was marked before."""
    if suspect.start in suspect.crashed_rows:
        message = f"row {suspect.start} of shard {suspect.unit.number} of {suspect.unit.split!r} cannot even be read"
        raise ClusterError(f"{message}: reading it kills the process", "repair or remove it in the source")
    crashed = suspect.crashed_rows | {suspect.start}
    # The next death of this unit is another row's doing and is hunted at once.
    return Suspect(suspect.unit, CRASHES_BEFORE_BISECTION - 1, crashed, fruitless=suspect.fruitless)
