"""The gate's measurements: every chosen clip through the original and through every export, with the same code.

The store's log-mel goes into the models as it is, so no audio is needed. Options are those that faster-whisper itself
makes of RealtimeSTT's call (`FasterWhisperEngine.transcribe`): five beams, no prompt, the default suppressed tokens,
no VAD, as clips are speech. Two things are left out, since they say nothing of the model: sampling at higher
temperatures when a transcript looks bad, which is chance, and the second look at what follows a clip's last timestamp.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from faster_whisper import BatchedInferencePipeline
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

from shared.errors import UsageError
from shared.rows import rebuild
from shared.schema import SAMPLING_RATE, WINDOW_FRAMES
from shared.store import StoreSplit
from trainer.evaluation import PROMPT_LABELS, monitored_rows
from trainer.gate import Comparison, Decoding, Pair, Verdict, judge
from trainer.gate_models import ExportedModel, OriginalModel, as_array, load_export

BEAM_SIZE = 5
"""RealtimeSTT's `beam_size`."""
BATCH_SIZE = 16
"""RealtimeSTT's `batch_size`: more than 0 selects the batched pipeline, whose batches are windows of one recording."""
FORCED_LABELS = 64
"""Text labels of a row after which next tokens are compared."""
Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one model makes of one clip; *tokens* and *texts* by decoding, *seconds* of the first one, encoder included."""

    encoded: Any
    next_tokens: NDArray[np.float64]
    tokens: Mapping[Decoding, list[int]]
    texts: Mapping[Decoding, str]
    seconds: float


@dataclass(slots=True)
class Listener:
    """A model with RealtimeSTT's options for *language*."""

    model: Any
    language: str
    tokenizer: Tokenizer = field(init=False)
    options: Mapping[Decoding, Any] = field(init=False)

    def __post_init__(self) -> None:
        known = self.model.hf_tokenizer.token_to_id(f"<|{self.language}|>") is not None
        self.tokenizer = Tokenizer(self.model.hf_tokenizer, known, task="transcribe", language=self.language)
        self.options = realtimestt_options(self.model, self.language)

    def hear(self, features: Features, labels: Sequence[int]) -> Heard:
        """What is said in *features* float32[mel bins, frames] whose labels are *labels*."""
        started = perf_counter()
        pipeline = BatchedInferencePipeline(self.model)
        batched = self.options[Decoding.BATCHED]
        encoded, found = pipeline.generate_segment_batched(features[None], self.tokenizer, batched)
        seconds = perf_counter() - started
        sequential = self.options[Decoding.SEQUENTIAL]
        result, *_ = self.model.generate_with_fallback(encoded, self.prompt(sequential), self.tokenizer, sequential)
        tokens = {Decoding.BATCHED: found[0]["tokens"], Decoding.SEQUENTIAL: result.sequences_ids[0]}
        forced = labels[: PROMPT_LABELS + FORCED_LABELS][:-1]
        return Heard(
            encoded=encoded,
            next_tokens=self.model.next_tokens(encoded, forced, PROMPT_LABELS),
            tokens=tokens,
            texts={decoding: self.tokenizer.decode(ids).strip() for decoding, ids in tokens.items()},
            seconds=seconds,
        )

    def prompt(self, options: Any) -> list[int]:
        """The tokens before what is said under *options*."""
        prompt: list[int] = self.model.get_prompt(self.tokenizer, [], without_timestamps=options.without_timestamps)
        return prompt

    def score(self, encoded: Any, decoding: Decoding, tokens: Sequence[int]) -> float:
        """Log probability per token that this model, an original, gives to *tokens* under *decoding*."""
        options = self.options[decoding]
        score: float = self.model.model.score(
            encoded,
            self.prompt(options),
            tokens,
            suppress_blank=options.suppress_blank,
            suppress_tokens=options.suppress_tokens,
            max_initial_timestamp_index=round(options.max_initial_timestamp / self.model.time_precision),
        )
        return score


def realtimestt_options(model: Any, language: str) -> dict[Decoding, Any]:
    """faster-whisper's `TranscriptionOptions` as RealtimeSTT's calls make them, at the first temperature alone."""
    silence = np.zeros(SAMPLING_RATE, np.float32)
    call = {"language": language, "beam_size": BEAM_SIZE, "initial_prompt": None, "vad_filter": False}
    # Both return a generator that has not begun.
    _, batched = BatchedInferencePipeline(model).transcribe(
        silence, suppress_tokens=[-1], batch_size=BATCH_SIZE, **call
    )
    _, sequential = model.transcribe(silence, suppress_tokens=[-1], **call)
    return {
        Decoding.BATCHED: batched.transcription_options,
        Decoding.SEQUENTIAL: replace(sequential.transcription_options, temperatures=[0.0]),
    }


@dataclass(frozen=True, slots=True)
class Candidate:
    """An export to be checked, *stored* as that type; *file_problems* are what its files have already shown."""

    folder: Path
    stored: str
    file_problems: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """An export after the gate; *computed* is the type it really ran in, "" where it did not run.

    *speed* is audio seconds per second of one clip after the other, without timestamps; None where nothing ran.
    """

    folder: Path
    stored: str
    computed: str
    verdict: Verdict
    speed: float | None


@dataclass(frozen=True, slots=True)
class GateRun:
    """What the gate found on *rows* clips of *audio_seconds*; *original_speed* is as `Checked.speed`."""

    split: str
    rows: int
    audio_seconds: float
    device: str
    original_speed: float | None
    exports: Sequence[Checked]

    @property
    def passed(self) -> bool:
        """Whether every export may be used."""
        return not any(export.verdict.problems for export in self.exports)


@dataclass(slots=True)
class _Running:
    """An export in the course of the gate."""

    candidate: Candidate
    listener: Listener | None
    problems: list[str]
    rows: list[Comparison] = field(default_factory=list)
    seconds: float = 0.0

    def finish(self, audio_seconds: float) -> Checked:
        stored = self.candidate.stored
        computed = str(self.listener.model.model.compute_type) if self.listener else ""
        verdict = judge(stored, computed, self.problems, self.rows)
        speed = audio_seconds / self.seconds if self.seconds else None
        return Checked(self.candidate.folder, stored, computed, verdict, speed)


def gate_rows(split: StoreSplit, count: int) -> list[int]:
    """*count* rows of *split*, the same ones every time, none longer than Whisper's window.

    Raises UsageError where there is none.
    """
    rows = [row for row in monitored_rows(split, count) if split.num_frames[row] <= WINDOW_FRAMES]
    if not rows and count:
        raise UsageError(f"split {split.name!r} has no clip to check the export on", "name another --split or --store")
    return rows


def run_gate(
    original: OriginalModel,
    candidates: Sequence[Candidate],
    split: StoreSplit,
    rows: Sequence[int],
    *,
    language: str,
    threads: int,
    tell: Callable[[int], None] = lambda _row: None,
) -> GateRun:
    """Every one of *rows* of *split* through *original* and all *candidates*; *tell* is called after each."""
    device = original.model.device
    reference = Listener(original, language)
    running = [_start(candidate, device, language, threads) for candidate in candidates]
    if rows and device == "cuda":
        # What a GPU does first takes longer than it will ever take again.
        _one_row(reference, running, split, rows[0])
        for export in running:
            export.rows.clear()
            export.seconds = 0.0
    spent = 0.0
    for row in rows:
        spent += _one_row(reference, running, split, row)
        tell(row)
    audio = float(split.duration[list(rows)].sum())
    exports = [export.finish(audio) for export in running]
    return GateRun(split.name, len(rows), audio, device, audio / spent if spent else None, exports)


def _start(candidate: Candidate, device: str, language: str, threads: int) -> _Running:
    problems = list(candidate.file_problems)
    try:
        return _Running(candidate, Listener(load_export(candidate.folder, device, threads), language), problems)
    except (RuntimeError, ValueError, TypeError) as error:
        return _Running(candidate, None, [*problems, f"faster-whisper cannot load it: {error}"])


def _one_row(reference: Listener, running: Sequence[_Running], split: StoreSplit, row: int) -> float:
    """Adds the comparison of *row* to every one of *running*; the original's seconds."""
    payload, frames, floor = split.log_mel(row).tobytes(), int(split.num_frames[row]), float(split.floor[row])
    features = np.ascontiguousarray(rebuild(payload, split.spec, frames, floor).T)
    labels = split.labels(row).tolist()
    first = reference.hear(features, labels)
    for export in running:
        if export.listener is None:
            continue
        try:
            second = export.listener.hear(features, labels)
        except (RuntimeError, ValueError, TypeError) as error:
            export.problems.append(f"it cannot transcribe row {int(split.row_id[row])}: {error}")
            export.listener = None
            continue
        export.seconds += second.seconds
        text = reference.tokenizer.decode(labels).strip()
        export.rows.append(_compare(reference, first, second, int(split.row_id[row]), text))
    return first.seconds


def _compare(reference: Listener, original: Heard, export: Heard, row_id: int, text: str) -> Comparison:
    before, after = as_array(original.encoded), as_array(export.encoded)
    divergence = (np.exp(original.next_tokens) * (original.next_tokens - export.next_tokens)).sum(axis=-1)
    same = original.next_tokens.argmax(axis=-1) == export.next_tokens.argmax(axis=-1)
    return Comparison(
        row_id=row_id,
        reference=text,
        pairs={decoding: _pair(reference, original, export, decoding) for decoding in Decoding},
        encoder_error=float(np.linalg.norm(after - before) / np.linalg.norm(before)),
        divergence=float(divergence.mean()),
        tokens=len(same),
        same_tokens=int(same.sum()),
    )


def _pair(reference: Listener, original: Heard, export: Heard, decoding: Decoding) -> Pair:
    before, after = original.tokens[decoding], export.tokens[decoding]
    margin = 0.0
    if before != after:
        margin = reference.score(original.encoded, decoding, before) - reference.score(
            original.encoded, decoding, after
        )
    return Pair(original.texts[decoding], export.texts[decoding], margin)


def transcribe_file(model: OriginalModel | ExportedModel, path: Path, language: str) -> str:
    """What *model* hears in the audio file *path*, from its samples on, with RealtimeSTT's sequential call.

    Raises UsageError where the file cannot be read.
    """
    try:
        segments, _ = model.transcribe(
            str(path), language=language, beam_size=BEAM_SIZE, suppress_tokens=[-1], vad_filter=False, temperature=0.0
        )
    except (OSError, ValueError) as error:
        raise UsageError(f"--sample {path} cannot be read: {error}", "name a WAV, FLAC or MP3 file") from error
    return " ".join(segment.text for segment in segments).strip()
