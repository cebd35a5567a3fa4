"""What `inspect` found, in words for a terminal of 80 columns."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from preprocess.features.long_clips import LongClips
from preprocess.inspection.sample_facts import SampleFacts
from preprocess.inspection.source import ClipFacts, SourceFacts
from preprocess.inspection.store import StoreFacts, StoreRowFacts, StoreSplitFacts
from shared.text import one_line
from shared.units import format_audio, format_bytes, format_count, format_counted, format_seconds

_ROWS_SHOWN = 3
_REJECTED_SHOWN = 3
_ENCODINGS_SHOWN = 3
_SOURCES_SHOWN = 3
_ODD_SHOWN = 3
_WORST_SHOWN = 4
_COLUMNS_SHOWN = 20
_BAR_CHARACTERS = 40
_LABELS_SHOWN = 8
_REPEATS_SHOWN = 5


def render_source(facts: SourceFacts) -> RenderableType:
    """A data set: what it is, what is wrong with it, its columns, a sample, and one row."""
    parts: list[RenderableType] = [_pairs([("data set", facts.uri), ("kind", facts.kind)])]
    parts += [_problem(problem.message, problem.remedy) for problem in facts.problems]
    if facts.splits:
        parts += [Text(), _source_splits(facts)]
    parts += [Text.assemble(("\nnote: ", "yellow"), one_line(note)) for note in facts.notes]
    if facts.columns:
        parts += [Text(), _columns(facts)]
    if facts.sampled:
        parts += [Text(), *_sampled(facts.split, facts.sampled), *_long(facts.long)]
        parts += [] if facts.sample is None else _sample(facts.sample)
        parts += [Text(), _first_rows(facts.sampled)]
    if facts.row is not None:
        parts += [Text(), Text(f"row {facts.row.row_id} of {one_line(facts.split)}", style="bold"), _clip(facts.row)]
    return Group(*parts)


def render_store(facts: StoreFacts) -> RenderableType:
    """A store: its record, how far it is, lengths, quarantined rows, and one row."""
    spec = facts.features
    made = f"{spec['num_mel_bins']} mel bins, {spec['dtype']}, labels in {facts.language!r}"
    pairs = [
        ("store", facts.store),
        ("source", facts.source),
        ("features", made),
        ("record", f"format {facts.format_version}, tokenizer {facts.tokenizer}, uuid {facts.uuid[:8]}"),
    ]
    parts: list[RenderableType] = [_pairs(pairs), Text(), _store_splits(facts.splits)]
    if facts.histogram:
        parts += [Text(), Text(f"lengths in {one_line(facts.split)}", style="bold"), _histogram(facts)]
    parts += [Text(), *_quarantine(facts), *_long(facts.long), *_repeats(facts)]
    if facts.row is not None:
        parts += [Text(), Text(f"row {facts.row.row_id} of {one_line(facts.split)}", style="bold"), _row(facts.row)]
    return Group(*parts)


def _pairs(pairs: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=8)
    table.add_column(overflow="fold")
    for name, words in pairs:
        if words:
            table.add_row(name, Text(one_line(words)))
    return table


def _problem(message: str, remedy: str) -> Text:
    return Text.assemble(("\nnot usable: ", "bold red"), one_line(message), ("\n  -> ", "bold"), one_line(remedy))


def _figures(first: str, *names: str) -> Table:
    """A table of a column of words and some of figures."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _source_splits(facts: SourceFacts) -> Table:
    table = _figures("split", "rows", "files", "encoded audio", "a row")
    for split in facts.splits:
        sizes = (format_bytes(size) for size in (split.audio_bytes, split.audio_bytes // max(1, split.rows)))
        table.add_row(Text(one_line(split.name)), format_count(split.rows), format_count(split.files), *sizes)
    return table


def _columns(facts: SourceFacts) -> Table:
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("column", overflow="fold", max_width=24)
    table.add_column("type", overflow="fold", max_width=36)
    table.add_column("read as")
    for column in facts.columns[:_COLUMNS_SHOWN]:
        style = "dim" if not column.role else "red" if "wrong" in column.role else "green"
        role = Text(one_line(column.role) or "not read", style=style)
        table.add_row(Text(one_line(column.name)), Text(one_line(column.type)), role)
    if (rest := len(facts.columns) - _COLUMNS_SHOWN) > 0:
        table.add_row(f"and {rest} more", "", "")
    return table


def _sampled(split: str, clips: Sequence[ClipFacts]) -> list[Text]:
    lengths = sorted(clip.seconds for clip in clips if clip.seconds is not None)
    head = f"{format_counted(len(clips), 'row')} from all over {one_line(split)}"
    if lengths:
        median = lengths[len(lengths) // 2]
        head += f": {lengths[0]:.1f} to {lengths[-1]:.1f} s, half of them under {median:.1f} s"
    lines = [Text(head, style="bold")]
    encodings = Counter(clip.encoding for clip in clips).most_common()
    lines += [Text(f"{count:>5} x {one_line(name)}") for name, count in encodings[:_ENCODINGS_SHOWN]]
    if rest := sum(count for _, count in encodings[_ENCODINGS_SHOWN:]):
        lines.append(Text(f"{rest:>5} x others"))
    rejected = [clip for clip in clips if clip.rejected]
    named = rejected[:_REJECTED_SHOWN]
    lines += [_line(f"would be quarantined: row {clip.row_id}, {clip.rejected}", "yellow") for clip in named]
    if rest := len(rejected) - len(named):
        lines.append(_line(f"and {rest} more of them", "yellow"))
    return lines


def _long(long: LongClips | None) -> list[Text]:
    return [] if long is None else [_line(line, "yellow") for line in long.lines]


def _sample(sample: SampleFacts) -> list[RenderableType]:
    """Spreads, sources, odd characters, and the worst rows by name."""
    table = _figures("", "lowest", "median", "highest", "lowest is row", "highest is row")
    for spread in sample.spreads:
        values = (f"{value:.1f}" for value in (spread.lowest, spread.median, spread.highest))
        table.add_row(Text(spread.name, style="dim"), *values, str(spread.lowest_row), str(spread.highest_row))
    rates = ", ".join(f"{rate / 1_000:g} kHz ({rows})" for rate, rows in sample.rates[:_SOURCES_SHOWN])
    lines = [_line(f"rates: {rates}; sources: {_first(sample.sources, _SOURCES_SHOWN)}")]
    if sample.odd:
        odd = [(f"{one.name}, row {one.first_row}", one.rows) for one in sample.odd]
        lines.append(_line(f"odd characters: {_first(odd, _ODD_SHOWN)}", "yellow"))
    lines += [_line(f"look at row {row.row_id}: {row.why}", "yellow") for row in sample.worst[:_WORST_SHOWN]]
    if rest := sample.worst[_WORST_SHOWN:]:
        lines.append(_line(f"and at {len(rest)} more; --json names them all", "yellow"))
    if sample.pace_of == "letters":
        lines.append(_line("--model NAME counts labels in place of letters", "dim"))
    return [table, *lines]


def _first(counted: Sequence[tuple[str, int]], most: int) -> str:
    more = f", {len(counted) - most} more" if len(counted) > most else ""
    return ", ".join(f"{name or '(none)'} ({rows})" for name, rows in counted[:most]) + more


def _line(text: str, style: str = "") -> Text:
    return Text(one_line(text), style=style, no_wrap=True, overflow="ellipsis")


def _first_rows(clips: Sequence[ClipFacts]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    table.add_column("row", justify="right", no_wrap=True)
    table.add_column("length", justify="right", no_wrap=True)
    table.add_column("path", no_wrap=True, overflow="ellipsis", max_width=18)
    table.add_column("source", no_wrap=True, overflow="ellipsis", max_width=12)
    table.add_column("transcript", no_wrap=True, overflow="ellipsis", ratio=1)
    for clip in clips[:_ROWS_SHOWN]:
        length = "-" if clip.seconds is None else f"{clip.seconds:.1f} s"
        table.add_row(str(clip.row_id), length, _line(clip.path), _line(clip.source), _line(clip.transkription))
    return table


def _clip(clip: ClipFacts) -> Table:
    length = "" if clip.seconds is None else f", {clip.seconds:.2f} s = {format_counted(clip.num_frames or 0, 'frame')}"
    return _pairs(
        [
            ("path", clip.path),
            ("source", clip.source),
            ("audio", f"{clip.encoding}, {format_bytes(clip.encoded_bytes)}{length}"),
            ("text", clip.transkription or "(empty)"),
            ("run", f"would quarantine it, {clip.rejected}" if clip.rejected else "can use it"),
        ]
    )


def _store_splits(splits: Sequence[StoreSplitFacts]) -> Table:
    table = _figures("split", "rows", "quarantined", "audio", "bytes", "shards")
    table.add_column("state")
    for split in splits:
        far = f"{100 * split.committed / max(1, split.shards):.0f} % done"
        table.add_row(
            Text(one_line(split.name)),
            format_count(split.rows),
            format_count(split.quarantined),
            "-" if split.audio_seconds is None else format_audio(split.audio_seconds),
            format_bytes(split.num_bytes),
            f"{format_count(split.committed)} of {format_count(split.shards)}",
            Text("complete", style="green") if split.complete else Text(far, style="yellow"),
        )
    return table


def _histogram(facts: StoreFacts) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    most = max(count for _, _, count in facts.histogram)
    for low, high, count in facts.histogram:
        bar = "█" * -(-_BAR_CHARACTERS * count // max(1, most))
        table.add_row(f"{low:g} to {high:g} s", Text(bar, style="blue"), format_count(count))
    return table


def _quarantine(facts: StoreFacts) -> list[Text]:
    if not facts.quarantine:
        return [Text("quarantined: none", style="dim")]
    lines = []
    for reason in facts.quarantine:
        lines.append(Text(f"quarantined: {format_count(reason.rows)} {one_line(reason.reason)}", style="yellow"))
        lines += [_line(f"  row {row_id} ({path}): {message}") for row_id, path, message in reason.examples]
    return lines


def _repeats(facts: StoreFacts) -> list[Text]:
    """Leaks first, with all examples that are known."""
    lines = []
    for found in sorted(facts.repeats, key=lambda found: (not found.leak, -found.rows))[:_REPEATS_SHOWN]:
        more = "".join(f", {example}" for example in found.examples_in_words[1:])
        words = f"leak: {found.in_words}{more}; --drop-test-leaks" if found.leak else f"twice: {found.in_words}{more}"
        lines.append(_line(words, "bold yellow" if found.leak else "dim"))
    if rest := facts.repeats[_REPEATS_SHOWN:]:
        lines.append(_line(f"{len(rest)} more of the kind", "dim"))
    return lines or [Text("twice: no row equals another", style="dim")]


def _row(row: StoreRowFacts) -> Table:
    if row.quarantined:
        return _pairs([("path", row.path), ("state", f"quarantined, {row.quarantined}")])
    return _pairs(
        [
            ("path", row.path),
            ("source", row.source),
            (
                "audio",
                f"{format_seconds(row.duration)} = {format_counted(row.num_frames, 'frame')}, floor {row.floor:.4f}",
            ),
            ("text", row.transkription),
            ("labels", _labels(row.labels)),
            ("shard", row.shard),
        ]
    )


def _labels(labels: Sequence[int]) -> str:
    first = " ".join(map(str, labels[:_LABELS_SHOWN]))
    return f"{format_counted(len(labels), 'token')}: {first}{' …' if len(labels) > _LABELS_SHOWN else ''}"
