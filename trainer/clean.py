"""`python -m trainer.clean OUTPUT`: puts old checkpoints away, packs logs, frees a feature store that is named."""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from shared.command.cli import parse_settings, run_command
from shared.command.terminal import say
from shared.errors import ExitCode, UsageError
from shared.system.home import expand_home
from shared.system.locks import hold_unread
from shared.units import format_bytes, format_counted
from trainer.checkpoints.output_folder import hold_output, log_folder
from trainer.checkpoints.retention import (
    Tidying,
    checkpoint_tidyings,
    enact,
    log_tidyings,
    partial_tidyings,
    store_tidyings,
)
from trainer.settings import TrainerSettings

_ABOUT = (
    "Put away what a training no longer needs: never the best checkpoint, never the last, nothing that is not its own."
)


class CleanSettings(TrainerSettings):
    """Settings of `python -m trainer.clean`."""

    output: Path | None = Field(None, description="output folder of the training [required]")
    keep_latest: int = Field(1, ge=1, description="checkpoints kept besides the best")
    archive: Path | None = Field(None, description="folder that checkpoints are packed into before they are removed")
    pack_logs: bool = Field(default=False, description="pack TensorBoard's files into an archive with the date")
    free_store: Path | None = Field(None, description="feature store to remove; it has to be prepared again after that")
    dry_run: bool = Field(default=False, description="only list what would be done")


def main(argv: Sequence[str]) -> int:
    """Does it, or lists it; each line says what, how much and why."""
    settings = parse_settings(CleanSettings, argv, prog="python -m trainer.clean", about=_ABOUT, positional="output")
    if settings.output is None:
        raise UsageError("no output folder was named", "python -m trainer.clean OUTPUT")
    output = expand_home(settings.output)
    if not output.is_dir():
        raise UsageError(f"{output} is not a folder", "name the --output of a training")
    store = expand_home(settings.free_store) if settings.free_store else None
    if store is not None and not store.is_dir():
        raise UsageError(f"{store} is not a folder", "--free-store names a feature store")
    with hold_output(output), hold_unread(store, "--free-store") if store is not None else nullcontext():
        found = [
            *partial_tidyings(output),
            *checkpoint_tidyings(output, settings.keep_latest, settings.archive),
            *(
                log_tidyings(log_folder(settings, output), output, datetime.now(UTC).date())
                if settings.pack_logs
                else ()
            ),
            *(store_tidyings(store) if store else ()),
        ]
        for one in found:
            say(_words(one, dry_run=settings.dry_run))
            if not settings.dry_run:
                enact(one)
    total = format_bytes(sum(one.num_bytes for one in found))
    entries = format_counted(len(found), "entry", "entries")
    say(f"{entries}, {total}: {'nothing was changed (--dry-run)' if settings.dry_run else 'done'}")
    return int(ExitCode.DONE)


def _words(one: Tidying, *, dry_run: bool) -> str:
    verb = "would " if dry_run else ""
    deed = f"pack into {one.archive} and remove" if one.archive else "remove"
    return f"{verb}{deed} {one.folder / one.name}: {one.why}, {format_bytes(one.num_bytes)}"


if __name__ == "__main__":
    sys.exit(run_command(main))
