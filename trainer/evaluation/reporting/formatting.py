"""Figures of an evaluation in words, the same on the screen and on the page."""

from shared.units import format_counted
from trainer.evaluation.bootstrap import ConfidenceInterval, PairedDifference
from trainer.evaluation.inputs import SilenceCheck

_SMALLEST_P = 0.001
UNKNOWN = "-"


def format_interval(interval: ConfidenceInterval) -> str:
    """Both ends in percent: `11.80 to 12.90 %`."""
    return f"{100 * interval.low:.2f} to {100 * interval.high:.2f} %"


def format_points(difference: float) -> str:
    """A difference of two rates in points, with its sign: `-0.43 points`."""
    return f"{100 * difference:+.2f} points"


def format_points_interval(interval: ConfidenceInterval) -> str:
    """Both ends of a difference, in points: `-0.61 to -0.25`."""
    return f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"


def format_p(value: float) -> str:
    """A p value with three decimals: `0.012`, `< 0.001`."""
    return f"< {_SMALLEST_P}" if value < _SMALLEST_P else f"{value:.3f}"


def significance(compared: PairedDifference) -> str:
    """What a comparison with the baseline comes to: `better`, `worse` or `not significant`."""
    if not compared.significant:
        return "not significant"
    return "better" if compared.difference < 0 else "worse"


def format_real_time_factor(factor: float | None) -> str:
    """`0.05 (20.0 x real time)`, `-` where it was not measured."""
    if factor is None:
        return UNKNOWN
    return f"{factor:.3g} ({1 / factor:.3g} x real time)" if factor > 0 else "0"


def format_silence(check: SilenceCheck | None) -> str:
    """`in 2 of 20 clips, 9 words`, `-` where it was not tried."""
    if check is None:
        return UNKNOWN
    words = f", {format_counted(check.words, 'word')}" if check.words else ""
    return f"in {check.clips_with_text} of {format_counted(check.clips, 'clip')}{words}"
