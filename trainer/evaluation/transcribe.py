"""A store's clips transcribed by one model after the other, all of them in the window that it was made for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from rich.markup import escape
from rich.progress import Progress
from tokenizers import Tokenizer

from shared.command.terminal import Screen
from shared.errors import UsageError
from shared.rows import rebuild
from shared.schema import HOP_LENGTH, SAMPLING_RATE, WINDOW_FRAMES
from shared.store import StoreSplit, open_split
from shared.text import normalise_transcript, one_line, tokenizer_fingerprint
from shared.units import format_counted
from trainer.data.dataset import first_texts, monitored_rows
from trainer.evaluation.inputs import EvaluationFacts, EvaluationRow, ModelTranscripts, SilenceCheck
from trainer.evaluation.question import Question, is_ctranslate2
from trainer.evaluation.settings import EvaluateSettings
from trainer.evaluation.transcribers import Transcriber, longest_text, open_transcriber, words
from trainer.model.device import choose_device, for_ctranslate2
from trainer.model.weight_files import weight_files

_BATCH_CLIPS = 8
_FRAMES_PER_SECOND = SAMPLING_RATE // HOP_LENGTH
_SILENCE = -1.5
"""log-mel of no sound at all: the lowest value that there is."""
_SILENCE_SECONDS = 10.0
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class _TestSet:
    """*rows* of *split*, which are called *title*; *name* tells them from other stores', "" where there is but one."""

    name: str
    title: str
    split: StoreSplit
    rows: Sequence[int]


def transcribed(
    stores: Sequence[Path],
    models: Sequence[str],
    settings: EvaluateSettings,
    console: Screen,
    *,
    baseline: str | None = None,
) -> EvaluationFacts:
    """What each of *models* makes of the split of *stores* that *settings* name; references are its labels as text.

    Clips longer than the window are left out, which is told. Raises StoreError for a store that is not complete,
    UsageError for a split without rows that fit, stores of several languages or one that is named twice, a model that
    does not fit them, and labels that no model's tokenizer made.
    """
    splits = _opened(stores, settings.split)
    # All of them before the first is transcribed: the last may be hours away.
    questions = [_asked(name, splits, settings) for name in models]
    window = min((asked.limits.window_frames for asked in questions), default=WINDOW_FRAMES)
    sets = _test_sets(stores, splits, settings, console, window)
    references = [text for one in sets for text in _references(one.split, one.rows, questions)]
    found = [_by_model(_transcriber(name, splits, settings, console), sets, settings, console) for name in models]
    ways = dict.fromkeys(model.decoding for model in found)
    rows = [(one, row) for one in sets for row in one.rows]
    return EvaluationFacts(
        title=", ".join(one.title for one in sets),
        rows=[_row(*of, text) for of, text in zip(rows, references, strict=True)],
        models=found,
        decoding=next(iter(ways)) if len(ways) == 1 else "each as stated beside it",
        baseline=baseline,
    )


def _opened(stores: Sequence[Path], name: str) -> list[StoreSplit]:
    """The split *name* of *stores*, before any model is asked for. Raises as `transcribed` does."""
    splits = [open_split(store, name) for store in stores]
    for split in splits:
        split.check_shards()
    _require_comparable(splits)
    return splits


def _test_sets(
    stores: Sequence[Path], splits: Sequence[StoreSplit], settings: EvaluateSettings, console: Screen, window: int
) -> list[_TestSet]:
    names = [store.resolve().name for store in stores]
    if len(set(names)) < len(names):
        names = [str(store) for store in stores]
    found = []
    for store, split, name in zip(stores, splits, names, strict=True):
        rows, title = _fitting(split, settings.rows or len(split), store, console, window)
        found.append(_TestSet(name if stores[1:] else "", title, split, rows))
    return found


def _require_comparable(splits: Sequence[StoreSplit]) -> None:
    for split in splits[1:]:
        first = splits[0]
        if split.record.language != first.record.language:
            message = f"{first.root} is of {first.record.language!r}, {split.root} of {split.record.language!r}"
            raise UsageError(message, "evaluate one language at a time")
    uuids = [split.record.uuid for split in splits]
    for split in splits:
        if uuids.count(split.record.uuid) > 1:
            raise UsageError(f"{split.root} is named twice, or beside a copy of it", "name each --store once")


def _asked(name: str, splits: Sequence[StoreSplit], settings: EvaluateSettings) -> Question:
    """How the model *name* is asked. Raises UsageError for all that can be known of it before it is loaded."""
    found = Question.of(name, splits[0].record.language, own_settings=settings.generation_config == "model")
    _require_bins(name, found.num_mel_bins, splits)
    if not is_ctranslate2(name):
        weight_files(name)
    return found


def _transcriber(name: str, splits: Sequence[StoreSplit], settings: EvaluateSettings, console: Screen) -> Transcriber:
    device = settings.device
    found = open_transcriber(
        name,
        language=splits[0].record.language,
        beam_size=settings.beam_size,
        device=for_ctranslate2(device, console.say) if is_ctranslate2(name) else choose_device(device),
        own_settings=settings.generation_config == "model",
        tell=console.say,
    )
    _require_bins(name, found.num_mel_bins, splits)
    return found


def _require_bins(name: str, bins: int | None, splits: Sequence[StoreSplit]) -> None:
    """Raises UsageError where the model *name* takes other *bins* than *splits* have; None is not known yet."""
    for split in splits:
        if bins not in {None, split.spec.num_mel_bins}:
            message = f"{split.root}: {name} takes {bins} mel bins, the store has {split.spec.num_mel_bins}"
            raise UsageError(message, "choose a model that the store was prepared for")


def _fitting(split: StoreSplit, count: int, store: Path, console: Screen, window: int) -> tuple[list[int], str]:
    """*count* rows of *split* less those of more frames than *window*, longest first; and how they are called."""
    chosen = monitored_rows(split, count)
    title = f"{split.name} of {store}"
    if len(chosen) < len(split):
        title = f"{format_counted(len(chosen), 'clip')} of {title}"
    fitting = [row for row in chosen if split.num_frames[row] <= window]
    seconds = f"{window / _FRAMES_PER_SECOND:g} s"
    if not fitting:
        them = f"all {len(chosen)} are" if chosen[1:] else "its only clip is"
        found = f": {them} longer than the window of {seconds}" if chosen else ""
        raise UsageError(f"{title} has no rows to evaluate{found}", "name another --split or --store")
    if too_long := len(chosen) - len(fitting):
        title += f", without {too_long} over {seconds}"
        console.say(
            f"left out: {too_long} of {format_counted(len(chosen), 'clip')}, longer than the window of {seconds}"
        )
    # Batches of one length stop early, and want of memory shows at once.
    return sorted(fitting, key=lambda row: -int(split.num_frames[row])), title


def _references(split: StoreSplit, rows: Sequence[int], questions: Sequence[Question]) -> list[str]:
    """The labels of *rows* as text. Raises UsageError where the tokenizer of none of *questions* is what made them."""
    made = [asked for asked in questions if tokenizer_fingerprint(asked.tokenizer_json) == split.record.tokenizer]
    for asked in made or questions:
        if made or _reads(asked.tokenizer, split):
            return [words(asked.tokenizer, split.labels(row).tolist()) for row in rows]
    names = " and ".join(asked.name for asked in questions)
    message = f"{split.root}: its labels were made with another tokenizer than that of {names}"
    raise UsageError(message, "name a model that it was prepared for as well, as --baseline")


def _reads(tokenizer: Tokenizer, split: StoreSplit) -> bool:
    """Whether *tokenizer* makes transcripts of labels: saved by other software, the same one is another file."""
    return all(
        normalise_transcript(words(tokenizer, labels)) == normalise_transcript(text)
        for text, labels in first_texts(split)
    )


def _row(test_set: _TestSet, row: int, reference: str) -> EvaluationRow:
    split = test_set.split
    source, seconds = str(split.source[row]), float(split.duration[row])
    return EvaluationRow(int(split.row_id[row]), source, reference, seconds, test_set.name)


def _by_model(
    model: Transcriber, sets: Sequence[_TestSet], settings: EvaluateSettings, console: Screen
) -> ModelTranscripts:
    hypotheses: list[str] = []
    started = perf_counter()
    parts = [(one.split, part) for one in sets for part in _parts(one.rows)]
    with Progress(console=console, transient=True) as progress:
        for split, part in progress.track(parts, description=escape(one_line(model.name))):
            seconds = max(float(split.duration[row]) for row in part)
            log_mel = windows(split, part, model.limits.window_frames)
            hypotheses += model(log_mel, max_length=longest_text(seconds, model.limits))
    spent = perf_counter() - started
    audio = sum(float(one.split.duration[list(one.rows)].sum()) for one in sets)
    window = model.limits.window_seconds
    return ModelTranscripts(
        model.name,
        hypotheses,
        spent / audio,
        _on_silence(model, settings.silence_clips),
        decoding=f"{model.decoding.words}, {window:g} s window",
        remarks=model.remarks,
    )


def windows(split: StoreSplit, rows: Sequence[int], frames: int = WINDOW_FRAMES) -> NDArray[np.float32]:
    """Whisper's input of *rows*, float32[rows, frames, num_mel_bins].

    Raises StoreError for a clip of more *frames*, and as `StoreSplit.payload` does.
    """
    clips = [(split.payload(row), int(split.num_frames[row]), float(split.floor[row])) for row in rows]
    return np.stack([rebuild(payload, split.spec, count, floor, frames) for payload, count, floor in clips])


def _on_silence(model: Transcriber, clips: int) -> SilenceCheck | None:
    """What *model* hears in silence, as loud as none at all and as soft noise of several seeds."""
    if not clips:
        return None
    shape = (model.limits.window_frames, model.num_mel_bins)
    quiet = [np.random.default_rng(seed).uniform(_SILENCE, _SILENCE + 0.1 * (seed > 0), shape) for seed in range(clips)]
    texts = []
    for part in _parts(range(clips)):
        log_mel = np.stack([quiet[number] for number in part]).astype(np.float32)
        texts += model(log_mel, max_length=longest_text(_SILENCE_SECONDS, model.limits))
    spoken = [text for text in texts if text]
    return SilenceCheck(clips, len(spoken), sum(len(text.split()) for text in spoken), spoken[:_EXAMPLES])


def _parts(rows: Sequence[int]) -> Iterator[Sequence[int]]:
    return (rows[start : start + _BATCH_CLIPS] for start in range(0, len(rows), _BATCH_CLIPS))
