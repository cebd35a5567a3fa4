"""`python -m preprocess.verify STORE`: every checksum, count and offset of a store."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field
from rich.progress import track

from shared.cli import parse_settings, run_command
from shared.errors import ExitCode, UsageError
from shared.layout import StoreLayout, read_record
from shared.settings import LayeredSettings
from shared.terminal import Screen, complain, say
from shared.units import format_bytes, format_count
from shared.verification import verify_store


class VerifySettings(LayeredSettings):
    """Settings of `python -m preprocess.verify`."""

    store: Path | None = Field(None, description="folder of the store [required]")
    threads: int = Field(2, ge=1, le=64, description="shards checked at once")


def main(argv: Sequence[str]) -> int:
    """Prints what is wrong with a store; 0 when nothing is, 1 otherwise."""
    about = "Check every checksum, count and offset of a store."
    settings = parse_settings(VerifySettings, argv, prog="python -m preprocess.verify", about=about, positional="store")
    if settings.store is None:
        raise UsageError("no store was named", "python -m preprocess.verify --store STORE")
    steps = sum(split.num_units + 1 for split in read_record(StoreLayout(settings.store)).splits.values()) + 1
    screen = Screen(stderr=True)
    checks = list(
        track(verify_store(settings.store, settings.threads), "verify", steps, console=screen, transient=True)
    )
    problems = [problem for check in checks for problem in check.problems]
    for problem in problems:
        complain(f"problem: {problem}")
    rows, size = sum(check.rows for check in checks), sum(check.num_bytes for check in checks)
    verdict = f"{len(problems)} problems" if problems else "everything is as it was written"
    say(f"{settings.store}: {format_count(rows)} rows, {format_bytes(size)} checked: {verdict}")
    return int(ExitCode.FAILED if problems else ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(run_command(main))
