"""Faults that the suite must notice: each is a mistake that somebody could make in our own code.

They stand in the `.txt` files beside this module, by what they break; `../planted_campaign.py` plants them one by one.
A fault is its name and place in the code (`places.py`), what is changed there (`pattern.py`; more than one change, or
lines that go on with four spaces more, where need be), and the tests of which at least one must then fail:

    area/what-goes-wrong @ Class.method
        old => new
        test_some_promise
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fault.planted.pattern import edited, find, parsed
from tests.fault.planted.places import Place, Places

PRODUCT = ("preprocess", "shared", "trainer")
MOST_HINTS = 3
"""Functions that a fault without a place may belong to; of more it is no hint."""


@dataclass(frozen=True, slots=True)
class Fault:
    """At *place* the one occurrence of each old text of *changes* becomes the new; one of *tests* must then fail."""

    name: str
    place: str
    changes: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]

    @property
    def area(self) -> str:
        """What of the project is broken."""
        return self.name.partition("/")[0]

    def plant(self, product: Places) -> tuple[Path, str]:
        """The file in question, and its text with the fault; raises ValueError where it cannot be planted."""
        sides = [_parsed(*change) for change in self.changes]
        places = product.called(self.place)
        found = [[list(find(old, place.node)) for old, _ in sides] for place in places]
        fitting = [pair for pair in zip(places, found, strict=True) if all(len(spots) == 1 for spots in pair[1])]
        if len(fitting) != 1:
            raise ValueError(self._why_not(product, [old for old, _ in sides]))
        place, found_once = fitting[0]
        changes = [(spots[0], new) for spots, (_, new) in zip(found_once, sides, strict=True)]
        return place.file, edited(place.source, changes)

    def node_ids(self, tests: Places) -> list[str]:
        """Its tests as pytest calls them; raises ValueError where one is not there, or not once."""
        return [_node_id(test, tests.called(test)) for test in self.tests]

    def _why_not(self, product: Places, olds: Sequence[Sequence[ast.AST]]) -> str:
        places = product.called(self.place)
        counts = [
            f"`{text}` stands {count} times in {self.place} of {place.file}"
            for place in places
            for (text, _), old in zip(self.changes, olds, strict=True)
            if (count := len(list(find(old, place.node)))) != 1
        ]
        if places and not counts:
            return f"it fits {self.place} of {' and of '.join(str(place.file) for place in places)}"
        others = [place for place in product.functions() if all(len(list(find(old, place.node))) == 1 for old in olds)]
        hint = f"; it would fit {', '.join(place.name for place in others)}" if 0 < len(others) <= MOST_HINTS else ""
        return ("; ".join(counts) or f"nothing is called {self.place}") + hint


def read_faults(text: str) -> Iterator[Fault]:
    """The faults of a data file; a line that begins with # says why."""
    for block in re.split(r"\n+(?=\S)", text.strip()):
        if not block.startswith("#"):
            head, *lines = re.split(r"\n {4}(?=\S)", block)
            name, place = head.split(" @ ")
            changes = [line.replace("\n        ", "\n").split(" =>") for line in lines if " =>" in line]
            tests = [test for line in lines if " =>" not in line for test in line.split()]
            yield Fault(name, place, tuple((old.strip(), new.strip()) for old, new in changes), tuple(tests))


def _parsed(old: str, new: str) -> tuple[list[ast.AST], list[ast.AST]]:
    try:
        return parsed(old, new)
    except SyntaxError as error:
        raise ValueError(f"`{old} => {new}` is no Python: {error}") from error


def _node_id(test: str, places: Sequence[Place]) -> str:
    if len(places) != 1:
        where = " and ".join(str(place.file) for place in places)
        raise ValueError(f"the test {test} stands in {where}" if places else f"there is no test {test}")
    return "::".join([str(places[0].file), *places[0].name.split(".")])


FAULTS = [fault for path in sorted(Path(__file__).parent.glob("*.txt")) for fault in read_faults(path.read_text())]
