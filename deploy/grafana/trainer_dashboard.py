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
        gauge(
            "Done",
            "Optimiser steps done, as a share of those planned",
            f"{_of('step')} / ({_of('steps_planned')} > 0)",
            warn=2,
            alarm=2,
        ),
        figure("Step", "Optimiser steps done, those of earlier runs included", _of("step")),
        figure(
            "Done at",
            "When the last step is expected, at the speed of the last minutes",
            _of("eta_timestamp_seconds") + " * 1000",
            unit="dateTimeFromNow",
        ),
        figure(
            "Last step",
            "When a step was last done; far in the past means that the training hangs or evaluates",
            _of("last_step_timestamp_seconds") + " * 1000",
            unit="dateTimeFromNow",
        ),
        figure(
            "Best raw WER",
            "Lowest word error rate on the evaluation split, without normalisation",
            _of("best_wer_ratio"),
            unit="percentunit",
        ),
        figure("of step", "The step whose checkpoint had the best word error rate", _of("best_step")),
        graph(
            "Phase",
            "What the training is at: opening, loading, measuring, training, evaluating, saving, uploading, done",
            {"{{phase}}": _of("phase")},
            stacked=True,
        ),
        graph("Steps", "Steps done against steps planned", {"done": _of("step"), "planned": _of("steps_planned")}),
    ]


def learning() -> list[Panel]:
    """Whether it learns."""
    return [
        graph(
            "Loss per token",
            "Training loss, mean of each logged interval; it falls, then flattens out",
            {"loss": _of("loss")},
        ),
        graph(
            "Error rates",
            "Word and character error rates by normaliser, at the clips' own length and in the 30 s window",
            {
                "WER {{normaliser}} {{padding}}": _of("wer_ratio"),
                "CER {{normaliser}} {{padding}}": _of("cer_ratio"),
            },
            unit="percentunit",
        ),
        graph(
            "Learning rate", "It rises during the warm-up and falls afterwards", {"rate": _of("learning_rate")}, width=6
        ),
        graph(
            "Gradient norm",
            "Norm before clipping; sudden peaks come from too high a learning rate or from bad rows",
            {"norm": _of("grad_norm")},
            width=6,
        ),
        graph(
            "Loss scale",
            "Scale of fp16 gradients; it halves after each overflow and grows slowly. 1 where fp16 is not used",
            {"scale": _of("loss_scale")},
            width=6,
        ),
        graph(
            "Skipped in 15 minutes",
            "Steps left out because a gradient was not finite; a few at the start are normal with fp16",
            {"steps": f"increase({_of('skipped_steps_total')}[15m])"},
            width=6,
        ),
    ]


def speed() -> list[Panel]:
    """How fast, and what it waits for."""
    return [
        graph(
            "Clips a second",
            "Speed in clips of all ranks together",
            {"last record": _of("samples_per_second"), "5 minutes": f"rate({_of('samples_total')}[5m])"},
        ),
        graph(
            "Audio seconds a second",
            "Seconds of speech trained on in each second, all ranks together",
            {"last record": _of("audio_seconds_per_second"), "5 minutes": f"rate({_of('audio_seconds_total')}[5m])"},
        ),
        graph(
            "Time of a step",
            "Seconds an optimiser step takes, evaluations and checkpoints left out",
            {"step": _of("step_seconds")},
            unit="s",
            width=6,
        ),
        graph(
            "Steps a minute",
            "Steps a minute, mean of 5 minutes",
            {"steps": f"60 * rate({_of('steps_total')}[5m])"},
            width=6,
        ),
        graph(
            "Waiting for data",
            "Share of time in which the first rank waited for data; it should stay near 0",
            {"share": _of("data_wait_ratio")},
            unit="percentunit",
            width=6,
        ),
        graph(
            "Padding",
            "Share of encoder frames that are padding; batches of like lengths keep it low",
            {"share": _of("padding_ratio")},
            unit="percentunit",
            width=6,
        ),
    ]


def gpu() -> list[Panel]:
    """What of the GPU is used."""
    return [
        graph(
            "Utilisation",
            "Share of time with a kernel on the GPU, and MFU: the share of its peak arithmetic that the model uses",
            {"kernels": _of("gpu_utilisation_ratio"), "MFU": _of("mfu_ratio")},
            unit="percentunit",
        ),
        graph(
            "Memory",
            "Most GPU memory that was in use",
            {"most in use": _of("vram_bytes")},
            unit="bytes",
        ),
    ]


def safety() -> list[Panel]:
    """Checkpoints and trouble."""
    return [
        figure(
            "Last checkpoint",
            "When a checkpoint was last written; what came later is lost by a crash",
            _of("checkpoint_timestamp_seconds") + " * 1000",
            unit="dateTimeFromNow",
        ),
        figure("of step", "The step of the last checkpoint that was written", _of("checkpoint_step")),
        figure("Bytes", "Size of the last checkpoint", _of("checkpoint_bytes"), unit="bytes"),
        figure("Written", "Checkpoints written by this training", _of("checkpoints_total")),
        figure(
            "Failed",
            "Checkpoints that could not be written, mostly for want of disk space; training goes on",
            _of("checkpoint_failures_total"),
        ),
        graph(
            "Kinds of trouble",
            "Warnings by kind, as the log and the status page word them",
            {"{{kind}}": _of("warnings_total") + " > 0"},
        ),
    ]


ROWS = {"Progress": progress, "Learning": learning, "Speed": speed, "GPU": gpu, "Checkpoints and trouble": safety}
"""The dashboard from top to bottom."""


def dashboard() -> dict[str, Any]:
    """The whole dashboard, as Grafana's provisioning reads it."""
    rows = {title: row() for title, row in ROWS.items()}
    return whole(rows, uid="speech-trainer", title="Training", metrics="speech_trainer")


if __name__ == "__main__":
    output = Path(sys.argv[1]) if sys.argv[1:] else OUTPUT
    output.write_text(json.dumps(dashboard(), indent=2) + "\n")
