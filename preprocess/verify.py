"""`python -m preprocess.verify STORE`: every checksum, count, row id and offset of a store; its source on demand."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from rich.console import Group
from rich.progress import track

from preprocess.planning.source_check import check_source
from preprocess.sources.open import access_of
from shared.command.cli import parse_settings, run_command
from shared.command.next_command import next_lines
from shared.command.settings import LayeredSettings
from shared.command.terminal import Screen, complain, say
from shared.command.training_command import training_command
from shared.errors import ExitCode, UsageError
from shared.layout import StoreLayout, read_record
from shared.membership import REPAIR
from shared.reading.verification import verify_store
from shared.units import format_bytes, format_counted


class VerifySettings(LayeredSettings):
    """Settings of `python -m preprocess.verify`."""

    store: Path | None = Field(None, description="folder of the store [required]")
    source: str | None = Field(
        None, description="also read this source, and name the shards whose rows it no longer has"
    )
    config_name: str | None = Field(None, description="the --config-name that the store was made with")
    follow_links: bool = Field(default=False, description="follow links, as when the store was made")
    audio_root: Path | None = Field(None, description="the --audio-root that the store was made with")
    threads: int = Field(2, ge=1, le=64, description="shards checked at once")


def main(argv: Sequence[str]) -> int:
    """Prints what is wrong with a store; 0 when nothing is, 1 otherwise."""
    about = "Check every checksum, count, row id and offset of a store; with --source also what it was made from."
    settings = parse_settings(VerifySettings, argv, prog="python -m preprocess.verify", about=about, positional="store")
    if settings.store is None:
        raise UsageError("no store was named", "python -m preprocess.verify --store STORE")
    steps = sum(split.num_units + 1 for split in read_record(StoreLayout(settings.store)).splits.values()) + 1
    screen = Screen(stderr=True)
    checks = list(
        track(verify_store(settings.store, settings.threads), "verify", steps, console=screen, transient=True)
    )
    if settings.source is not None:
        layout = StoreLayout(settings.store)
        record = read_record(layout)
        units = sum(split.num_units for split in record.splits.values())
        access = access_of(settings.config_name, settings.audio_root, follow_links=settings.follow_links)
        read = check_source(layout, record, settings.source, access)
        checks += track(read, "compare", units, console=screen, transient=True)
    problems = [problem for check in checks for problem in check.problems]
    for problem in problems:
        complain(f"problem: {problem}")
    if any(check.repairable for check in checks):
        complain(f"  -> {REPAIR}")
    rows, size = sum(check.rows for check in checks), sum(check.num_bytes for check in checks)
    verdict = format_counted(len(problems), "problem") if problems else "everything is as it was written"
    say(f"{settings.store}: {format_counted(rows, 'row')}, {format_bytes(size)} checked: {verdict}")
    if not problems and StoreLayout(settings.store).complete.is_file():
        console = Screen()
        console.print(Group(*next_lines(training_command(settings.store), console.width)), crop=False)
    return int(ExitCode.FAILED if problems else ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(run_command(main))
