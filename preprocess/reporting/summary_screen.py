"""The end of a run on one 80 x 24 screen: what was made, what it cost, what to type next."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from preprocess.features.stages import WAITING
from preprocess.reporting.run_summary import RunSummary, SplitSummary, scored, stage_shares
from shared.command.next_command import next_lines
from shared.reading.duplicates import Repeats
from shared.text import one_line
from shared.units import format_audio, format_bytes, format_count, format_counted, format_rate, format_seconds

_SPLITS_SHOWN = 3
_REASONS_SHOWN = 3
_BESIDE = 80
"""Columns from which the stages stand beside the other figures."""


def render_summary(summary: RunSummary, width: int = 80) -> RenderableType:
    """*summary* on at most 24 lines of *width* columns; below 80 columns it takes more lines.

    The next command is quoted for a shell and broken with backslashes, so that it can be copied as it stands.
    """
    facts, stages = _facts(summary), _stages(stage_shares(summary.stage_seconds, summary.actor_seconds))
    return Group(
        _heading(summary),
        _splits(summary.splits),
        _reasons(summary.quarantined),
        *_repeats(summary.repeats),
        *_warnings(summary),
        *(_beside(facts, stages) if width >= _BESIDE else (facts, stages)),
        Text(summary.limited_by, style="bold"),
        *next_lines(summary.next_command, width),
    )


def _beside(facts: Table, stages: Table) -> tuple[Table]:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=47)
    table.add_column(width=30)
    table.add_row(facts, stages)
    return (table,)


def _heading(summary: RunSummary) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold green")
    table.add_column(overflow="fold", style="bold")
    table.add_row("Done" if summary.run_rows else "Already complete", Text(one_line(summary.store)))
    return table


def _splits(splits: Sequence[SplitSummary]) -> Table:
    table = Table(box=None, padding=(0, 4, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("split", no_wrap=True)
    for name in ("rows written", "quarantined", "audio"):
        table.add_column(name, justify="right", no_wrap=True)
    for split in splits[:_SPLITS_SHOWN]:
        table.add_row(Text(one_line(split.name)), *_split_figures([split]))
    if rest := splits[_SPLITS_SHOWN:]:
        table.add_row(f"{len(rest)} more", *_split_figures(rest))
    return table


def _split_figures(splits: Sequence[SplitSummary]) -> tuple[str, str, str]:
    return (
        format_count(sum(split.rows_written for split in splits)),
        format_count(sum(split.rows_quarantined for split in splits)),
        format_audio(sum(split.audio_seconds for split in splits)),
    )


def _reasons(quarantined: Counter[str]) -> Text:
    if not quarantined.total():
        return Text("quarantined: none", style="dim")
    common = quarantined.most_common()
    words = [f"{format_count(count)} {reason}" for reason, count in common[:_REASONS_SHOWN] if count]
    if rest := sum(count for _, count in common[_REASONS_SHOWN:]):
        words.append(format_counted(rest, "other"))
    return Text("quarantined: " + ", ".join(words), style="yellow", no_wrap=True, overflow="ellipsis")


def _repeats(repeats: Sequence[Repeats]) -> list[Text]:
    """One line for rows that occur twice where that does no harm, one for leaks of what is evaluated on."""
    twice, leaks = ([found for found in repeats if found.leak is leak] for leak in (False, True))
    lines = (
        [Text(f"twice: {one_line(_first_of(twice))}", style="dim", no_wrap=True, overflow="ellipsis")] if twice else []
    )
    if leaks:
        words = f"leak: {one_line(_first_of(leaks))} (--drop-test-leaks)"
        lines.append(Text(words, style="bold yellow", no_wrap=True, overflow="ellipsis"))
    return lines


def _first_of(repeats: Sequence[Repeats]) -> str:
    largest = max(repeats, key=lambda found: found.rows)
    return largest.in_words + (f"; {len(repeats) - 1} more of the kind" if len(repeats) > 1 else "")


def _warnings(summary: RunSummary) -> list[Text]:
    """An empty line, or what is to be said of long clips, and of rows that were kept as near silence."""
    lines = [] if summary.long is None else summary.long.lines
    if summary.cancelled:
        rows = format_counted(summary.cancelled, "row")
        lines = [*lines, f"near silence: {rows}, channels of opposite phase (see the log)"]
    return [Text(line, style="yellow", no_wrap=True, overflow="ellipsis") for line in lines] or [Text()]


def _facts(summary: RunSummary) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, value in (
        ("store", f"{format_bytes(summary.store_bytes)}, {format_counted(summary.num_shards, 'shard')}"),
        ("", f"{format_bytes(round(summary.bytes_per_audio_hour))} per hour of audio"),
        *(_work(summary) if summary.run_rows else ()),
    ):
        table.add_row(name, Text(one_line(value)))
    return table


def _work(summary: RunSummary) -> list[tuple[str, str]]:
    in_use = _most(summary.peak_ram_bytes, summary.ram_limit_bytes, "in use")
    return [
        ("time", f"{format_seconds(summary.elapsed_seconds)}, {format_counted(summary.run_rows, 'row')}"),
        ("speed", _speed(summary)),
        ("peak disk", _most(summary.peak_disk_bytes, summary.disk_budget_bytes, "allowed")),
        ("peak RAM", f"{format_bytes(summary.peak_own_bytes)} own; {in_use}"),
        ("actors", _actors(summary)),
        ("governor", _governor(summary)),
        *_forecast(summary),
    ]


def _speed(summary: RunSummary) -> str:
    times = format_rate(summary.audio_seconds_per_second)
    return f"{format_rate(summary.samples_per_second)} clips/s, {times} x real time"


def _most(peak_bytes: int, limit_bytes: int, verb: str) -> str:
    of = f" of {format_bytes(limit_bytes)} {verb}" if limit_bytes else ""
    return f"{format_bytes(peak_bytes)}{of}"


def _actors(summary: RunSummary) -> str:
    sizes = summary.actor_peak_ram_bytes
    words = f"{format_count(len(sizes))}"
    if sizes:
        words += f", the largest {format_bytes(max(sizes))}"
    if summary.actor_restarts:
        words += f", {format_counted(summary.actor_restarts, 'restart')}"
    return words


def _governor(summary: RunSummary) -> str:
    """How long each level but the first lasted, the tightest first, and what was removed."""
    tight = [(level, seconds) for level, seconds in summary.level_seconds.items() if level != "normal"]
    words = [f"{level} {format_seconds(seconds)}" for level, seconds in reversed(tight)]
    if summary.removed_bytes:
        words.append(f"{format_bytes(summary.removed_bytes)} removed")
    return ", ".join(words) or "normal throughout"


def _forecast(summary: RunSummary) -> list[tuple[str, str]]:
    lines: list[str] = []
    if (forecast_bytes := summary.forecast_store_bytes) is not None:
        lines.append(f"{format_bytes(forecast_bytes)}, {scored(forecast_bytes, summary.store_bytes)}")
    if (seconds := summary.forecast_seconds) is not None:
        lines.append(f"{format_seconds(seconds)}, {scored(seconds, summary.elapsed_seconds, summary.others_share)}")
    return [("" if number else "forecast", line) for number, line in enumerate(lines)]


def _stages(shares: Mapping[str, float]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True, min_width=5)
    longest = max(shares.values(), default=0)
    if shares:
        table.add_row("", Text("actor time", style="dim"), "")
    for name, share in shares.items():
        style = "dim" if name == WAITING else "green" if share == longest else "blue"
        bar = ProgressBar(total=1, completed=share, complete_style=style, finished_style=style)
        table.add_row(Text(name, style="dim"), bar, f"{100 * share:.0f} %")
    return table
