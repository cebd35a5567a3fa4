"""Scoring a training's checkpoints as they come, from a process beside it (another GPU, or the CPU)."""

import fcntl
import time
from pathlib import Path

from rich.console import Console

from shared.errors import UsageError
from trainer.checkpoint import checkpoints
from trainer.evaluate import EvaluateSettings
from trainer.evaluation_report import write_evaluation
from trainer.evaluation_results import evaluate_transcripts
from trainer.evaluation_screen import headline
from trainer.output import LOCK
from trainer.transcribing import transcribed

POLL_SECONDS = 5.0
FOLDER = "evaluations"


def watch(settings: EvaluateSettings, console: Console) -> None:
    """Scores every checkpoint of `--watch` once, newest last; returns when the training has ended and all are scored.

    Each goes to OUTPUT/evaluations/checkpoint-…/. Raises UsageError without a store or an output folder.
    """
    output = settings.watch
    if settings.store is None or output is None or not output.is_dir():
        raise UsageError("--watch needs --store STORE and a training's output folder", "check both names")
    while True:
        running = is_held(output)
        waiting = [path for _, path in checkpoints(output) if not _results(output, path).exists()]
        for path in waiting:
            _score(settings, output, path, console)
        if not waiting and not running:
            return
        if not waiting:
            time.sleep(POLL_SECONDS)


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
    console.print(f"{checkpoint.name}: {headline(result)}")
