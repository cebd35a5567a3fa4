"""The gate's measurements: every chosen clip through the original and through every export, with the same code.

The store's log-mel goes into the models as it is, so that no audio is needed.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from shared.errors import UsageError
from shared.rows import rebuild
from shared.schema import WINDOW_FRAMES
from shared.store import StoreSplit
from trainer.data.dataset import monitored_rows
from trainer.evaluation.transcribers import words
from trainer.gate.apart import FAULTS, ExportApart
from trainer.gate.difference import divergence, encoder_error
from trainer.gate.exported import as_array
from trainer.gate.judge import judge
from trainer.gate.original import OriginalModel
from trainer.gate.realtimestt import HeardClip, RealtimeSTTModel
from trainer.gate.verdict import Checked, Comparison, Decoding, GateRun, Pair
from trainer.gate.whole_calls import check_calls


@dataclass(frozen=True, slots=True)
class Candidate:
    """An export to be checked, *stored* as that type; *file_problems* are what its files have already shown."""

    folder: Path
    stored: str
    file_problems: Sequence[str] = ()


@dataclass(slots=True)
class _Running:
    """An export in the course of the gate."""

    candidate: Candidate
    model: ExportApart | None
    problems: list[str]
    rows: list[Comparison] = field(default_factory=list)
    seconds: float = 0.0
    computed: str = ""

    def stop(self, problem: str) -> None:
        """It is run no more."""
        self.problems.append(problem)
        self.model = None

    def finish(self, audio_seconds: float) -> Checked:
        """The verdict, and the speed over clips of *audio_seconds*."""
        stored = self.candidate.stored
        verdict = judge(stored, self.computed, self.problems, self.rows)
        # Of an export that stopped midway no speed is known.
        speed = audio_seconds / self.seconds if self.seconds and self.model else None
        return Checked(self.candidate.folder, stored, self.computed, verdict, speed)


def gate_rows(split: StoreSplit, count: int) -> list[int]:
    """*count* rows of *split*, the same ones every time, none longer than Whisper's window.

    Raises UsageError where there is none.
    """
    rows = [row for row in monitored_rows(split, count) if split.num_frames[row] <= WINDOW_FRAMES]
    if not rows and count:
        raise UsageError(
            f"split {split.name!r} has no clip of at most 30 s to check the export on",
            "name another --split or --store",
        )
    return rows


def check_files(candidates: Sequence[Candidate]) -> GateRun:
    """The verdict on *candidates* by their files alone; nothing is run."""
    exports = [
        Checked(found.folder, found.stored, "", judge(found.stored, "", found.file_problems, []), None)
        for found in candidates
    ]
    return GateRun("", 0, 0.0, "", None, exports)


def run_gate(
    original: OriginalModel,
    candidates: Sequence[Candidate],
    split: StoreSplit,
    rows: Sequence[int],
    *,
    language: str,
    threads: int,
    tell: Callable[[], None] = lambda: None,
) -> GateRun:
    """Every one of *rows* of *split* through *original* and all *candidates*; *tell* is called after each."""
    with ExitStack() as stack:
        opened = partial(ExportApart, device=original.model.device, threads=threads, max_length=original.max_length)
        running = [_start(candidate, opened, language, stack) for candidate in candidates]
        return _run(RealtimeSTTModel(original, language), running, split, rows, tell)


def _run(
    reference: RealtimeSTTModel,
    running: Sequence[_Running],
    split: StoreSplit,
    rows: Sequence[int],
    tell: Callable[[], None],
) -> GateRun:
    device = reference.model.model.device
    for number, problem in check_calls(reference, [export.model for export in running], split, rows):
        running[number].problems.append(problem)
    spent = 0.0
    for number, row in enumerate(rows):
        if number == 1:
            # What is done for the first time takes longer than it will ever take again.
            spent = 0.0
            for export in running:
                export.seconds = 0.0
        spent += _one_row(reference, running, split, row)
        tell()
    timed, audio = (float(split.duration[list(some)].sum()) for some in (rows[1:] or rows, rows))
    exports = [export.finish(timed) for export in running]
    return GateRun(split.name, len(rows), audio, device, timed / spent if spent else None, exports)


def _start(candidate: Candidate, opened: Callable[..., ExportApart], language: str, stack: ExitStack) -> _Running:
    running = _Running(candidate, None, list(candidate.file_problems))
    try:
        running.model = stack.enter_context(opened(candidate.folder, language))
        running.computed = running.model.computed
    except FAULTS as error:
        running.stop(f"faster-whisper cannot load it: {error}")
    return running


def _one_row(reference: RealtimeSTTModel, running: Sequence[_Running], split: StoreSplit, row: int) -> float:
    """Adds the comparison of *row* to every one of *running*; the original's seconds."""
    payload, frames, floor = split.payload(row), int(split.num_frames[row]), float(split.floor[row])
    features = np.ascontiguousarray(rebuild(payload, split.spec, frames, floor).T)
    # As faster-whisper pads what it hears.
    features[:, frames:] = 0.0
    labels = split.labels(row).tolist()
    row_id, text = int(split.row_id[row]), words(reference.model.hf_tokenizer, labels)
    first = reference.hear(features, labels)
    for export in running:
        if export.model is None:
            continue
        try:
            second = export.model.call("hear", features, labels, True)  # noqa: FBT003 - calls apart have no names
        except FAULTS as error:
            export.stop(f"it cannot transcribe row {row_id}: {error}")
            continue
        export.seconds += second.seconds
        export.rows.append(_compare(reference, first, second, row_id=row_id, text=text, frames=frames))
    return first.seconds


def _compare(
    reference: RealtimeSTTModel, original: HeardClip, export: HeardClip, *, row_id: int, text: str, frames: int
) -> Comparison:
    # What the encoder makes of the clip itself: in 30 s that are mostly padding, damage would hide.
    before, after = (as_array(heard.encoded)[:, : -(-frames // 2)] for heard in (original, export))
    same = original.next_tokens.argmax(axis=-1) == export.next_tokens.argmax(axis=-1)
    return Comparison(
        row_id=row_id,
        reference=text,
        pairs={decoding: _pair(reference, original, export, decoding) for decoding in Decoding},
        encoder_error=encoder_error(before, after),
        divergence=divergence(original.next_tokens, export.next_tokens),
        tokens=len(same),
        same_tokens=int(same.sum()),
    )


def _pair(reference: RealtimeSTTModel, original: HeardClip, export: HeardClip, decoding: Decoding) -> Pair:
    before, after = original.tokens[decoding], export.tokens[decoding]
    said, text = original.texts[decoding], export.texts[decoding]
    if reference.tokenizer.decode(after).strip() != text:
        # Whatever its tokens are worth, the export spells them otherwise.
        return Pair(said, text, math.inf)
    margin = 0.0
    if before != after:
        own, other = (reference.score(original.encoded, decoding, tokens) for tokens in (before, after))
        margin = own - other
    return Pair(said, text, margin)
