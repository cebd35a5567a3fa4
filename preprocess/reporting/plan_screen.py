"""A plan on one 80-column screen: what will be written, what it needs, how long it takes, what to type."""

from collections import Counter
from collections.abc import Sequence
from functools import reduce
from operator import add

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from preprocess.planning.estimate import Estimate
from preprocess.planning.plan_facts import PlanFigures, SplitFigures
from shared.command.next_command import next_lines
from shared.schema import FeatureDtype
from shared.text import one_line
from shared.units import format_audio, format_bytes, format_count, format_counted, format_seconds

_REASONS_SHOWN = 4
_UNKNOWN = "-"


def render_plan(figures: PlanFigures, width: int = 80) -> RenderableType:
    """*figures* for a terminal of *width* columns (at least 80); the command to start stands last."""
    return Group(
        _heading(figures),
        Text(),
        _splits(figures.splits),
        *_reasons(figures.splits),
        *_long(figures.splits),
        Text(),
        _facts(figures),
        *next_lines(figures.command, width),
    )


def _heading(figures: PlanFigures) -> Table:
    table = _pairs()
    table.add_row("source", Text(one_line(figures.source), style="bold"))
    table.add_row("store", Text(one_line(figures.store), style="bold"))
    return table


def _pairs() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=7)
    table.add_column(overflow="fold")
    return table


def _splits(splits: Sequence[SplitFigures]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("split", overflow="ellipsis", no_wrap=True, max_width=14)
    for name in ("rows", "audio", "shards", "rows each", "store", "quarantine"):
        table.add_column(name, justify="right", no_wrap=True)
    for split in splits:
        table.add_row(
            Text(one_line(split.name)),
            format_count(split.rows),
            _UNKNOWN if split.audio_seconds is None else format_audio(split.audio_seconds) + _error_share(split),
            format_count(split.shards),
            format_count(split.rows_per_shard),
            format_bytes(split.store_bytes) + _error_share(split),
            _quarantine(split),
        )
    return table


def _error_share(split: SplitFigures) -> str:
    """` ± 2.1 %`, or '' where every row was looked at."""
    if not split.error_bytes or not split.store_bytes:
        return ""
    return f" ± {100 * split.error_bytes / split.store_bytes:.1f} %"


def _quarantine(split: SplitFigures) -> str:
    if split.quarantine_share is None:
        return _UNKNOWN
    return f"{100 * split.quarantine_share:.2f} %"


def _reasons(splits: Sequence[SplitFigures]) -> list[Text]:
    reasons: Counter[str] = Counter()
    for split in splits:
        reasons.update(split.quarantine_reasons)
    if not reasons:
        return []
    words = [f"{format_count(count)} {reason}" for reason, count in reasons.most_common(_REASONS_SHOWN)]
    sampled = format_counted(sum(split.sampled_rows for split in splits), "sampled row")
    text = f"quarantined among {sampled}: {', '.join(words)}"
    return [Text(text, style="yellow", no_wrap=True, overflow="ellipsis")]


def _long(splits: Sequence[SplitFigures]) -> list[Text]:
    found = [split.long for split in splits if split.long is not None]
    return [Text(line, style="yellow") for line in reduce(add, found).lines] if found else []


def _facts(figures: PlanFigures) -> Table:
    table = _pairs()
    for name, words in (
        ("bytes", _bytes(figures)),
        ("scratch", _scratch(figures.estimate)),
        ("disk", _disk(figures)),
        ("resume", _resume(figures)),
        ("time", _time(figures.estimate)),
        ("sample", _sample(figures)),
    ):
        if words:
            table.add_row(name, Text(one_line(words)) if isinstance(words, str) else words)
    return table


def _bytes(figures: PlanFigures) -> str:
    found, features = figures.estimate, figures.features
    error = f" ± {format_bytes(found.error_bytes)} (95 %)" if found.error_bytes else ""
    words = f"{format_bytes(found.store_bytes)}{error} as {features.dtype}"
    other: FeatureDtype = "uint8" if features.dtype == "float16" else "float16"
    as_other = figures.store_bytes_as(other)
    return (
        words if as_other is None else f"{words}, {format_bytes(as_other)} as {other}; {features.num_mel_bins} mel bins"
    )


def _scratch(found: Estimate) -> str:
    words = f"{format_bytes(found.scratch_bytes)} at most: open shards, Ray, the index"
    return words if found.scratch_bytes else ""


def _disk(figures: PlanFigures) -> Text:
    needed, reserve = figures.estimate.needed_bytes, figures.budgets.reserve_bytes
    free = f"{format_bytes(figures.estimate.free_bytes)} free on {one_line(figures.mount)}"
    if not needed:
        return Text(f"nothing more is needed, {free}")
    verdict, style = ("it fits", "green") if figures.fits else ("too little", "bold red")
    kept = f", of which {format_bytes(reserve)} stay free" if reserve else ""
    return Text(f"{verdict}: {format_bytes(needed)} needed with margin, {free}{kept}", style=style)


def _resume(figures: PlanFigures) -> str:
    done, shards = sum(split.shards_committed for split in figures.splits), sum(s.shards for s in figures.splits)
    if not done:
        return ""
    missing = format_bytes(figures.estimate.missing_bytes)
    left = f"{format_count(shards - done)} left, {missing}" if done < shards else "none left"
    return f"{format_count(done)} of {format_counted(shards, 'shard')} committed, {left}"


def _time(found: Estimate) -> str:
    if found.seconds is None:
        return _UNKNOWN
    if not found.missing_bytes:
        return "nothing is left to do"
    actors = format_counted(found.actors, "actor")
    busy = min(found.actors, found.cores)
    return (
        f"{format_seconds(found.seconds)} with {actors} on {busy} of "
        f"{format_counted(found.cores, 'core')}, nothing else running"
    )


def _sample(figures: PlanFigures) -> str:
    rows = sum(split.rows for split in figures.splits if split.sampled_rows)
    if not rows:
        return ""
    if figures.sampled_rows >= rows:
        return f"every row was read: {format_count(rows)}"
    return f"{format_count(figures.sampled_rows)} of {format_counted(rows, 'row')}"
