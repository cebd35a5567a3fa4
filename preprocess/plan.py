"""`python -m preprocess.plan`: what a run will write, need and take, before it writes anything."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field
from rich.console import Console

from preprocess.estimate import budgets_of, check_room, estimate
from preprocess.figures import PlanFigures, plan_figures
from preprocess.job import plan_job, resample
from preprocess.plan_screen import render_plan
from preprocess.settings import RunSettings
from shared.cli import parse_settings, run_command
from shared.errors import ExitCode

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
    found = estimate(job, settings)
    figures = plan_figures(job, found, settings, _run_command(argv))
    if settings.json_ or settings.view == "json":
        print(json.dumps(plan_json(figures), ensure_ascii=False))
    else:
        console = Console(highlight=False)
        console.print(render_plan(figures, max(console.width, _SHORTEST_LINE)))
    if not settings.force:
        check_room(found, budgets_of(settings, job.layout.root), job.layout.root)
    return int(ExitCode.DONE)


def plan_json(figures: PlanFigures) -> dict[str, Any]:
    """*figures* for JSON, with their derived values."""
    derived = ("store_bytes_float16", "store_bytes_uint8", "needed_bytes", "fits", "sampled_rows", "audio_seconds")
    return asdict(figures) | {name: getattr(figures, name) for name in derived}


def _run_command(argv: Sequence[str]) -> list[str]:
    """The command that does what was planned, with the options that were given for the plan."""
    return ["python", "-m", "preprocess.run", *(word for word in argv if word not in {"--json", "--no-json"})]


if __name__ == "__main__":
    sys.exit(run_command(main))
