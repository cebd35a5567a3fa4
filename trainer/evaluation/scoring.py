"""The one scorer: word and character errors of transcripts, and where they are, under normalisers that are named.

Errors are Levenshtein distances by jiwer, over words between blanks and over characters with the blanks. A rate is the
errors of all rows against the words (characters) of all references, so long rows count for more than short ones.

A reference may be empty, or be empty once it is normalised: every word of its hypothesis is then an insertion, and the
row adds errors but no words. Where no row has words, the rate is the number of errors, as jiwer has it: 0 for silence
that was left silent. An empty hypothesis deletes every word.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

import jiwer
import numpy as np
from numpy.typing import NDArray

from shared.text import normalise_transcript
from shared.units import format_counted
from trainer.telemetry.records import WordErrors


class Normaliser(StrEnum):
    """What is done to reference and hypothesis alike before they are compared; the value stands beside every figure."""

    RAW = "raw"
    """As a store holds transcripts: white space folded, NFC, no control characters; case and punctuation count."""
    BASIC = "basic"
    """Whisper's `BasicTextNormalizer`: lower case, no punctuation, nothing in brackets; umlauts and ß stay."""
    BASIC_SS = "basic+ss"
    """As BASIC, then ß as ss: Swiss spelling, and what the spelling reform of 1996 changed, are no errors."""


@dataclass(frozen=True, slots=True)
class AlignedWords:
    """A stretch of words of one *kind*, which jiwer calls equal, substitute, delete or insert.

    *reference* has its words there (none if inserted), *hypothesis* what was made of them (none if deleted).
    """

    kind: str
    reference: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """Errors and lengths by row, each int64[rows]; *words* and *chars* are those of the normalised references."""

    word_errors: NDArray[np.int64]
    words: NDArray[np.int64]
    char_errors: NDArray[np.int64]
    chars: NDArray[np.int64]

    def __len__(self) -> int:
        """Rows counted."""
        return len(self.words)

    def take(self, rows: NDArray[np.intp]) -> "ErrorCounts":
        """The counts of *rows*, which are positions."""
        return ErrorCounts(self.word_errors[rows], self.words[rows], self.char_errors[rows], self.chars[rows])


def normalise(text: str, normaliser: Normaliser) -> str:
    """*text* as *normaliser* leaves it to be compared, without blanks around it; may be empty."""
    if normaliser is Normaliser.RAW:
        return normalise_transcript(text)
    basic = _basic()(text).strip()
    return basic.replace("ß", "ss") if normaliser is Normaliser.BASIC_SS else basic


def count_errors(references: Sequence[str], hypotheses: Sequence[str], normaliser: Normaliser) -> ErrorCounts:
    """The errors of each row under *normaliser*. Raises ValueError for sequences of different lengths."""
    pairs = [
        (normalise(reference, normaliser), normalise(hypothesis, normaliser))
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    ]
    return ErrorCounts(
        word_errors=_distances(pairs, jiwer.process_words),
        words=np.array([len(reference.split()) for reference, _ in pairs], np.int64),
        char_errors=_distances(pairs, jiwer.process_characters),
        chars=np.array([len(reference) for reference, _ in pairs], np.int64),
    )


def rates(counts: ErrorCounts) -> WordErrors:
    """The error rates over all rows of *counts*."""
    words = int(counts.words.sum())
    return WordErrors(
        wer=int(counts.word_errors.sum()) / max(words, 1),
        cer=int(counts.char_errors.sum()) / max(int(counts.chars.sum()), 1),
        words=words,
    )


def score_all(references: Sequence[str], hypotheses: Sequence[str]) -> dict[str, WordErrors]:
    """The rates under every normaliser, by its value. Raises ValueError for sequences of different lengths."""
    return {str(name): rates(count_errors(references, hypotheses, name)) for name in Normaliser}


def score_by_source(
    references: Sequence[str], hypotheses: Sequence[str], sources: Sequence[str]
) -> dict[str, dict[str, WordErrors]]:
    """For every source, in the order of their names, what `score_all` says of its rows.

    Raises ValueError for sequences of different lengths.
    """
    groups = rows_by(sources)
    if not len(references) == len(hypotheses) == len(sources):
        heard = format_counted(len(hypotheses), "hypothesis", "hypotheses")
        origins = format_counted(len(sources), "source")
        raise ValueError(f"{format_counted(len(references), 'reference')}, {heard}, {origins}")
    counts = {name: count_errors(references, hypotheses, name) for name in Normaliser}
    return {
        source: {str(name): rates(counted.take(rows)) for name, counted in counts.items()}
        for source, rows in groups.items()
    }


def rows_by(keys: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """The positions of every key, keys in their own order."""
    if not keys:
        return {}
    names, places = np.unique(np.array(keys, object), return_inverse=True)
    order = np.argsort(places, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(places))[:-1])
    return dict(zip(names.tolist(), groups, strict=True))


def align(reference: str, hypothesis: str) -> tuple[AlignedWords, ...]:
    """Two normalised texts side by side, in order: together all words of both; () for two empty texts."""
    output = jiwer.process_words(reference, hypothesis)
    words, heard = output.references[0], output.hypotheses[0]
    return tuple(
        AlignedWords(
            chunk.type,
            " ".join(words[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in output.alignments[0]
    )


@cache
def _basic() -> Callable[[str], str]:
    # Seconds to import, for a function that only those need who score.
    from transformers.models.whisper.english_normalizer import BasicTextNormalizer  # noqa: PLC0415 - see above

    normalizer: Callable[[str], str] = BasicTextNormalizer()
    return normalizer


def _distances(
    pairs: Sequence[tuple[str, str]],
    process: Callable[[list[str], list[str]], jiwer.WordOutput | jiwer.CharacterOutput],
) -> NDArray[np.int64]:
    """int64[pairs]: what *process* counts in each; equal texts, most rows of a good model, are not aligned."""
    errors = np.zeros(len(pairs), np.int64)
    wrong = [row for row, (reference, hypothesis) in enumerate(pairs) if reference != hypothesis]
    if wrong:
        output = process([pairs[row][0] for row in wrong], [pairs[row][1] for row in wrong])
        errors[wrong] = [_errors(chunks) for chunks in output.alignments]
    return errors


def _errors(chunks: Sequence[jiwer.AlignmentChunk]) -> int:
    return sum(
        max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
        for chunk in chunks
        if chunk.type != "equal"
    )
