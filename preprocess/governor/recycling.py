"""When an actor has worked long enough: after so many units, or when its memory has grown by so much.

Libraries leak, heaps fragment; a fresh process costs two seconds and starts from nothing. Pure but for what it
remembers.
"""

from dataclasses import dataclass, field

from shared.units import format_bytes, format_counted


@dataclass(slots=True)
class Recycling:
    """Counts each actor's units and its growth; 0 for *after_units* or *after_growth_bytes* means never."""

    after_units: int
    after_growth_bytes: int
    _units: dict[int, int] = field(default_factory=dict)
    _first_bytes: dict[int, int] = field(default_factory=dict)

    def started(self, actor: int) -> None:
        """A new process is *actor* now."""
        self._units[actor] = 0
        self._first_bytes.pop(actor, None)

    def finished(self, actor: int, memory_bytes: int) -> str:
        """*actor* has finished a unit and holds *memory_bytes*: why a new one should take its place, '' when not.

        Growth counts from the end of its first unit: by then everything that is made once is there.
        """
        self._units[actor] = self._units.get(actor, 0) + 1
        grown = memory_bytes - self._first_bytes.setdefault(actor, memory_bytes)
        if self.after_units and self._units[actor] >= self.after_units:
            return f"it has made {format_counted(self._units[actor], 'shard')}"
        if self.after_growth_bytes and grown >= self.after_growth_bytes:
            return f"its memory has grown by {format_bytes(grown)}"
        return ""
