"""`torchrun --nproc_per_node=2 -m trainer.train --store STORE --output DIR`: fine-tunes Whisper on a finished store."""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from io import StringIO

from shared.cli import parse_settings, run_command
from shared.errors import ExitCode, StoreError, UsageError
from trainer.settings import TrainSettings

_ABOUT = "Fine-tune Whisper on a finished store; the same command goes on where it stopped."


def main(argv: Sequence[str]) -> int:
    """Trains to the end, or as far as it gets: the same command goes on from there."""
    rank = int(os.environ.get("RANK", "0"))
    try:
        with redirect_stderr(StringIO()) if rank else nullcontext():
            settings = parse_settings(TrainSettings, argv, prog="torchrun -m trainer.train", about=_ABOUT)
        settings.prepare()
        # The Hub's library looks for its folders when it is imported, which is with this.
        from trainer.training.run import open_training  # noqa: PLC0415

        with open_training(settings) as training:
            training.run()
    except (UsageError, StoreError) as error:
        if rank == 0:
            raise
        # All ranks find the same settings or store wrong: the first one says so.
        return int(error.exit_code)
    return int(ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(run_command(main))
