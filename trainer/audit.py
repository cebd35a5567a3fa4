"""`python -m trainer.audit --store STORE --model MODEL --output DIR`: which rows look wrong, worst first."""

import sys
from collections.abc import Sequence

from shared.command.cli import parse_settings, run_command
from shared.errors import ExitCode
from trainer.auditing.settings import AuditSettings

_ABOUT = (
    "Rows of a store that look mislabelled, cut off, foreign or silent to a model: a ranked table, a page of the "
    "worst, and suspects.parquet for `trainer.train --exclude-rows`."
)


def main(argv: Sequence[str]) -> int:
    """Writes the tables and the page, and says what was found."""
    settings = parse_settings(AuditSettings, argv, prog="python -m trainer.audit", about=_ABOUT)
    settings.prepare()
    # The Hub's library looks for its folders when it is imported, which is with this.
    from trainer.auditing.run import audit  # noqa: PLC0415

    audit(settings)
    return int(ExitCode.DONE)


if __name__ == "__main__":
    sys.exit(run_command(main))
