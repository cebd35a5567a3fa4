"""`python -m trainer.check`: tries this machine's GPUs as a training will use them, in about three minutes.

Two ranks train a model of the real size with random weights on made-up clips; nothing is downloaded or left behind but
the report. Without a GPU all of it runs on CPUs but CUDA. Exit status: 0 where nothing is to be fixed, else 1.
"""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from pydantic import Field, field_validator

from shared.command.cli import parse_settings, run_command
from shared.command.terminal import say
from shared.errors import ExitCode, InterruptedRunError, UsageError
from shared.system.durable import json_bytes
from shared.system.home import expand_home
from trainer.checking.bench import Bench
from trainer.checking.checks import examine
from trainer.checking.probes.nvidia import look_around
from trainer.checking.report import gather
from trainer.checking.screen import ending, telling
from trainer.checking.verdict import State
from trainer.checking.world import Wishes, World
from trainer.settings import TrainerSettings, parse_memory

_ABOUT = "Try this machine's GPUs as a training will use them: one screen of lines, each ok or what to do."
_ENDING = (signal.SIGTERM, signal.SIGHUP)
Size = Literal["demo", "tiny", "base", "small", "medium", "large-v3", "large-v3-turbo"]


class CheckSettings(TrainerSettings):
    """Settings of `python -m trainer.check`."""

    size: Size | None = Field(
        None, description="size of the model, with random weights [large-v3-turbo or what fits the GPU; CPU: demo]"
    )
    nproc_per_node: int | None = Field(None, ge=1, le=64, description="ranks [one for each GPU; CPU: 2]")
    vram_budget: int | None = Field(None, ge=1, description="bytes of each GPU to use, such as 16GB [all it has]")
    work_dir: Path | None = Field(None, description="folder for some GB of files, removed at the end [BASE_DIR]")
    report: Path = Field(Path("trainer-check.json"), description="file for all figures, without paths or tokens")

    @field_validator("vram_budget", mode="before")
    @classmethod
    def _parse_size(cls, value: Any) -> Any:
        return parse_memory(value)


def main(argv: Sequence[str]) -> int:
    """Goes through all checks, and says what is to be fixed."""
    settings = parse_settings(CheckSettings, argv, prog="python -m trainer.check", about=_ABOUT)
    work = expand_home(settings.work_dir) if settings.work_dir else settings.base
    report = expand_home(settings.report)
    _require_writable(work, report)
    wishes = Wishes(settings.size, settings.nproc_per_node, settings.vram_budget)
    started = monotonic()
    say("Trying what a training needs, in some minutes; Ctrl-C leaves nothing behind.")
    with _stoppable(), tempfile.TemporaryDirectory(prefix="trainer-check-", dir=work) as name:
        folder = Path(name)
        world = _examined(World(look_around(work), wishes), folder)
    # Now that what was tried lies on the disk no more: it may have filled it.
    seconds = monotonic() - started
    report.write_bytes(json_bytes(gather(world, folder, seconds)))
    for line in ending(world.verdicts.values(), str(settings.report), seconds):
        say(line)
    return int(ExitCode.FAILED if _wrong(world) else ExitCode.DONE)


def _require_writable(work: Path, report: Path) -> None:
    """Raises UsageError where the check could not write its files, or in the end its report."""
    for folder in (work, report.absolute().parent):
        if not os.access(folder, os.W_OK | os.X_OK) or not folder.is_dir():
            raise UsageError(f"{folder} is not a folder that can be written to", "name one: --work-dir, --report")
    if report.is_dir() or (report.exists() and not os.access(report, os.W_OK)):
        raise UsageError(f"{report} is no file that can be written to", "name another --report")


@contextmanager
def _stoppable() -> Iterator[None]:
    """What asks this process to end lets it tidy up; raises InterruptedRunError for it."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in _ENDING}
    try:
        yield
    except KeyboardInterrupt as error:
        raise InterruptedRunError("stopped, and nothing is left behind") from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _examined(world: World, folder: Path) -> World:
    with closing(Bench(folder, world.wishes.vram_budget)) as bench, telling() as told:
        for world in examine(world, bench, lambda check: told.begin(check.name)):  # noqa: B020,PLR1704 - as it grows
            told.add(*list(world.verdicts.items())[-1])
    return world


def _wrong(world: World) -> bool:
    return any(verdict.state is State.FIX for verdict in world.verdicts.values())


if __name__ == "__main__":
    sys.exit(run_command(main))
