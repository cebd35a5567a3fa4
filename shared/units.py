"""Sizes, times and counts as people write and read them.

Formatted sizes are decimal (1 kB = 1,000 B), as disks are sold and `df -H` counts; parsing honours both families.
"""

import math
import re
from fractions import Fraction

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
_SIZE = re.compile(
    r"\s*(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?:(?P<prefix>[kmgtpe])(?P<binary>i?))?b?\s*", re.IGNORECASE | re.ASCII
)
_KILO, _KIBI = 1_000, 1_024
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_DECIMAL_BELOW = 10
"""Times and rates show a decimal below this, ..."""
_HOURS_DECIMAL_BELOW = 100
"""... hours of audio below this."""
_UNKNOWN = "-"


def parse_bytes(text: str) -> int:
    """Bytes that *text* names: `256MB` and `1.5 TB` are powers of 1000, `2GiB` of 1024, `4096` and `512 B` bytes.

    Case and spaces do not matter, and the `B` may be left out; a bare `G` is decimal, the smaller reading, so a budget
    is never larger than meant. Raises ValueError for anything else, the decimal comma included.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size: write a number and a unit, such as 256MB, 1.5TB or 2GiB")
    base = _KIBI if match["binary"] else _KILO
    factor = base ** [prefix.lower() for prefix in _PREFIXES].index((match["prefix"] or "").lower())
    if factor == 1 and "." in match["number"]:
        raise ValueError(f"{text!r} is a fraction of a byte: add a unit, such as {match['number']}GB")
    return int(Fraction(match["number"]) * factor)


def format_bytes(count: int) -> str:
    """*count* bytes in decimal units: `512 B`, `3.2 GB`, `112 GB`; one decimal below 100, halves away from zero."""
    if count < 0:
        return "-" + format_bytes(-count)
    if count < _KILO:
        return f"{count} B"
    for power, prefix in enumerate(_PREFIXES[1:], start=1):
        factor = _KILO**power
        tenths, whole = ((2 * scaled + factor) // (2 * factor) for scaled in (10 * count, count))
        if tenths < _KILO:
            return f"{tenths // 10}.{tenths % 10} {prefix}B"
        if whole < _KILO:
            return f"{whole} {prefix}B"
    return f"{whole} {prefix}B"


def format_count(count: int) -> str:
    """*count* with thousands separated: `970,064`."""
    return f"{count:,}"


def format_counted(count: int, noun: str, plural: str = "") -> str:
    """*count* of what *noun* names: `1 clip`, `970,064 clips`, `2 entries`.

    *plural* is the noun's where it is not made with an s. Everything that counts in words uses this function.
    """
    return f"{format_count(count)} {noun if count == 1 else plural or noun + 's'}"


def format_share(share: float) -> str:
    """A share of 1 in percent: `12.34 %`."""
    return f"{100 * share:.2f} %"


def format_seconds(seconds: float) -> str:
    """A time in at most two units: `3.4 s`, `42 s`, `4 min 05 s`, `1 h 04 min`, `2 d 03 h`; `-` if not finite."""
    if not math.isfinite(seconds):
        return _UNKNOWN
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    return sign + (_below_an_hour(seconds) if round(seconds) < _HOUR else _from_an_hour_on(seconds))


def _below_an_hour(seconds: float) -> str:
    if 0 < round(seconds, 1) < _DECIMAL_BELOW:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _from_an_hour_on(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / _MINUTE), 60)
    if hours * _HOUR < _DAY:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(round(seconds / _HOUR), 24)
    return f"{days} d {hours:02d} h"


def format_audio(seconds: float) -> str:
    """A length of audio, in hours from one hour on: `34 min 10 s`, `12.3 h`, `1,178 h`."""
    hours = seconds / _HOUR
    if not math.isfinite(hours) or hours < 1:
        return format_seconds(seconds)
    return f"{hours:.1f} h" if hours < _HOURS_DECIMAL_BELOW else f"{hours:,.0f} h"


def format_rate(per_second: float) -> str:
    """A number of things per second, without a unit: `3.4`, `684`, `12,040`; `-` if not finite."""
    if not math.isfinite(per_second):
        return _UNKNOWN
    return f"{per_second:.1f}" if 0 < round(per_second, 1) < _DECIMAL_BELOW else f"{per_second:,.0f}"


def format_audio_rate(audio_seconds_per_second: float) -> str:
    """Seconds of audio handled per second: `118 x real time`."""
    return f"{format_rate(audio_seconds_per_second)} x real time"
