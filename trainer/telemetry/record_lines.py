"""Records as people read them: one line each, every WER with the name of its normaliser. Pure."""

import math
from collections.abc import Mapping

from shared.text import one_line
from shared.units import (
    format_audio_rate,
    format_bytes,
    format_count,
    format_counted,
    format_rate,
    format_seconds,
    format_share,
)
from trainer.telemetry.records import CheckpointRecord, EvaluationRecord, StepRecord, Transcript, WordErrors

_PADDING = {"own": "", "window": " at 30 s"}
_IN_A_LINE = {"speed": "{}", "audio": "{}", "a step takes": "{}/step"}
"""What a line says of figures that need no name there."""


def step_figures(record: StepRecord) -> dict[str, str]:
    """A `StepRecord`'s figures in words, by name; without those that the device does not tell, or that are usual."""
    found = {
        "loss": f"{record.loss:.4f}",
        "learning rate": f"{record.learning_rate:.3g}",
        "gradient norm": f"{record.grad_norm:.3g}",
        "speed": f"{format_rate(record.samples_per_second)} clips/s",
        "audio": format_audio_rate(record.audio_seconds_per_second),
        "a step takes": format_seconds(record.seconds_per_step),
        "data wait": f"{record.data_wait_share:.1%}",
        "padding": f"{record.padding_waste:.1%}",
        "MFU": "" if record.mfu is None else f"{record.mfu:.1%}",
        "VRAM": "" if record.vram_bytes is None else format_bytes(record.vram_bytes),
        "GPU": "" if record.gpu_utilisation is None else f"{record.gpu_utilisation:.0%}",
        "loss scale": "" if record.loss_scale == 1 else f"{record.loss_scale:g}",
    }
    return {name: words for name, words in found.items() if words}


def step_line(record: StepRecord, max_steps: int) -> str:
    """A `StepRecord` in one line: its `step_figures`, and how many updates were left out, where any were."""
    parts = [f"step {format_count(record.step)}/{format_count(max_steps)}"]
    parts += [_IN_A_LINE.get(name, f"{name} {{}}").format(words) for name, words in step_figures(record).items()]
    parts += [f"skipped steps {record.skipped_steps}"] if record.skipped_steps else []
    return ", ".join(parts)


def wer_words(overall: Mapping[str, WordErrors]) -> str:
    """`WER 12.70 % raw, 11.30 % basic`: raw and normalised, always both."""
    return "WER " + ", ".join(f"{format_share(errors.wer)} {name}" for name, errors in overall.items())


def padding_words(record: EvaluationRecord) -> str:
    """` at 30 s` where the encoder saw the full window, nothing at own length."""
    return _PADDING.get(record.padding, f" at {record.padding}")


def evaluation_line(record: EvaluationRecord, *, best: bool) -> str:
    """An `EvaluationRecord` in one line."""
    cer = ", ".join(f"{format_share(errors.cer)} {name}" for name, errors in record.overall.items())
    return (
        f"evaluation at step {format_count(record.step)}{padding_words(record)}: {wer_words(record.overall)}; "
        f"CER {cer}; {format_counted(record.rows, 'clip')} in {format_seconds(record.seconds)}"
        + (", the best so far" if best else "")
    )


def saved_line(record: CheckpointRecord) -> str:
    """A `CheckpointRecord` in one line."""
    size, took = format_bytes(record.num_bytes), format_seconds(record.seconds)
    return f"checkpoint of step {format_count(record.step)} written: {size} in {took}"


def source_lines(record: EvaluationRecord) -> list[str]:
    """One line for each source, where there are several."""
    if len(record.by_source) < 2:  # noqa: PLR2004 - one source is the whole again
        return []
    return [f"  {one_line(source or 'unknown')}: {wer_words(rates)}" for source, rates in record.by_source.items()]


def transcript_lines(sample: Transcript) -> tuple[str, str, str]:
    """The row, what was said, and what the model heard, one below the other to be compared by eye."""
    heading = f"row {sample.row_id}, {one_line(sample.source or 'unknown')}"
    return heading, f"said  {one_line(sample.reference)}", f"heard {one_line(sample.hypothesis)}"


def loss_word(loss: float) -> str:
    """A loss in few characters."""
    return f"loss {loss:.3f}" if math.isfinite(loss) else f"loss {loss}"
