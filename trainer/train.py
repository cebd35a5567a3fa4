"""`torchrun --nproc_per_node=2 -m trainer.train --store STORE --output DIR`: fine-tunes Whisper on a finished store."""

import sys
from collections.abc import Sequence

from shared.cli import parse_settings, run_command
from shared.errors import ExitCode
from trainer.settings import TrainSettings

ABOUT = "Fine-tune Whisper on a finished store; the same command goes on where it stopped."


def main(argv: Sequence[str]) -> int:
    """Trains to the end, or as far as it gets: the same command goes on from there."""
    settings = parse_settings(TrainSettings, argv, prog="torchrun -m trainer.train", about=ABOUT)
    settings.prepare()
    # The Hub's library looks for its folders when it is imported, which is with this.
    from trainer.session import run_training  # noqa: PLC0415

    run_training(settings)
    return int(ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(run_command(main))
