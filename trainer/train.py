"""`python -m trainer.train --nproc-per-node 2 --store STORE --output DIR`: fine-tunes Whisper on a finished store."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from io import StringIO

from shared.command.cli import parse_settings, run_command
from shared.errors import (
    ExitCode,
    InterruptedRunError,
    RankLostError,
    RanksMissingError,
    SpeechPrepError,
    StoreError,
    UnreadableError,
    UsageError,
)
from trainer.distributed.launcher import launch, ranks_to_start
from trainer.distributed.place import Place, end_with_launcher, read_place, require_one_task
from trainer.settings import TrainSettings

_ABOUT = "Fine-tune Whisper on a finished store; the same command goes on where it stopped."


def main(argv: Sequence[str]) -> int:
    """Trains to the end, or as far as it gets: the same command goes on from there."""
    place = read_place(os.environ)
    end_with_launcher(place)
    try:
        settings = _settings(argv, place)
        if count := ranks_to_start(settings.nproc_per_node, place):
            return launch("trainer.train", argv, count)
        # The Hub's library looks for its folders when it is imported, which is with this.
        from trainer.training.run import open_training  # noqa: PLC0415

        with open_training(settings) as training:
            training.run()
    except (UsageError, StoreError, InterruptedRunError, RankLostError) as error:
        if _is_said_here(error, place):
            raise
        return int(error.exit_code)
    return int(ExitCode.DONE)


def _settings(argv: Sequence[str], place: Place) -> TrainSettings:
    with redirect_stderr(StringIO()) if place.local_rank else nullcontext():
        settings = parse_settings(TrainSettings, argv, prog="python -m trainer.train", about=_ABOUT)
    require_one_task(os.environ, launches=(settings.nproc_per_node or 1) > 1)
    if place.warning and place.rank == 0:
        print(f"warning: {place.warning}", file=sys.stderr, flush=True)
    settings.prepare()
    return settings


def _is_said_here(error: SpeechPrepError, place: Place) -> bool:
    """What all ranks of a machine find or are asked is said by its first; what a process lacks, by that one.

    Another machine may have another store, or none. The launcher sees by itself that a rank is gone.
    """
    if isinstance(error, RanksMissingError | UnreadableError):
        return True
    return place.launcher is None if isinstance(error, RankLostError) else place.local_rank == 0


if __name__ == "__main__":
    sys.exit(run_command(main))
