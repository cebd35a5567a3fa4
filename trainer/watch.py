"""Scoring a training's checkpoints as they come, from a process beside it (another GPU, or the CPU)."""

import fcntl
import time
from pathlib import Path

from rich.console import Console
from rich.text import Text

from shared.errors import UsageError
from trainer.checkpoint import checkpoints
from trainer.evaluate import EvaluateSettings
from trainer.evaluation_report import require_writable, write_evaluation
from trainer.evaluation_results import evaluate_transcripts
from trainer.evaluation_screen import headline, model_line
from trainer.output import LOCK
from trainer.transcribing import transcribed

POLL_SECONDS = 5.0
FOLDER = "evaluations"


def watch(settings: EvaluateSettings, console: Console) -> None:
    """Scores every checkpoint of `--watch` once, newest last; returns when the training has ended and all are scored.

    Each goes to OUTPUT/evaluations/checkpoint-…/. Raises UsageError without a store or an output folder, and where
    there was nothing to score when the training had ended.
    """
    output = settings.watch
    if settings.store is None or output is None or not output.is_dir():
        raise UsageError("--watch needs --store STORE and a training's output folder", "check both names")
    while True:
        running = is_held(output)
        found = [path for _, path in checkpoints(output)]
        waiting = [path for path in found if not _results(output, path).exists()]
        for path in waiting:
            _score(settings, output, path, console)
        if not waiting and not running:
            break
        if not waiting:
            time.sleep(POLL_SECONDS)
    if not found:
        message = f"{output} has no checkpoint, and no training writes to it"
        raise UsageError(message, "start the training first, or name its --output folder as --watch")
    _say(console, f"all checkpoints are scored, see {output / FOLDER}")


def is_held(output: Path) -> bool:
    """Whether a training writes to *output* at this moment."""
    try:
        with (output / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _results(output: Path, checkpoint: Path) -> Path:
    return output / FOLDER / checkpoint.name / "metrics.json"


def _score(settings: EvaluateSettings, output: Path, checkpoint: Path, console: Console) -> None:
    require_writable(output / FOLDER)
    try:
        facts = transcribed(
            settings.store or Path(),
            settings.split,
            (str(checkpoint),),
            baseline=None,
            beam_size=settings.beam_size,
            rows=settings.rows,
            silence_clips=settings.silence_clips,
            device=settings.device,
            console=Console(stderr=True),
        )
    except UsageError:
        # The training may have put it away meanwhile, as `--keep-latest` says.
        if checkpoint.is_dir():
            raise
        return
    result = evaluate_transcripts(facts, resamples=settings.resamples)
    write_evaluation(result, _results(output, checkpoint).parent)
    _say(console, f"{checkpoint.name}: {model_line(result.models[0])}; {headline(result)}")


def _say(console: Console, text: str) -> None:
    # A line of a log, whatever the terminal's width; and a path is no markup.
    console.print(Text(text), soft_wrap=True)
