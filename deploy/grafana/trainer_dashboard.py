"""Writes the trainings' dashboard: `python deploy/grafana/trainer_dashboard.py [FILE]`."""  # noqa: INP001 - script

import json
import sys
from pathlib import Path
from typing import Any

from panels import Panel, figure, gauge, graph, of, whole

OUTPUT = Path(__file__).parent / "dashboards" / "speech-trainer.json"


def _of(name: str, labels: str = "") -> str:
    return of(f"speech_trainer_{name}", labels)


def progress() -> list[Panel]:
    """How far it is, and when it will be done."""
    return [
        gauge("Done", f"{_of('step')} / ({_of('steps_planned')} > 0)", warn=2, alarm=2),
        figure("Step", _of("step")),
        figure("Done at", _of("eta_timestamp_seconds") + " * 1000", unit="dateTimeFromNow"),
        figure("Last step", _of("last_step_timestamp_seconds") + " * 1000", unit="dateTimeFromNow"),
        figure("Best raw WER", _of("best_wer_ratio"), unit="percentunit"),
        figure("of step", _of("best_step")),
        graph("Phase", {"{{phase}}": _of("phase")}, stacked=True),
        graph("Steps", {"done": _of("step"), "planned": _of("steps_planned")}),
    ]


def learning() -> list[Panel]:
    """Whether it learns."""
    return [
        graph("Loss per token", {"loss": _of("loss")}),
        graph(
            "Error rates",
            {
                "WER {{normaliser}} {{padding}}": _of("wer_ratio"),
                "CER {{normaliser}} {{padding}}": _of("cer_ratio"),
            },
            unit="percentunit",
        ),
        graph("Learning rate", {"rate": _of("learning_rate")}, width=6),
        graph("Gradient norm", {"norm": _of("grad_norm")}, width=6),
        graph("Loss scale", {"scale": _of("loss_scale")}, width=6),
        graph("Skipped in 15 minutes", {"steps": f"increase({_of('skipped_steps_total')}[15m])"}, width=6),
    ]


def speed() -> list[Panel]:
    """How fast, and what it waits for."""
    return [
        graph(
            "Clips a second",
            {"last record": _of("samples_per_second"), "5 minutes": f"rate({_of('samples_total')}[5m])"},
        ),
        graph(
            "Audio seconds a second",
            {"last record": _of("audio_seconds_per_second"), "5 minutes": f"rate({_of('audio_seconds_total')}[5m])"},
        ),
        graph("Time of a step", {"step": _of("step_seconds")}, unit="s", width=6),
        graph("Steps a minute", {"steps": f"60 * rate({_of('steps_total')}[5m])"}, width=6),
        graph("Waiting for data", {"share": _of("data_wait_ratio")}, unit="percentunit", width=6),
        graph("Padding", {"share": _of("padding_ratio")}, unit="percentunit", width=6),
    ]


def gpu() -> list[Panel]:
    """What of the GPU is used."""
    return [
        graph("Utilisation", {"kernels": _of("gpu_utilisation_ratio"), "MFU": _of("mfu_ratio")}, unit="percentunit"),
        graph("Memory", {"most in use": _of("vram_bytes")}, unit="bytes"),
    ]


def safety() -> list[Panel]:
    """Checkpoints and trouble."""
    return [
        figure("Last checkpoint", _of("checkpoint_timestamp_seconds") + " * 1000", unit="dateTimeFromNow"),
        figure("of step", _of("checkpoint_step")),
        figure("Bytes", _of("checkpoint_bytes"), unit="bytes"),
        figure("Written", _of("checkpoints_total")),
        figure("Failed", _of("checkpoint_failures_total")),
        graph("Kinds of trouble", {"{{kind}}": _of("warnings_total") + " > 0"}),
    ]


ROWS = {"Progress": progress, "Learning": learning, "Speed": speed, "GPU": gpu, "Checkpoints and trouble": safety}
"""The dashboard from top to bottom."""


def dashboard() -> dict[str, Any]:
    """The whole dashboard, as Grafana's provisioning reads it."""
    rows = {title: row() for title, row in ROWS.items()}
    return whole(rows, uid="speech-trainer", title="Training", job="speech-trainer", metrics="speech_trainer")


if __name__ == "__main__":
    output = Path(sys.argv[1]) if sys.argv[1:] else OUTPUT
    output.write_text(json.dumps(dashboard(), indent=2) + "\n")
