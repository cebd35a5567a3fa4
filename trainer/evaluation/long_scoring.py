"""What a long recording's transcript gets wrong: deletions, insertions and repeats apart, and its times in ms. Pure.

Words are compared under Whisper's basic normaliser. A repeat is an inserted stretch that says what stands right before
or after it once more: what loops and overlapping windows leave.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import jiwer
import numpy as np

from trainer.evaluation.scoring import Normaliser, normalise


@dataclass(frozen=True, slots=True)
class Segment:
    """*text* from *start* to *end*, in seconds from the recording's beginning; None where nobody knows."""

    text: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, slots=True)
class LongErrors:
    """Word errors against *words* of the reference; *repeats* are inserted words that repeat, *insertions* the others.

    *offsets_ms* are how far starts and ends are from the reference's, where a segment begins or ends at the same word.
    """

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    repeats: int = 0
    offsets_ms: Sequence[float] = field(default_factory=tuple)

    def __add__(self, other: "LongErrors") -> "LongErrors":
        return LongErrors(
            self.words + other.words,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.repeats + other.repeats,
            (*self.offsets_ms, *other.offsets_ms),
        )

    @property
    def wer(self) -> float:
        """All errors by the words of the reference; 1 is 100 %."""
        errors = self.substitutions + self.deletions + self.insertions + self.repeats
        return errors / max(1, self.words)

    def offset_ms(self, percent: float) -> float | None:
        """The offset that *percent* of all stay below; None where there is none."""
        return float(np.percentile(self.offsets_ms, percent)) if self.offsets_ms else None


def score_long(reference: Sequence[Segment], heard: Sequence[Segment]) -> LongErrors:
    """The errors of the segments that were *heard*, both in order."""
    said, found = _words(reference), _words(heard)
    chunks = jiwer.process_words(" ".join(said), " ".join(found)).alignments[0] if said else []
    inserted = [(c.hyp_start_idx, c.hyp_end_idx) for c in chunks if c.type == "insert"]
    repeats = sum(stop - start for start, stop in inserted if _is_repeat(found, start, stop))
    all_inserted = sum(stop - start for start, stop in inserted) if said else len(found)
    return LongErrors(
        words=len(said),
        substitutions=sum(c.ref_end_idx - c.ref_start_idx for c in chunks if c.type == "substitute"),
        deletions=sum(c.ref_end_idx - c.ref_start_idx for c in chunks if c.type == "delete"),
        insertions=all_inserted - repeats,
        repeats=repeats,
        offsets_ms=tuple(_offsets(reference, heard, chunks)),
    )


def _words(segments: Sequence[Segment]) -> list[str]:
    return [word for segment in segments for word in normalise(segment.text, Normaliser.BASIC).split()]


def _is_repeat(words: Sequence[str], start: int, stop: int) -> bool:
    stretch, length = words[start:stop], stop - start
    return stretch in (words[max(0, start - length) : start], words[stop : stop + length])


def _offsets(
    reference: Sequence[Segment], heard: Sequence[Segment], chunks: Sequence[jiwer.AlignmentChunk]
) -> Iterator[float]:
    """Milliseconds between edges at words that both have: a segment's first word begins it, its last one ends it."""
    same = {
        chunk.ref_start_idx + step: chunk.hyp_start_idx + step
        for chunk in chunks
        if chunk.type == "equal"
        for step in range(chunk.ref_end_idx - chunk.ref_start_idx)
    }
    for expected, found in zip(_edges(reference), _edges(heard), strict=True):
        for place, seconds in expected.items():
            other = found.get(same.get(place, -1))
            if other is not None:
                yield 1_000 * abs(other - seconds)


def _edges(segments: Sequence[Segment]) -> tuple[dict[int, float], dict[int, float]]:
    """Seconds by the word that begins there, and by the word that ends there."""
    starts, ends, place = {}, {}, 0
    for segment in segments:
        count = len(_words([segment]))
        if count and segment.start is not None:
            starts[place] = segment.start
        if count and segment.end is not None:
            ends[place + count - 1] = segment.end
        place += count
    return starts, ends
