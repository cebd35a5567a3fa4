"""What a signal that ended a process is called."""

import signal
from contextlib import suppress


def signal_name(number: int) -> str:
    """`SIGKILL` for 9; `signal 99` for one that has no name here."""
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
