"""How long a training will take, said once, as soon as some steps were timed."""

from dataclasses import dataclass

from shared.units import format_audio, format_count, format_counted, format_seconds
from trainer.memory.words import format_epochs

_STEPS = 10
_SECONDS = 30.0
"""So many steps, or steps of so many seconds, are timed; the first is none of them, in which kernels are made."""


@dataclass(slots=True)
class Forecast:
    """Hears of steps as they are done, up to *max_steps*, of which an epoch has *steps_per_epoch*."""

    max_steps: int
    steps_per_epoch: int
    _seen: int = 0
    _seconds: float = 0.0
    _told: bool = False

    def see(self, step: int, seconds: float) -> str:
        """The forecast in words, once; else nothing. *step* took *seconds*."""
        self._seen += 1
        if self._told or self._seen == 1:
            return ""
        self._seconds += seconds
        timed, left = self._seen - 1, self.max_steps - step
        if (timed < _STEPS and self._seconds < _SECONDS) or left <= 0:
            return ""
        self._told = True
        one = self._seconds / timed
        return (
            f"about {format_audio(left * one)} to go: {format_counted(left, 'step')} left of "
            f"{epoch_words(self.max_steps, self.steps_per_epoch)}, at {format_seconds(one)} a step; evaluations and "
            "checkpoints come on top"
        )


def epoch_words(steps: int, steps_per_epoch: int) -> str:
    """`60,630 (3 epochs)`."""
    epochs = steps / steps_per_epoch
    return f"{format_count(steps)} ({format_epochs(epochs)})"
