"""Long recordings through faster-whisper's own windows, by exports: with timestamps, and as RealtimeSTT calls it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from rich.text import Text

from shared.errors import UsageError
from shared.models.whisper_tokens import LANGUAGES
from shared.system.home import expand_home
from shared.text import one_line
from shared.units import format_count, format_share
from trainer.evaluation.long_inputs import LongRecording, read_recordings
from trainer.evaluation.long_scoring import LongErrors, Segment, score_long
from trainer.evaluation.question import is_ctranslate2
from trainer.model.device import for_ctranslate2

_BEAM_SIZE, _BATCH_SIZE = 5, 16
"""RealtimeSTT's `beam_size` and `batch_size`."""
WAYS = ("timestamps", "RealtimeSTT")
"""faster-whisper's sequential windows with timestamp tokens; RealtimeSTT's batched call with its VAD filter."""


@dataclass(frozen=True, slots=True)
class LongResult:
    """What *model* gets wrong in all recordings, decoded in this *way*, one of `WAYS`."""

    model: str
    way: str
    errors: LongErrors


def evaluate_long(
    path: Path, models: Sequence[str], *, language: str, device: str, say: Callable[[str], None]
) -> list[LongResult]:
    """The errors of *models*, folders that CTranslate2 made, in the recordings of *path*, in both `WAYS`.

    Raises UsageError for a language, recordings or models that cannot be used.
    """
    if language not in LANGUAGES:
        remedy = "--language names one by its code: de, en, fr"
        raise UsageError(f"Whisper does not know the language {language!r}", remedy)
    recordings = read_recordings(expand_home(path))
    for name in models:
        if not is_ctranslate2(name):
            remedy = "export it with `python -m trainer.export`, and name the export's folder"
            raise UsageError(f"--long hears with faster-whisper, and {name} is no export", remedy)
    return [found for name in models for found in _by_model(name, recordings, language, device, say)]


def _by_model(
    name: str, recordings: Sequence[LongRecording], language: str, device: str, say: Callable[[str], None]
) -> Iterator[LongResult]:
    from faster_whisper import WhisperModel  # noqa: PLC0415 - a second to import, for those who hear with it

    place = for_ctranslate2(device, say)
    try:
        model = WhisperModel(
            str(expand_home(name)),
            device=place.type,
            device_index=place.index or 0,
            cpu_threads=torch.get_num_threads(),
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{name} cannot be loaded: {error}", "export it again") from error
    named = language if model.model.is_multilingual else "en"
    for way in WAYS:
        errors = [score_long(one.reference, _heard(model, one.path, way, named)) for one in recordings]
        yield LongResult(name, way, reduce(add, errors))


def _heard(model: Any, path: Path, way: str, language: str) -> list[Segment]:
    from faster_whisper import BatchedInferencePipeline  # noqa: PLC0415 - as above

    call: dict[str, Any] = {"language": language, "beam_size": _BEAM_SIZE, "suppress_tokens": [-1]}
    try:
        if way == "timestamps":
            segments, _ = model.transcribe(str(path), vad_filter=False, **call)
        else:
            pipeline = BatchedInferencePipeline(model)
            segments, _ = pipeline.transcribe(str(path), vad_filter=True, batch_size=_BATCH_SIZE, **call)
        return [Segment(each.text, float(each.start), float(each.end)) for each in segments]
    except (OSError, ValueError, LookupError) as error:
        raise UsageError(f"{path} cannot be heard: {error}", "name a WAV, FLAC or MP3 file") from error


def render_long(results: Sequence[LongResult]) -> Table:
    """A line for each model and way: WER (basic), what the errors are, and the times' offsets, median and 90 %."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("model", overflow="fold")
    table.add_column("way", no_wrap=True)
    for name in ("WER basic", "subst.", "deleted", "inserted", "repeated", "ms", "90 %"):
        table.add_column(name, justify="right", no_wrap=True)
    for found in results:
        errors = found.errors
        counts = (errors.substitutions, errors.deletions, errors.insertions, errors.repeats)
        offsets = ("-" if (ms := errors.offset_ms(part)) is None else f"{ms:.0f}" for part in (50, 90))
        table.add_row(
            Text(one_line(found.model)), found.way, format_share(errors.wer), *map(format_count, counts), *offsets
        )
    return table
