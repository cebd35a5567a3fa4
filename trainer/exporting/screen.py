"""What an export comes to, for a terminal: sizes and speeds, agreement with the original, and what is wrong."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.text import one_line
from shared.units import format_audio, format_bytes, format_counted, format_rate, format_share
from trainer.evaluation.reporting.formatting import UNKNOWN
from trainer.gate.judge import JUDGED_BY, ROUNDING
from trainer.gate.verdict import Checked, Comparison, GateRun
from trainer.gate.whole_calls import CLIPS


def render_exports(run: GateRun, sizes: Mapping[Path, int]) -> RenderableType:
    """All that *run* found; *sizes* are bytes by folder."""
    parts: list[RenderableType] = [_sizes(run, sizes)]
    if run.rows:
        whole = min(run.rows, CLIPS)
        audio = f"{format_counted(run.rows, 'clip')} of {run.split}, {format_audio(run.audio_seconds)}, on {run.device}"
        parts += [Text(), Text(f"against the original: {audio}", style="bold"), _transcripts(run)]
        parts += [Text(), _figures(run), *_remarks(run)]
        parts += [Text(f"{whole} of them also as sound: VAD filter, realtime lane, word timestamps", style="dim")]
    for export in run.exports:
        parts += list(_verdict(export, checked=bool(run.rows)))
    return Group(*parts)


def _sizes(run: GateRun, sizes: Mapping[Path, int]) -> Table:
    table = _table("stored as", "computed as", "size", "speed", "folder")
    table.add_row("original", "float32", UNKNOWN, _speed(run.original_speed), "")
    for export in run.exports:
        size = format_bytes(sizes[export.folder])
        table.add_row(
            export.stored, export.computed or UNKNOWN, size, _speed(export.speed), Text(one_line(str(export.folder)))
        )
    return table


def _transcripts(run: GateRun) -> Table:
    table = _table("stored as", "decoding", "equal", "as good", f"WER ({JUDGED_BY})", "original's", "points")
    for export in run.exports:
        for found in export.verdict.agreements:
            table.add_row(
                export.stored,
                str(found.decoding),
                f"{found.equal} of {found.rows}",
                str(found.toss_ups or UNKNOWN),
                format_share(found.export[JUDGED_BY].wer),
                format_share(found.original[JUDGED_BY].wer),
                f"{100 * found.difference:+.2f}",
            )
    return table


def _figures(run: GateRun) -> Table:
    """What was measured, and after the stroke what rounding explains at most, or least."""
    table = _table("stored as", "encoder error", "divergence (nats)", "same next token")
    for export in run.exports:
        found = export.verdict.figures
        if found is not None:
            limits = found.limits
            table.add_row(
                export.stored,
                f"{found.encoder_error:.1e} / {limits.encoder_error:.0e}",
                f"{found.divergence:.1e} / {limits.divergence:.0e}",
                f"{format_share(found.same_tokens)} / {100 * limits.same_tokens:.0f} %",
            )
    return table


def _remarks(run: GateRun) -> Iterator[Text]:
    for export in run.exports:
        if export.computed_otherwise:
            yield Text(f"{export.stored}: this device lacks it and computed {export.computed}", style="dim")
        allowed = export.verdict.tolerance
        yield Text(
            f"{export.stored}: {100 * allowed.equal:.0f} % of transcripts have to be equal or as good, WERs within "
            f"{100 * allowed.difference:.1f} points",
            style="dim",
        )


def _verdict(export: Checked, *, checked: bool) -> Iterator[Text]:
    """Passed or failed, why, and the rows that show it."""
    problems = export.verdict.problems
    if not problems:
        yield Text()
        yield Text(f"{export.stored}: {_said(export, checked=checked)}", style="green")
        return
    yield Text()
    yield Text(f"{export.stored}: FAILED", style="bold red")
    for problem in problems:
        yield Text(f"  {one_line(problem)}")
    for row in export.verdict.worst:
        yield from _row(row)


def _said(export: Checked, *, checked: bool) -> str:
    """What no problem means."""
    if not checked:
        return "its files are in order; its transcripts were not checked"
    if export.verdict.tolerance != ROUNDING:
        return "says what the original says, but for rounding; what that does to its transcripts is shown above"
    return "says what the original says"


def _row(row: Comparison) -> Iterator[Text]:
    yield Text(f"  row {row.row_id}: {one_line(row.reference)}", style="bold")
    for decoding, pair in row.pairs.items():
        if not pair.equal:
            yield Text(f"    original ({decoding}): {one_line(pair.original)}")
            yield Text(f"    export   ({decoding}): {one_line(pair.export)}")


def _table(*names: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in names:
        table.add_column(
            name, justify="left" if name in {"stored as", "computed as", "decoding", "folder"} else "right"
        )
    return table


def _speed(rate: float | None) -> str:
    return UNKNOWN if rate is None else f"{format_rate(rate)} s/s"
