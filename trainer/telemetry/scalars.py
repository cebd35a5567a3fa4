"""Every figure of a record under the tag that TensorBoard and wandb show it by. Pure."""

from collections.abc import Mapping
from dataclasses import asdict

from trainer.telemetry.records import EvaluationRecord, StepRecord, WordErrors

STEP_TAGS = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
    "loss_scale": "train/loss_scale",
    "skipped_steps": "train/skipped_steps",
    "seconds_per_step": "speed/seconds_per_step",
    "samples_per_second": "speed/samples_per_second",
    "audio_seconds_per_second": "speed/audio_seconds_per_second",
    "data_wait_share": "speed/data_wait_share",
    "padding_waste": "speed/padding_waste",
    "mfu": "speed/mfu",
    "vram_bytes": "gpu/vram_bytes",
    "gpu_utilisation": "gpu/utilisation",
}
"""By the field of `StepRecord`, of which none but the step itself is missing."""
_PREFIXES = {"own": "eval"}


def step_scalars(record: StepRecord) -> dict[str, float]:
    """The figures of *record* by tag; what the device does not tell (None) is left out."""
    values = asdict(record)
    return {tag: float(values[name]) for name, tag in STEP_TAGS.items() if values[name] is not None}


def evaluation_prefix(record: EvaluationRecord) -> str:
    """`eval` for clips at their own length, `eval_window` for 30 s windows: two curves, not one that jumps."""
    return _PREFIXES.get(record.padding, f"eval_{record.padding}")


def evaluation_scalars(record: EvaluationRecord) -> dict[str, float]:
    """The figures of *record* by tag: `eval/wer_raw`, `eval/cer_basic`, `eval_by_source/SOURCE/wer_basic+ss`."""
    prefix = evaluation_prefix(record)
    found = {f"{prefix}/rows": float(record.rows), f"{prefix}/seconds": record.seconds}
    for normaliser, errors in record.overall.items():
        found[f"{prefix}/words_{normaliser}"] = float(errors.words)
    found |= _rates(prefix, record.overall)
    for source, by_normaliser in record.by_source.items():
        found |= _rates(f"{prefix}_by_source/{source or 'unknown'}", by_normaliser)
    return found


def _rates(prefix: str, by_normaliser: Mapping[str, WordErrors]) -> dict[str, float]:
    wer = {f"{prefix}/wer_{normaliser}": errors.wer for normaliser, errors in by_normaliser.items()}
    return wer | {f"{prefix}/cer_{normaliser}": errors.cer for normaliser, errors in by_normaliser.items()}
