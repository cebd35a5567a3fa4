"""`python -m preprocess.run`: source rows to a finished store. Start it again at any time and it goes on."""

import signal
import sys
from collections.abc import Sequence

from preprocess.monitoring.broadcast import broadcast
from preprocess.phases import Phase
from preprocess.settings import RunSettings, store_path
from shared.command.cli import parse_settings, run_command
from shared.command.terminal import complain


def main(argv: Sequence[str]) -> int:
    """Prepares the source's splits in the store; the exit code is one of `ExitCode`."""
    about = "Compute Whisper log-mel features and labels into one Parquet store. Restart it at any time: it goes on."
    settings = parse_settings(RunSettings, argv, prog="python -m preprocess.run", about=about)
    if settings.ray_address:
        from preprocess.execution.ray_cluster import check_nodes  # noqa: PLC0415 - as costly as in `session`

        check_nodes(settings.ray_address)
    # Before there is anything to give up, SIGTERM is what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings.prepare()
    with broadcast(settings, _title(settings)) as everyone:
        # Said before what does the work is imported, which takes the better part of a second.
        everyone.phase(Phase.DEMO if settings.demo else Phase.LISTING)
        from preprocess.execution.whole_run import run_job  # noqa: PLC0415 - as above

        run_job(settings, everyone)
    if everyone.ending.error:
        complain(everyone.ending.error, everyone.ending.remedy)
    return everyone.ending.exit_code


def _title(settings: RunSettings) -> str:
    return f"{settings.source or 'demo corpus'} -> {store_path(settings)}"


if __name__ == "__main__":
    sys.exit(run_command(main))
