"""A training as Prometheus metrics, made from its last moment when somebody asks. Pure.

Counters count this run only, so that they never fall within it; `step` goes on over resumes. Every series exists from
the start; what the device does not tell, or is not known yet, is NaN. Figures of records move every `--logging-steps`.
"""

import platform
from collections.abc import Iterator
from importlib.metadata import version
from math import nan

from shared.system.exposition import Families, Family
from trainer.telemetry.health import Trouble
from trainer.telemetry.records import Phase, StepRecord
from trainer.watch.moment import Moment, RunFacts

_RUN = Families("speech_trainer")
_OF_RECORD = {
    "loss": ("loss", "mean loss per token over all ranks"),
    "learning_rate": ("learning_rate", "of the last step"),
    "grad_norm": ("grad_norm", "of the gradients before clipping, of the last step"),
    "loss_scale": ("loss_scale", "of float16 gradients, 1 without"),
    "seconds_per_step": ("step_seconds", "time of a step, without evaluation and checkpoints"),
    "samples_per_second": ("samples_per_second", "clips trained, over all ranks"),
    "audio_seconds_per_second": ("audio_seconds_per_second", "audio trained, over all ranks"),
    "data_wait_share": ("data_wait_ratio", "part of the time in which the first rank waited for data"),
    "padding_waste": ("padding_ratio", "part of the frames that is padding"),
    "mfu": ("mfu_ratio", "model operations against what the devices can do, NaN where not known"),
    "vram_bytes": ("vram_bytes", "most GPU memory that was in use, NaN on a CPU"),
    "gpu_utilisation": ("gpu_utilisation_ratio", "time in which a kernel ran, NaN where not known"),
}
"""Name and text by the field of `StepRecord`."""
_PADDINGS = ("own", "window")
_NORMALISERS = ("raw", "basic")


def families(facts: RunFacts, moment: Moment) -> Iterator[Family]:
    """Every metric of *moment*."""
    yield from _about(facts)
    yield from _progress(facts, moment)
    yield from _figures(moment.record)
    yield from _counts(moment)
    yield from _evaluations(moment)
    yield from _checkpoints(facts, moment)
    yield _RUN.gauge("complete", "1 once the training is through", moment.phase is Phase.DONE)


def _about(facts: RunFacts) -> Iterator[Family]:
    versions = {"version": version("whisper-speech-prep"), "python": platform.python_version()}
    versions |= {name: version(name) for name in ("torch", "transformers")}
    yield _RUN.facts("build_info", "versions of the software", versions)
    run = {"run_id": facts.run_id, "model": facts.model, "store": facts.store, "output": facts.output}
    yield _RUN.facts("run_info", "what the run is about", run)


def _progress(facts: RunFacts, moment: Moment) -> Iterator[Family]:
    yield _RUN.gauge("start_timestamp_seconds", "when the run began", facts.started_at)
    yield _RUN.gauge("step", "optimiser steps done, those of earlier runs included", moment.step)
    yield _RUN.gauge("steps_planned", "steps of the whole training, 0 while not known", moment.max_steps)
    last = facts.started_at if moment.last_step_at is None else moment.last_step_at
    yield _RUN.gauge("last_step_timestamp_seconds", "the last step, or the start where there is none yet", last)
    eta = nan if moment.seconds_left is None else last + moment.seconds_left
    yield _RUN.gauge("eta_timestamp_seconds", "when the training will be done, NaN while that is unknown", eta)
    phases = {str(phase): phase is moment.phase for phase in Phase}
    yield _RUN.gauges("phase", "1 for the phase that the training is in, else 0", "phase", phases)


def _figures(record: StepRecord | None) -> Iterator[Family]:
    for field, (name, text) in _OF_RECORD.items():
        value = getattr(record, field, None)
        yield _RUN.gauge(name, text, nan if value is None else value)


def _counts(moment: Moment) -> Iterator[Family]:
    yield _RUN.counter("steps", "optimiser steps of this run", moment.step - moment.first_step)
    yield _RUN.counter("skipped_steps", "steps without an update, as gradients were not finite", moment.skipped)
    yield _RUN.counter("samples", "clips trained on", moment.samples)
    yield _RUN.counter("audio_seconds", "audio trained on", moment.audio_seconds)
    warnings = {str(kind): moment.warnings.get(kind, 0) for kind in Trouble}
    yield _RUN.counters("warnings", "kinds of trouble that were seen", "kind", warnings)


def _evaluations(moment: Moment) -> Iterator[Family]:
    keys = {(padding, name) for padding in _PADDINGS for name in _NORMALISERS}
    keys |= {(padding, name) for padding, record in moment.evaluations.items() for name in record.overall}
    for rate in ("wer", "cer"):
        found = {
            (padding, name): getattr(moment.evaluations[padding].overall.get(name), rate, nan)
            if padding in moment.evaluations
            else nan
            for padding, name in sorted(keys)
        }
        text = f"{rate.upper()} of the last evaluation, 1 is 100 %; NaN before there was one"
        yield _RUN.gauges(f"{rate}_ratio", text, ("padding", "normaliser"), found)
    best = nan if moment.best_wer is None else moment.best_wer
    yield _RUN.gauge("best_wer_ratio", "lowest raw WER of the training, NaN before there was one", best)
    yield _RUN.gauge("best_step", "its step, 0 before there was one", moment.best_step or 0)


def _checkpoints(facts: RunFacts, moment: Moment) -> Iterator[Family]:
    last = moment.checkpoint
    at = facts.started_at if last is None else last.written_at
    yield _RUN.gauge("checkpoint_timestamp_seconds", "the last checkpoint, or the start where there is none yet", at)
    yield _RUN.gauge("checkpoint_bytes", "its bytes, 0 where there is none yet", last.num_bytes if last else 0)
    yield _RUN.gauge("checkpoint_step", "its step, 0 where there is none yet", last.step if last else 0)
    yield _RUN.counter("checkpoints", "checkpoints that this run wrote", moment.checkpoints)
    yield _RUN.counter("checkpoint_failures", "checkpoints that could not be written", moment.failures)


METRIC_NAMES = frozenset(family.series for family in families(RunFacts("", "", "", "", 0.0), Moment()))
"""Every series' name."""
