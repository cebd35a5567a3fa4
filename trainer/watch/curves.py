"""A training's figures over its steps, for the status page: few enough to draw, from the first step on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any

from trainer.telemetry.records import EvaluationRecord, StepRecord

MOST_POINTS = 600
"""Of one curve; where there would be more, every other one goes."""
SHOWN = (
    *("loss", "learning_rate", "samples_per_second", "data_wait_share", "mfu"),
    *("gpu_utilisation", "vram_bytes", "loss_scale", "grad_norm"),
)
"""Fields of `StepRecord` that have a curve."""
WER = "wer"

Points = list[tuple[float, float]]


@dataclass(slots=True)
class Curves:
    """(step, value) by name, in order; a value that is not known is NaN. Read from any thread."""

    points: dict[str, Points] = field(default_factory=dict)

    def step(self, record: StepRecord) -> None:
        """One point more for each field that is shown."""
        for name in SHOWN:
            self._add(name, record.step, getattr(record, name))

    def evaluated(self, record: EvaluationRecord) -> None:
        """Raw WER."""
        self._add(WER, record.step, record.overall["raw"].wer)

    def go_on(self, history: Mapping[str, Any]) -> None:
        """Takes in what earlier runs of the training left in `metrics.json`."""
        for entry in history.get("steps", ()):
            for name in SHOWN:
                self._add(name, entry["step"], entry.get(name))
        for entry in history.get("evaluations", ()):
            # Of a file that people may have touched no more is known than that each entry has a step.
            raw = (entry.get("overall") or {}).get("raw") or {}
            self._add(WER, entry["step"], raw.get("wer"))

    def _add(self, name: str, step: float, value: float | None) -> None:
        points = self.points.get(name, [])
        if len(points) >= MOST_POINTS:
            points = points[::2]
        # Another list each time: whoever draws the old one goes on with it.
        self.points[name] = [*points, (step, nan if value is None else value)]
