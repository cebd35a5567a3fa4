"""`python -m trainer.fetch --store s3://… --to DIR`: copies a finished store to a local disk and checks it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from rich.console import Group

from shared.command.cli import parse_settings, run_command
from shared.command.next_command import next_lines
from shared.command.pace import told
from shared.command.terminal import Screen, say
from shared.command.training_command import training_command
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
    to = expand_home(settings.to)
    fetching = plan_fetching(open_files(parse_address(settings.store)), to)
    require_room(fetching, settings.disk_budget, settings.disk_reserve)
    with hold(to, "--to"), StopRequest() as stop:
        _fetch(fetching, settings.in_flight, stop)
    copied = f"{format_counted(len(fetching.waiting), 'file')}, {format_bytes(fetching.num_bytes)} copied"
    checked = format_counted(fetching.num_shards, "shard")
    say(f"{to}: {copied}; {checked} checked: everything is as it was written")
    console = Screen()
    console.print(Group(*next_lines(training_command(to), console.width)), crop=False)
    return int(ExitCode.DONE)


def _fetch(fetching: Fetching, in_flight: int, stop: StopRequest) -> None:
    """Copies, checks and finishes, and tells how far it is."""
    screen = Screen(stderr=True)
    with told(screen, "copy", fetching.num_bytes, format_bytes) as moved:
        copy_files(fetching, in_flight, moved, stop.check)
    fetch_complete(fetching)
    with told(screen, "check", fetching.num_shards, lambda count: format_counted(count, "shard")) as advance:
        for _ in check_copy(fetching.to):
            advance(1)
            stop.check()
    check_rest(fetching, in_flight)
    finish(fetching.to)


if __name__ == "__main__":
    sys.exit(run_command(main))
