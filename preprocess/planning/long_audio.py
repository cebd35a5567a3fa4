"""What `--long-audio` makes of clips over the model's window: the longest clip taken, or why that cannot be. Pure.

It cuts nothing (`preprocess.align` does, for `split`) and counts nothing (`features.long_clips`).
"""

import shlex
from collections.abc import Sequence

from shared.command.cli import python_command
from shared.errors import UsageError
from shared.models.limits import ModelLimits

KEPT_WINDOWS = 2
"""Windows that a clip may be long under `keep` without --max-duration: 60 s, since a step's memory grows with it."""


def longest_seconds(choice: str, limits: ModelLimits, given: float | None, *, chosen: bool) -> float:
    """Seconds of the longest clip that is taken whole by a model with *limits*; of `split`, the longest piece.

    *given* is --max-duration, None where nobody named one; *choice* is --long-audio, which somebody named where it was
    *chosen*. Without that, --max-duration alone decides. Raises UsageError where the two contradict each other.
    """
    window = limits.window_seconds
    if choice == "quarantine":
        if chosen and given is not None and given > window:
            message = (
                f"--long-audio quarantine leaves out what is over {window:g} s, --max-duration {given} asks for it"
            )
            raise UsageError(message, "--long-audio keep stores it whole; or leave one of the two out")
        return window if given is None else given
    if choice == "keep":
        if given is not None and given <= window:
            message = f"--long-audio keep is for clips over {window:g} s, --max-duration {given} leaves them all out"
            raise UsageError(message, "raise --max-duration to the longest clip that is to be kept, or leave it out")
        return KEPT_WINDOWS * window if given is None else given
    return window if given is None else min(given, window)


def no_cut_plan(source: str, store: str, options: Sequence[str] = ()) -> UsageError:
    """The error of a run with *options* that is to split clips whose cuts nobody has made yet."""
    named = ["--source", source, "--store", store, *options, "--model", "FASTER_WHISPER_FOLDER"]
    command = shlex.join([python_command(), "-m", "preprocess.align", *named])
    message = f"--long-audio split needs a plan of cuts, and {store} has none"
    return UsageError(message, f"make it once with `{command}`, then give the same command again")
