"""`python -m preprocess.clean STORE`: removes what dead runs left behind in a store, and nothing else."""

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from preprocess.workspace.cleanup import Removal, remove_all_partials, remove_dead_partials
from preprocess.workspace.prepare import remove_partial
from preprocess.workspace.processes import belonging, end_processes, store_mark
from preprocess.workspace.ray_folder import ray_folder, remove_links
from shared.command.cli import parse_settings, run_command
from shared.command.settings import LayeredSettings
from shared.command.terminal import complain, say
from shared.errors import ExitCode, StoreBusyError, UsageError
from shared.layout import StoreLayout, read_record
from shared.system.home import expand_home
from shared.system.locks import hold
from shared.units import format_bytes, format_counted


class CleanSettings(LayeredSettings):
    """Settings of `python -m preprocess.clean`."""

    store: Path | None = Field(None, description="folder of the store [required]")
    dry_run: bool = Field(default=False, description="only list what would be removed")


def main(argv: Sequence[str]) -> int:
    """Prints every removal and their sum; 1 when something could not be removed, or a run works on the store."""
    about = "Remove what dead runs left unfinished in a store. Shards, quarantine and index are never touched."
    settings = parse_settings(CleanSettings, argv, prog="python -m preprocess.clean", about=about, positional="store")
    if settings.store is None:
        raise UsageError("no store was named", "python -m preprocess.clean --store STORE")
    layout = StoreLayout(expand_home(settings.store).absolute())
    mark = store_mark(layout.root, read_record(layout).uuid)
    if layout.partial.is_symlink():
        raise UsageError(f"{layout.partial} is a link; nothing behind it was touched", "remove the link itself")
    removals = _list(layout, mark) if settings.dry_run else _clean(layout, mark)
    _print(layout, removals, verb="would remove" if settings.dry_run else "removed")
    return int(ExitCode.FAILED if any(removal.error for removal in removals) else ExitCode.DONE)


def _list(layout: StoreLayout, mark: str) -> list[Removal]:
    """What `_clean` would remove now; beside a live run only what is provably dead."""
    try:
        with hold(layout.root, "--store"):
            for process in belonging(mark, ray_folder(layout)):
                say(f"would end process {process.pid}")
            return remove_all_partials(layout.partial, dry_run=True)
    except StoreBusyError as busy:
        say(f"{busy.message}: only what is provably dead is listed")
        return remove_dead_partials(layout.partial, dry_run=True)


def _clean(layout: StoreLayout, mark: str) -> list[Removal]:
    with hold(layout.root, "--store"):
        ended = end_processes(mark, ray_folder(layout))
        if ended:
            say(f"ended {format_counted(ended, 'process', 'processes')} of dead runs")
        remove_links(layout)
        return remove_partial(layout)


def _print(layout: StoreLayout, removals: Sequence[Removal], verb: str) -> None:
    for removal in removals:
        name = removal.path.relative_to(layout.root)
        if removal.error:
            complain(f"could not remove {removal.kind} {name}: {removal.error}")
        else:
            say(f"{verb} {removal.kind} {name} ({format_bytes(removal.num_bytes)})")
    for remedy in sorted({removal.remedy for removal in removals if removal.error}):
        complain(f"  -> {remedy}, then repeat the command")
    total = format_bytes(sum(removal.num_bytes for removal in removals))
    say(f"{layout.root}: {verb} {total}" if removals else f"{layout.root}: nothing was left behind")


if __name__ == "__main__":
    sys.exit(run_command(main))
