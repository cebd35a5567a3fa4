"""`python -m trainer.export --checkpoint OUTPUT/best --output DIR`: a model for faster-whisper and RealtimeSTT.

What it makes is checked against the original before it is called done; see `gate`.
"""

import sys
from collections.abc import Sequence

from shared.command.cli import parse_settings, run_command
from shared.errors import ExitCode
from trainer.exporting.settings import ExportSettings, spread_quantizations

_ABOUT = "Export a checkpoint for faster-whisper and RealtimeSTT, and check that it says what the original says."


def main(argv: Sequence[str]) -> int:
    """Converts, checks and describes; 1 where an export does not say what the original says."""
    settings = parse_settings(ExportSettings, spread_quantizations(argv), prog="python -m trainer.export", about=_ABOUT)
    settings.prepare()
    # The Hub's library looks for its folders when it is imported, which is with this.
    from trainer.exporting.run import run_export  # noqa: PLC0415

    return int(ExitCode.DONE if run_export(settings) else ExitCode.FAILED)


if __name__ == "__main__":
    sys.exit(run_command(main))
