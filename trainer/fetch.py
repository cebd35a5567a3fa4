"""`python -m trainer.fetch --store s3://… --to DIR`: copies a finished store to a local disk and checks it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from rich.console import Group
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn, track

from shared.command.cli import parse_settings, python_command, run_command
from shared.command.next_command import next_lines
from shared.command.terminal import Screen, say
from shared.errors import ExitCode, UsageError
from shared.storage.address import parse_address
from shared.storage.copy_check import check_copy, check_rest, fetch_complete, finish
from shared.storage.fetching import Fetching, copy_files, plan_fetching, require_room
from shared.storage.opening import open_files
from shared.system.home import expand_home
from shared.system.locks import hold
from shared.system.stop_request import StopRequest
from shared.units import format_bytes, format_counted, parse_bytes
from trainer.settings import TrainerSettings

_ABOUT = (
    "Copy a finished store from a bucket or a shared folder to a disk of this machine, and check every byte of it. The "
    "same command goes on with a copy that was interrupted. Endpoint and keys of a bucket come from AWS_ENDPOINT_URL, "
    "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION."
)


class FetchSettings(TrainerSettings):
    """Settings of `python -m trainer.fetch`."""

    store: str | None = Field(None, description="finished store: s3://bucket/prefix, or a shared folder [required]")
    to: Path | None = Field(None, description="folder on a local disk to copy it to [required]")
    in_flight: int = Field(8, ge=1, le=64, description="files copied at once; each takes about 16 MB of memory")
    disk_budget: int | None = Field(None, ge=0, description="bytes that the copy may take [all above the reserve]")
    disk_reserve: int = Field(1_000_000_000, ge=0, description="bytes of the disk that stay free")

    @field_validator("disk_budget", "disk_reserve", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        return parse_bytes(value) if isinstance(value, str) else value


def main(argv: Sequence[str]) -> int:
    """Copies, checks, and says what to type next."""
    settings = parse_settings(FetchSettings, argv, prog="python -m trainer.fetch", about=_ABOUT)
    if settings.store is None or settings.to is None:
        raise UsageError("--store and --to are needed", "python -m trainer.fetch --store s3://bucket/prefix --to DIR")
    to, screen = expand_home(settings.to), Screen(stderr=True)
    fetching = plan_fetching(open_files(parse_address(settings.store)), to)
    require_room(fetching, settings.disk_budget, settings.disk_reserve)
    with hold(to, "--to"), StopRequest() as stop:
        _copy(fetching, settings.in_flight, stop, screen)
        fetch_complete(fetching)
        checked = 0
        for _ in track(check_copy(to), "check", console=screen, transient=True):
            checked += 1
            stop.check()
        check_rest(fetching, settings.in_flight)
        finish(to)
    copied = f"{format_counted(len(fetching.waiting), 'file')}, {format_bytes(fetching.num_bytes)} copied"
    say(f"{to}: {copied}; {format_counted(checked, 'shard')} checked: everything is as it was written")
    command = [python_command(), "-m", "trainer.train", "--store", str(to)]
    console = Screen()
    console.print(Group(*next_lines(command, console.width)), crop=False)
    return int(ExitCode.DONE)


def _copy(fetching: Fetching, in_flight: int, stop: StopRequest, screen: Screen) -> None:
    columns = "copy", BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True) as progress:
        task = progress.add_task("copy", total=fetching.num_bytes)
        copy_files(fetching, in_flight, lambda count: progress.advance(task, count), stop.check)


if __name__ == "__main__":
    sys.exit(run_command(main))
