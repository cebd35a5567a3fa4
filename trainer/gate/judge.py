"""Whether an export says what the original says: the decision, from transcripts and figures that others made. Pure.

Three things are judged. The files around the weights must be what the checkpoint asks for. The encoder's output and the
next token's distribution after the reference's own tokens (teacher forcing) must be those of the original but for
rounding: a changed weight shows there before it shows in words. And the transcripts must be equal, as RealtimeSTT
decodes: at least 97 % of them, with word error rates at most 0.1 points apart. int8 by itself is a choice of size over
accuracy: 80 % of them, and 1 point.

A beam search takes the better of two transcripts even where they are equally good, so rounding may tip it. One that the
original itself finds as good as its own, within `TOSS_UP`, is therefore no difference; it is counted and shown.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import median

from trainer.evaluation.scoring import Normaliser, count_errors, rates, score_all
from trainer.gate.verdict import Agreement, Comparison, Decoding, Figures, GateVerdict, Limits, Tolerance

ROUNDING = Tolerance(equal=0.97, difference=0.001)
"""Transcripts may differ by what rounding to 16 bits explains."""
_INT8 = Tolerance(equal=0.8, difference=0.01)
_WORST = 5
"""Rows that are named."""
JUDGED_BY = Normaliser.RAW
_LAST_BIT = 1e-9
"""What is exactly 0.1 points must not fail by the rounding of a difference."""


def tolerance(stored: str, computed: str) -> Tolerance:
    """How far transcripts may differ for weights *stored* and *computed* as these types.

    Least for floating point weights, and for int8 with 16-bit arithmetic where the hardware has it.
    """
    exact = "int" not in stored or (stored in {"int8_float16", "int8_bfloat16"} and computed == stored)
    return ROUNDING if exact else _INT8


def limits(stored: str, computed: str) -> Limits:
    """What rounding explains of weights *stored* and *computed* as these types.

    With room for larger models over what a fine-tuned whisper-base showed on a CPU: 5e-6 and 0 for float32, 2e-3 and
    6e-7 for float16 computed in float32, 8e-3 and 8e-6 for bfloat16, 6e-2 and 6e-4 for int8; one negated filter of its
    first convolution showed 2e-2 to 0.15. 16-bit arithmetic has fewer digits than storage.
    """
    if "int" in stored:
        return Limits(0.2, 0.05, 0.9)
    if "bfloat16" in {stored, computed}:
        return Limits(0.03, 2e-3, 0.95)
    if computed == "float16":
        return Limits(0.03, 2e-3, 0.98)
    return Limits(1e-2, 1e-5, 0.99) if stored == "float16" else Limits(1e-4, 1e-7, 0.99)


def judge(stored: str, computed: str, file_problems: Sequence[str], rows: Sequence[Comparison]) -> GateVerdict:
    """The verdict on an export *stored* and *computed* as these types; without *rows* its files alone are judged."""
    allowed = tolerance(stored, computed)
    if not rows:
        return GateVerdict(allowed, list(file_problems), None, [], [])
    figures = _figures(rows, limits(stored, computed))
    agreements = [_agreement(rows, decoding) for decoding in rows[0].pairs]
    worst = _worst(rows)
    problems = [*file_problems, *_figure_problems(rows, figures), *_transcript_problems(agreements, worst, allowed)]
    return GateVerdict(allowed, problems, figures, agreements, worst)


def _typical(errors: Sequence[float]) -> float:
    """The median, or a tenth of the worst where that is more: rounding hits some clips ten times harder than others.

    What is no number is the worst there is.
    """
    return max(median(errors), max(errors) / 10) if all(map(math.isfinite, errors)) else math.inf


def _figures(rows: Sequence[Comparison], allowed: Limits) -> Figures:
    tokens = sum(row.tokens for row in rows)
    return Figures(
        encoder_error=_typical([row.encoder_error for row in rows]),
        divergence=sum(row.divergence * row.tokens for row in rows) / tokens,
        same_tokens=sum(row.same_tokens for row in rows) / tokens,
        limits=allowed,
    )


def _figure_problems(rows: Sequence[Comparison], figures: Figures) -> Iterator[str]:
    allowed = figures.limits
    if not figures.encoder_error <= allowed.encoder_error:
        yield (
            f"the encoder's output is off by {figures.encoder_error:.2g} of its size, rounding explains "
            f"{allowed.encoder_error:.2g}; most in {_names(rows, lambda row: row.encoder_error)}"
        )
    if not figures.divergence <= allowed.divergence:
        yield (
            f"the next token's probabilities diverge by {figures.divergence:.2g} nats, rounding explains "
            f"{allowed.divergence:.2g}; most in {_names(rows, lambda row: row.divergence)}"
        )
    if not figures.same_tokens >= allowed.same_tokens:
        yield (
            f"the likeliest next token is the same in {100 * figures.same_tokens:.1f} % of places, at least "
            f"{100 * allowed.same_tokens:.0f} % are expected; most others came in "
            f"{_names(rows, lambda row: row.tokens - row.same_tokens)}"
        )


def _names(rows: Sequence[Comparison], size: Callable[[Comparison], float]) -> str:
    """The rows whose *size* is largest, in words; NaN is the largest there is."""
    sizes = [(size(row), row.row_id) for row in rows]
    order = sorted((-value if math.isfinite(value) else -math.inf, name) for value, name in sizes)
    return ("rows " if len(order) > 1 else "row ") + ", ".join(str(name) for _, name in order[:_WORST])


def _agreement(rows: Sequence[Comparison], decoding: Decoding) -> Agreement:
    pairs = [row.pairs[decoding] for row in rows]
    references = [row.reference for row in rows]
    original, export = [pair.original for pair in pairs], [pair.export for pair in pairs]
    settled = [pair.original if pair.toss_up else pair.export for pair in pairs]
    before, after, judged = (
        rates(count_errors(references, texts, JUDGED_BY)).wer for texts in (original, export, settled)
    )
    return Agreement(
        decoding=decoding,
        rows=len(rows),
        equal=sum(pair.equal for pair in pairs),
        toss_ups=sum(pair.toss_up for pair in pairs),
        original=score_all(references, original),
        export=score_all(references, export),
        difference=after - before,
        settled=judged - before,
    )


def _worst(rows: Sequence[Comparison]) -> list[Comparison]:
    """The rows whose transcripts differ by most words, toss-ups last; of rows without a difference none."""
    return sorted((row for row in rows if any(not pair.equal for pair in row.pairs.values())), key=_badness)[:_WORST]


def _badness(row: Comparison) -> tuple[bool, int, int]:
    pairs = row.pairs.values()
    settled = all(pair.equal or pair.toss_up for pair in pairs)
    originals, exports = zip(*((pair.original, pair.export) for pair in pairs), strict=True)
    return settled, -int(count_errors(originals, exports, JUDGED_BY).word_errors.sum()), row.row_id


def _transcript_problems(
    agreements: Sequence[Agreement], worst: Sequence[Comparison], allowed: Tolerance
) -> Iterator[str]:
    rows = ("most in rows " if len(worst) > 1 else "most in row ") + ", ".join(str(row.row_id) for row in worst)
    for found in agreements:
        differ = found.rows - found.equal - found.toss_ups
        if found.share < allowed.equal:
            yield (
                f"{differ} of {found.rows} transcripts ({found.decoding}) differ, at most "
                f"{100 * (1 - allowed.equal):.0f} % may; {rows}"
            )
        if abs(found.settled) > allowed.difference + _LAST_BIT:
            yield (
                f"the WER ({JUDGED_BY}, {found.decoding}) is {100 * found.settled:+.2f} points off the original's, at "
                f"most {100 * allowed.difference:.1f} are allowed; {rows}"
            )
