"""What a run is at, from the command to the report: said within a second of its beginning, whoever looks."""

from collections.abc import Callable
from enum import StrEnum


class Phase(StrEnum):
    """A run's phases in their order; the value is what a person reads."""

    DEMO = "making the demo corpus"
    LISTING = "listing the source"
    SAMPLING = "decoding a sample"
    PREPARING = "looking at the store"
    STARTING_RAY = "starting Ray"
    STARTING_ACTORS = "starting actors"
    WORKING = "working"
    INDEXING = "writing the index"
    REPORTING = "writing the report"


TellPhase = Callable[[Phase], None]
"""Called with what begins."""


def tell_nobody(_phase: Phase) -> None:
    """For a caller whom phases do not concern."""
