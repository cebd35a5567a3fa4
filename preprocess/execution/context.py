"""What the parts of one run share, made once at its start and handed on."""

from dataclasses import dataclass

from preprocess.execution.run_stats import RunStats
from preprocess.monitoring.views import View
from preprocess.planning.planned_job import PlannedJob
from preprocess.settings import RunSettings
from shared.system.stop_request import StopRequest


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is to be made and how that was asked for, what has come of it, who hears of it, whether it is to stop."""

    job: PlannedJob
    settings: RunSettings
    stats: RunStats
    view: View
    stop: StopRequest
