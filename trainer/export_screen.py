"""What an export comes to, for a terminal: sizes and speeds, agreement with the original, and what is wrong."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.text import normalise_transcript
from shared.units import format_audio, format_bytes, format_count, format_rate
from trainer.evaluation_words import UNKNOWN, format_points, format_share
from trainer.gate import JUDGED_BY
from trainer.gate_facts import Comparison
from trainer.gate_run import Checked, GateRun


def render_exports(run: GateRun, sizes: Mapping[Path, int]) -> RenderableType:
    """All that *run* found; *sizes* are bytes by folder."""
    parts: list[RenderableType] = [_sizes(run, sizes)]
    if run.rows:
        audio = f"{format_count(run.rows)} clips of {run.split}, {format_audio(run.audio_seconds)}, on {run.device}"
        parts += [Text(), Text(f"against the original: {audio}", style="bold"), _transcripts(run)]
        parts += [Text(), _figures(run), *_remarks(run)]
    for export in run.exports:
        parts += list(_verdict(export, checked=bool(run.rows)))
    return Group(*parts)


def _sizes(run: GateRun, sizes: Mapping[Path, int]) -> Table:
    table = _table("stored as", "computed as", "size", "speed", "folder")
    table.add_row("original", "float32", UNKNOWN, _speed(run.original_speed), "")
    for export in run.exports:
        size = format_bytes(sizes[export.folder])
        table.add_row(
            export.stored, export.computed or UNKNOWN, size, _speed(export.speed), Text(_plain(str(export.folder)))
        )
    return table


def _transcripts(run: GateRun) -> Table:
    table = _table(
        "stored as", "decoding", "equal", "as good", "normaliser", "WER original", "WER export", "difference"
    )
    for export in run.exports:
        for found in export.verdict.agreements:
            rates = (format_share(errors[JUDGED_BY].wer) for errors in (found.original, found.export))
            equal = f"{found.equal} of {found.rows}"
            table.add_row(
                export.stored,
                str(found.decoding),
                equal,
                str(found.toss_ups or UNKNOWN),
                str(JUDGED_BY),
                *rates,
                format_points(found.difference),
            )
    return table


def _figures(run: GateRun) -> Table:
    table = _table("stored as", "encoder error", "allowed", "divergence", "allowed", "same next token", "at least")
    for export in run.exports:
        found = export.verdict.figures
        if found is not None:
            limits = found.limits
            table.add_row(
                export.stored,
                f"{found.encoder_error:.2g}",
                f"{limits.encoder_error:.2g}",
                f"{found.divergence:.2g}",
                f"{limits.divergence:.2g}",
                format_share(found.same_tokens),
                format_share(limits.same_tokens),
            )
    return table


def _remarks(run: GateRun) -> Iterator[Text]:
    for export in run.exports:
        if export.computed and export.computed != export.stored:
            yield Text(f"{export.stored}: this device lacks it and computed {export.computed}", style="dim")
        if not export.verdict.transcripts_judged:
            yield Text(f"{export.stored}: its transcripts are measured, not judged", style="dim")


def _verdict(export: Checked, *, checked: bool) -> Iterator[Text]:
    """Passed or failed, why, and the rows that show it."""
    problems = export.verdict.problems
    if not problems:
        yield Text()
        said = "as the original" if checked else "its files are in order; its transcripts were not checked"
        yield Text(f"{export.stored}: {said}", style="green")
        return
    yield Text()
    yield Text(f"{export.stored}: FAILED", style="bold red")
    for problem in problems:
        yield Text(f"  {_plain(problem)}")
    for row in export.verdict.worst:
        yield from _row(row)


def _row(row: Comparison) -> Iterator[Text]:
    yield Text(f"  row {row.row_id}: {_plain(row.reference)}", style="bold")
    for decoding, pair in row.pairs.items():
        if not pair.equal:
            yield Text(f"    original ({decoding}): {_plain(pair.original)}")
            yield Text(f"    export   ({decoding}): {_plain(pair.export)}")


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(
            name, justify="left" if name in {"stored as", "computed as", "decoding", "folder"} else "right"
        )
    return table


def _speed(rate: float | None) -> str:
    return UNKNOWN if rate is None else f"{format_rate(rate)} s/s"


def _plain(text: str) -> str:
    """*text* on one line, harmless to a terminal."""
    return normalise_transcript(text)
