"""Scoring a training's checkpoints as they come, from a process beside it (another GPU, or the CPU)."""

import time
from pathlib import Path

from shared.command.terminal import Screen
from shared.errors import UsageError
from shared.system.durable import json_bytes, write_durably
from shared.system.locks import is_held, remove_unheld
from trainer.checkpoints.checkpoint import checkpoints
from trainer.checkpoints.output_folder import LOCK
from trainer.evaluation.reporting.html_report import require_writable, write_evaluation
from trainer.evaluation.reporting.screen import headline, model_line
from trainer.evaluation.results import evaluate_transcripts
from trainer.evaluation.settings import EvaluateSettings
from trainer.evaluation.transcribe import transcribed

_POLL_SECONDS = 5.0
FOLDER = "evaluations"
_SETTINGS = "settings.json"
_DECIDE = ("store", "split", "rows", "beam_size", "silence_clips", "resamples", "generation_config")


def watch(settings: EvaluateSettings, console: Screen) -> None:
    """Scores every checkpoint of `--watch` once, newest last; returns when the training has ended and all are scored.

    Each goes to OUTPUT/evaluations/checkpoint-…/; one that was scored with other settings is scored again. Raises
    UsageError without a store or an output folder, and where there was nothing to score when the training had ended.
    """
    output = settings.watch
    if not settings.store or output is None or not output.is_dir():
        raise UsageError("--watch needs --store STORE and a training's output folder", "check both names")
    while True:
        running = is_held(output / LOCK)
        found = [path for _, path in checkpoints(output)]
        waiting = [path for path in found if not _is_scored(settings, output, path)]
        for path in waiting:
            _score(settings, output, path, console)
        if not waiting and not running:
            break
        if not waiting:
            time.sleep(_POLL_SECONDS)
    if not found:
        message = f"{output} has no checkpoint, and no training writes to it"
        raise UsageError(message, "start the training first, or name its --output folder as --watch")
    console.say(f"all checkpoints are scored, see {output / FOLDER}")


def _results(output: Path, checkpoint: Path) -> Path:
    return output / FOLDER / checkpoint.name / "metrics.json"


def _settings(settings: EvaluateSettings, checkpoint: Path) -> bytes:
    """What results depend on, the weights among it: a training begun anew makes others under the same name."""
    named = {name: str(getattr(settings, name)) for name in _DECIDE}
    weights = checkpoint / "model.safetensors"
    return json_bytes(named | {"weights": weights.stat().st_mtime_ns if weights.exists() else None})


def _is_scored(settings: EvaluateSettings, output: Path, checkpoint: Path) -> bool:
    results = _results(output, checkpoint)
    made_with = results.with_name(_SETTINGS)
    if not results.exists() or not made_with.exists():
        return False
    return made_with.read_bytes() == _settings(settings, checkpoint)


def _score(settings: EvaluateSettings, output: Path, checkpoint: Path, console: Screen) -> None:
    require_writable(output / FOLDER)
    made_with = _settings(settings, checkpoint)
    try:
        facts = transcribed(settings.store, [str(checkpoint)], settings, Screen(stderr=True))
    except UsageError:
        # The training may have put it away meanwhile, as `--keep-latest` says.
        if checkpoint.is_dir():
            raise
        return
    result = evaluate_transcripts(facts, resamples=settings.resamples)
    results = _results(output, checkpoint)
    write_evaluation(result, results.parent)
    partial = results.with_name(f".{_SETTINGS}.partial")
    remove_unheld(partial)
    write_durably(results.with_name(_SETTINGS), made_with, partial)
    console.say(f"{checkpoint.name}: {model_line(result.models[0])}; {headline(result)}")
