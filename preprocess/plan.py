"""`python -m preprocess.plan`: what a run will write, need and take, before it writes anything."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import Field
from rich.text import Text

from preprocess.governor.budgets import Budgets
from preprocess.planning.estimate import Estimate, budgets_of, check_room, estimate
from preprocess.planning.job import plan_job, resample
from preprocess.planning.plan_facts import PlanFigures, plan_figures
from preprocess.reporting.plan_screen import render_plan
from preprocess.settings import RunSettings
from shared.command.cli import parse_settings, python_command, run_command
from shared.command.terminal import Screen, json_line, say
from shared.errors import ExitCode, ResourceLimitError
from shared.text import one_line

_SHORTEST_LINE = 80


class PlanSettings(RunSettings):
    """Settings of `python -m preprocess.plan`: those of the run that it plans."""

    json_: bool = Field(default=False, description="print one JSON object")


def main(argv: Sequence[str]) -> int:
    """Prints the plan; raises ResourceLimitError, after the figures, when the store cannot fit."""
    about = "Forecast a run: rows, hours, bytes, time, and whether it fits. Takes the options of preprocess.run."
    settings = parse_settings(PlanSettings, argv, prog="python -m preprocess.plan", about=about)
    settings.prepare()
    job = resample(plan_job(settings), settings)
    found, budgets = estimate(job, settings), budgets_of(settings, job.layout.root, settings.ram_budget)
    refusal = _refusal(found, budgets, job.layout.root)
    notes = list(job.source.notes)
    figures = plan_figures(job, found, budgets, _run_command(argv), fits=refusal is None)
    if settings.json_ or settings.view == "json":
        say(json_line(_plan_json(figures) | {"notes": notes}))
    else:
        console = Screen()
        console.print(render_plan(figures, max(console.width, _SHORTEST_LINE)), crop=False)
        for note in notes:
            console.print(Text.assemble(("note: ", "yellow"), one_line(note)))
    if refusal is not None and not settings.force:
        raise refusal
    return int(ExitCode.DONE)


def _refusal(found: Estimate, budgets: Budgets, root: Path) -> ResourceLimitError | None:
    try:
        check_room(found, budgets, root)
    except ResourceLimitError as error:
        return error
    return None


def _plan_json(figures: PlanFigures) -> dict[str, Any]:
    """*figures* for JSON on one level, with their derived values."""
    values = asdict(figures)
    for nested in ("estimate", "features", "budgets"):
        values |= values.pop(nested)
    return values | {
        "feature_dtype": values.pop("dtype"),
        "needed_bytes": figures.estimate.needed_bytes,
        "budget_bytes": values.pop("disk_bytes"),
        "store_bytes_float16": figures.store_bytes_as("float16"),
        "store_bytes_uint8": figures.store_bytes_as("uint8"),
        "sampled_rows": figures.sampled_rows,
        "audio_seconds": figures.audio_seconds,
    }


def _run_command(argv: Sequence[str]) -> list[str]:
    """The command that does what was planned, with the options that were given for the plan."""
    return [python_command(), "-m", "preprocess.run", *(word for word in argv if word not in {"--json", "--no-json"})]


if __name__ == "__main__":
    sys.exit(run_command(main))
