"""Whose a log file is, where trainings share a folder of logs one after the other."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

Clock = Callable[[], datetime]
"""Says the time, in UTC."""
_AWAY = "-before-"


def set_aside(path: Path, clock: Clock) -> None:
    """Renames *path*, where there is one; the name tells when the next run began."""
    if path.exists():
        path.rename(path.with_name(f"{path.stem}{_AWAY}{clock():%Y%m%dT%H%M%SZ}{path.suffix}"))


def claim(path: Path, run: str, owner: Callable[[Path], str | None], clock: Clock) -> None:
    """Makes *path* that of *run*: another's is set aside, and the last of its own that was is put back.

    *owner* tells whose a file is; None is anybody's.
    """
    if path.exists() and owner(path) not in {None, run}:
        set_aside(path, clock)
    if not path.exists():
        away = sorted(path.parent.glob(f"{path.stem}{_AWAY}*{path.suffix}"), reverse=True)
        own = next((file for file in away if owner(file) == run), None)
        if own is not None:
            own.rename(path)
