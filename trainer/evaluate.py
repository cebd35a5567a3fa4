"""`python -m trainer.evaluate --store STORE --model A --model B`: word error rates, with their uncertainty."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from rich.console import Console

from shared.cli import parse_settings, run_command
from shared.errors import ExitCode, UsageError
from trainer.evaluation_facts import EvaluationFacts
from trainer.evaluation_report import require_writable, write_evaluation
from trainer.evaluation_results import evaluate_transcripts
from trainer.evaluation_screen import render_evaluation
from trainer.hypotheses import read_hypotheses
from trainer.settings import TrainerSettings

ABOUT = "Word error rates of models on a store's split, or of a ready table of transcripts, with 95 % intervals."


NARROWEST = 80
"""Columns that the tables need."""
EXCLUDED = {
    "--hypotheses": (
        "--store",
        "--split",
        "--model",
        "--beam-size",
        "--rows",
        "--device",
        "--silence-clips",
        "--watch",
    ),
    "--watch": ("--model", "--baseline", "--output"),
}
"""Options that have no effect beside another."""


class EvaluateSettings(TrainerSettings):
    """Settings of `python -m trainer.evaluate`."""

    store: Path | None = Field(None, description="folder of the finished store")
    split: str = Field("test", description="split to transcribe")
    model: tuple[str, ...] = Field((), description="transformers or CTranslate2 folder, or Hub id; repeatable")
    baseline: str | None = Field(None, description="model that the others are compared with; it need not be a --model")
    beam_size: int = Field(1, ge=1, le=16, description="beams; 1 is greedy")
    rows: int | None = Field(None, ge=1, description="a fixed subset of so many clips [all]")
    device: str = Field("auto", description="cpu, cuda, cuda:1; auto: the GPU with most room, else the CPU")
    silence_clips: int = Field(4, ge=0, description="clips of silence on which words are counted")
    hypotheses: Path | None = Field(None, description="table of transcripts (CSV, TSV, JSON lines, Parquet) to score")
    reference_column: str = Field("reference", description="column of --hypotheses with what was said")
    hypothesis_column: tuple[str, ...] = Field(("hypothesis",), description="column with a model's text; repeatable")
    source_column: str | None = Field(None, description="column with the clip's origin")
    duration_column: str | None = Field(None, description="column with the clip's seconds")
    watch: Path | None = Field(None, description="output folder of a training: score its checkpoints as they come")
    output: Path | None = Field(None, description="folder for metrics.json and evaluation.html [none written]")
    resamples: int = Field(10_000, ge=100, description="bootstrap resamples")

    @field_validator("model", "hypothesis_column", mode="before")
    @classmethod
    def _parse_names(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def main(argv: Sequence[str]) -> int:
    """Prints the rates, and writes them where that was asked for."""
    settings = parse_settings(EvaluateSettings, argv, prog="python -m trainer.evaluate", about=ABOUT)
    _require_effect(argv)
    settings.prepare()
    if settings.watch is not None:
        from trainer.watch import watch  # noqa: PLC0415 - torch, which a ready table needs not

        watch(settings, Console())
        return int(ExitCode.DONE)
    if settings.output is not None:
        require_writable(settings.output)
    result = evaluate_transcripts(_facts(settings), resamples=settings.resamples)
    # A line that is longer than the terminal is broken there; a figure that is cut short is no figure.
    Console(width=max(Console().width, NARROWEST)).print(render_evaluation(result))
    if settings.output is not None:
        write_evaluation(result, settings.output)
        print(f"written: {settings.output / 'metrics.json'}, {settings.output / 'evaluation.html'}")
    return int(ExitCode.DONE)


def _require_effect(argv: Sequence[str]) -> None:
    """Raises UsageError for an option that would do nothing; a variable may be set for other commands."""
    named = {word.partition("=")[0] for word in argv}
    for option, others in EXCLUDED.items():
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
    if settings.store is None or not (settings.model or settings.baseline):
        remedy = "--store STORE --model FOLDER, or --hypotheses FILE"
        raise UsageError("nothing to evaluate was named", remedy)
    from trainer.transcribing import transcribed  # noqa: PLC0415 - as above

    models = tuple(dict.fromkeys([*settings.model, *([settings.baseline] if settings.baseline else [])]))
    return transcribed(
        settings.store,
        settings.split,
        models,
        baseline=settings.baseline,
        beam_size=settings.beam_size,
        rows=settings.rows,
        silence_clips=settings.silence_clips,
        device=settings.device,
        console=Console(stderr=True),
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
