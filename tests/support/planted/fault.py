"""One planted fault."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """In *file*, *old* (its only occurrence) becomes *new*; at least one of *tests* (pytest node ids) must then fail.

    *name* is `area/what-goes-wrong`.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def area(self) -> str:
        """What of the project is broken."""
        return self.name.partition("/")[0]

    def plant(self, text: str) -> str:
        """*text* of the file with the fault; raises ValueError where *old* is not there exactly once."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: its text stands {text.count(self.old)} times in {self.file}")
        return text.replace(self.old, self.new)
