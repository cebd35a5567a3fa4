"""What a check came to: well, to be fixed, or left out. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a line says first."""

    OK = "ok"
    FIX = "FIX"
    LEFT_OUT = "-"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check came to, in *words*; *remedy* is what to do where it is to be fixed."""

    state: State
    words: str
    remedy: str = ""


def ok(words: str) -> Verdict:
    """All is well."""
    return Verdict(State.OK, words)


def fix(words: str, remedy: str) -> Verdict:
    """Something is to be done."""
    return Verdict(State.FIX, words, remedy)


def left_out(why: str) -> Verdict:
    """Not tried, and why."""
    return Verdict(State.LEFT_OUT, f"left out: {why}")
