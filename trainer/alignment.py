"""Which words of a hypothesis stand for which of the reference: the picture of a row's word errors."""

from dataclasses import dataclass
from enum import StrEnum

import jiwer


class Kind(StrEnum):
    """What happened to a stretch of words; the values are jiwer's."""

    EQUAL = "equal"
    SUBSTITUTED = "substitute"
    DELETED = "delete"
    INSERTED = "insert"


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one kind: its words in the reference (none if inserted) and in the hypothesis (none if deleted)."""

    kind: Kind
    reference: str
    hypothesis: str


def align(reference: str, hypothesis: str) -> tuple[Piece, ...]:
    """The pieces of two normalised texts, in order: together they are all words of both; () for two empty texts."""
    output = jiwer.process_words(reference, hypothesis)
    words, heard = output.references[0], output.hypotheses[0]
    return tuple(
        Piece(
            Kind(chunk.type),
            " ".join(words[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(heard[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in output.alignments[0]
    )
