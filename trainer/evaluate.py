"""`python -m trainer.evaluate --store STORE --model A --model B`: word error rates, with their uncertainty."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Group

from shared.command.cli import parse_settings, run_command
from shared.command.next_command import next_lines
from shared.command.terminal import Screen, say
from shared.errors import ExitCode, UsageError
from shared.system.durable import json_bytes
from shared.system.home import expand_home
from trainer.evaluation.hypotheses import read_hypotheses
from trainer.evaluation.inputs import EvaluationFacts
from trainer.evaluation.next_step import export_command
from trainer.evaluation.reporting.html_report import require_writable, write_evaluation
from trainer.evaluation.reporting.screen import render_evaluation
from trainer.evaluation.results import evaluate_transcripts
from trainer.evaluation.settings import EvaluateSettings

_ABOUT = "Word error rates of models on a store's split, or of a ready table of transcripts, with 95 % intervals."
_NARROWEST = 80
"""Columns that the tables need."""
_OF_TABLES = ("--reference-column", "--hypothesis-column", "--source-column", "--duration-column")
_EXCLUDED = {
    "--hypotheses": (
        "--store",
        "--split",
        "--model",
        "--beam-size",
        "--generation-config",
        "--rows",
        "--device",
        "--silence-clips",
        "--language",
        "--watch",
    ),
    "--long": (
        "--store",
        "--split",
        "--rows",
        "--beam-size",
        "--generation-config",
        "--silence-clips",
        "--hypotheses",
        "--resamples",
    ),
    "--watch": ("--long", "--language", "--model", "--baseline", "--output", *_OF_TABLES),
    "--store": ("--language", *_OF_TABLES),
    "--model": _OF_TABLES,
}
"""Options that have no effect beside another."""


def main(argv: Sequence[str]) -> int:
    """Prints the rates, and writes them where that was asked for."""
    settings = parse_settings(EvaluateSettings, argv, prog="python -m trainer.evaluate", about=_ABOUT)
    _require_effect(argv)
    settings.prepare()
    if settings.watch is not None:
        from trainer.evaluation.watch import watch  # noqa: PLC0415 - torch, which a ready table needs not

        watch(settings, Screen())
        return int(ExitCode.DONE)
    if settings.output is not None:
        require_writable(settings.output)
    if settings.long is not None:
        return _evaluate_long(settings, settings.long)
    result = evaluate_transcripts(_facts(settings), resamples=settings.resamples)
    # A line that is longer than the terminal is broken there; a figure that is cut short is no figure.
    Screen(width=max(Screen().width, _NARROWEST)).print(render_evaluation(result), crop=False)
    if settings.output is not None:
        write_evaluation(result, settings.output)
        say(f"written: {settings.output / 'metrics.json'}, {settings.output / 'evaluation.html'}")
    if settings.hypotheses is None:
        console = Screen()
        console.print(Group(*next_lines(export_command(result, settings), console.width)), crop=False)
    return int(ExitCode.DONE)


def _evaluate_long(settings: EvaluateSettings, path: Path) -> int:
    """Prints what the models get wrong in long recordings, and writes it where that was asked for."""
    from trainer.evaluation.long_form import evaluate_long, render_long  # noqa: PLC0415 - torch, as above

    models = tuple(dict.fromkeys([*settings.model, *([settings.baseline] if settings.baseline else [])]))
    if not models:
        raise UsageError("--long names recordings, and no model hears them", "add --model EXPORT")
    say_ = Screen(stderr=True).say
    results = evaluate_long(path, models, language=settings.language, device=settings.device, say=say_)
    Screen(width=max(Screen().width, _NARROWEST)).print(render_long(results), crop=False)
    if settings.output is not None:
        file = settings.output / "long.json"
        file.write_bytes(json_bytes([asdict(found) | {"wer": found.errors.wer} for found in results]))
        say(f"written: {file}")
    return int(ExitCode.DONE)


def _require_effect(argv: Sequence[str]) -> None:
    """Raises UsageError for an option that would do nothing; a variable may be set for other commands."""
    named = {word.partition("=")[0] for word in argv}
    for option, others in _EXCLUDED.items():
        if option in named and (idle := named.intersection(others)):
            raise UsageError(f"{', '.join(sorted(idle))} has no effect beside {option}", "leave one of them out")


def _facts(settings: EvaluateSettings) -> EvaluationFacts:
    if settings.hypotheses is not None:
        return read_hypotheses(
            settings.hypotheses,
            reference_column=settings.reference_column,
            hypothesis_columns=settings.hypothesis_column,
            source_column=settings.source_column,
            duration_column=settings.duration_column,
            baseline=settings.baseline,
        )
    if not settings.store or not (settings.model or settings.baseline):
        remedy = "--store STORE --model FOLDER, or --hypotheses FILE"
        raise UsageError("nothing to evaluate was named", remedy)
    from trainer.evaluation.transcribe import transcribed  # noqa: PLC0415 - as above

    models = tuple(dict.fromkeys([*settings.model, *([settings.baseline] if settings.baseline else [])]))
    return transcribed(
        [expand_home(store) for store in settings.store],
        models,
        settings,
        Screen(stderr=True),
        baseline=settings.baseline,
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
