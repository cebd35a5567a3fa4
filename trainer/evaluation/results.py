"""An evaluation worked out: every model's rates and intervals, against the baseline, and its worst rows. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.bootstrap import (
    FEW_ROWS,
    RESAMPLES,
    ConfidenceInterval,
    PairedDifference,
    paired_difference,
    rate_interval,
)
from trainer.evaluation.inputs import EvaluationFacts, EvaluationRow, ModelTranscripts
from trainer.evaluation.scoring import (
    AlignedWords,
    ErrorCounts,
    Normaliser,
    align,
    count_errors,
    normalise,
    rates,
    rows_by,
)
from trainer.telemetry.records import WordErrors

DETAIL_NORMALISER = Normaliser.BASIC
"""What courses over clip length and worst rows are scored with; every table and plot says so."""
WORST_ROWS = 20
_MOST_BINS = 8
_Counts = Mapping[Normaliser, ErrorCounts]


@dataclass(frozen=True, slots=True)
class Score:
    """Rates over *rows* clips, and the 95 % interval of the WER."""

    errors: WordErrors
    interval: ConfidenceInterval
    rows: int


@dataclass(frozen=True, slots=True)
class DurationScore:
    """The score, under `DETAIL_NORMALISER`, of clips from *shortest* to *longest* seconds; *mean* is their mean."""

    shortest: float
    longest: float
    mean: float
    score: Score


@dataclass(frozen=True, slots=True)
class WorstRow:
    """A row with *errors* in *words* under `DETAIL_NORMALISER`, which *pieces* show."""

    row: EvaluationRow
    hypothesis: str
    errors: int
    words: int
    pieces: tuple[AlignedWords, ...]


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model: scores by normaliser, overall and by source (by name), and WER differences from the baseline.

    *by_set* has the scores of each test set, in the order in which they were named; {} where there is but one.
    *against_baseline* is None for the baseline itself and where there is none. *worst* has the rows with most errors.
    """

    transcripts: ModelTranscripts
    overall: Mapping[Normaliser, Score]
    by_source: Mapping[str, Mapping[Normaliser, Score]]
    by_duration: Sequence[DurationScore]
    against_baseline: Mapping[Normaliser, PairedDifference] | None
    worst: Sequence[WorstRow]
    by_set: Mapping[str, Mapping[Normaliser, Score]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.transcripts.name


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """All models on the same rows; *resamples* and *seed* are the bootstrap's."""

    facts: EvaluationFacts
    models: Sequence[ModelResult]
    resamples: int
    seed: int

    @property
    def names(self) -> list[str]:
        """The models' names, in their order."""
        return [model.name for model in self.models]

    @property
    def few_rows(self) -> bool:
        """True when an interval stands on too few rows to be relied on."""
        scores = (by_name for model in self.models for by_name in model.by_source.values())
        return any(score.rows < FEW_ROWS for by_name in scores for score in by_name.values())


@dataclass(frozen=True, slots=True)
class _Bootstrap:
    resamples: int
    seed: int

    def score(self, counts: ErrorCounts) -> Score:
        interval = rate_interval(counts.word_errors, counts.words, resamples=self.resamples, seed=self.seed)
        return Score(rates(counts), interval, len(counts))

    def against(self, baseline: ErrorCounts, counts: ErrorCounts) -> PairedDifference:
        errors = (baseline.word_errors, counts.word_errors, counts.words)
        return paired_difference(*errors, resamples=self.resamples, seed=self.seed)


def evaluate_transcripts(facts: EvaluationFacts, *, resamples: int = RESAMPLES, seed: int = 0) -> EvaluationResult:
    """Scores all models of *facts*; the same arguments give the same result."""
    references = [row.reference for row in facts.rows]
    counts = {
        model.name: {name: count_errors(references, model.hypotheses, name) for name in Normaliser}
        for model in facts.models
    }
    baseline = counts.get(facts.baseline) if facts.baseline is not None else None
    bootstrap = _Bootstrap(resamples, seed)
    results = []
    for model in facts.models:
        compared = None if model.name == facts.baseline else baseline
        results.append(_model_result(facts.rows, model, counts[model.name], compared, bootstrap=bootstrap))
    return EvaluationResult(facts, results, resamples, seed)


def _model_result(
    rows: Sequence[EvaluationRow],
    model: ModelTranscripts,
    counts: _Counts,
    baseline: _Counts | None,
    *,
    bootstrap: _Bootstrap,
) -> ModelResult:
    compared = None
    if baseline is not None:
        compared = {name: bootstrap.against(baseline[name], counted) for name, counted in counts.items()}
    return ModelResult(
        transcripts=model,
        overall={name: bootstrap.score(counted) for name, counted in counts.items()},
        by_source=_by_group([row.source for row in rows], counts, bootstrap),
        by_duration=_by_duration(rows, counts[DETAIL_NORMALISER], bootstrap),
        against_baseline=compared,
        worst=_worst(rows, model.hypotheses, counts[DETAIL_NORMALISER]),
        by_set=_by_set([row.test_set for row in rows], counts, bootstrap),
    )


def _by_set(names: Sequence[str], counts: _Counts, bootstrap: _Bootstrap) -> dict[str, dict[Normaliser, Score]]:
    """In the order in which they come; nothing where there is but one."""
    order = list(dict.fromkeys(names))
    groups = _by_group(names, counts, bootstrap) if order[1:] else {}
    return {name: groups[name] for name in order if name in groups}


def _by_group(names: Sequence[str], counts: _Counts, bootstrap: _Bootstrap) -> dict[str, dict[Normaliser, Score]]:
    """The scores of the rows of every name, names in their own order."""
    return {
        group: {name: bootstrap.score(counted.take(places)) for name, counted in counts.items()}
        for group, places in rows_by(names).items()
    }


def _by_duration(rows: Sequence[EvaluationRow], counts: ErrorCounts, bootstrap: _Bootstrap) -> list[DurationScore]:
    """Up to eight bins with as many clips each, shortest clips first; rows of unknown duration are left out."""
    durations = np.array([np.nan if row.duration is None else row.duration for row in rows])
    known = np.flatnonzero(np.isfinite(durations))
    if not len(known):
        return []
    order: NDArray[np.intp] = known[np.argsort(durations[known], kind="stable")]
    number = min(_MOST_BINS, max(1, len(order) // FEW_ROWS))
    return [
        DurationScore(
            shortest=float(durations[members[0]]),
            longest=float(durations[members[-1]]),
            mean=float(durations[members].mean()),
            score=bootstrap.score(counts.take(members)),
        )
        for members in np.array_split(order, number)
    ]


def _worst(rows: Sequence[EvaluationRow], hypotheses: Sequence[str], counts: ErrorCounts) -> list[WorstRow]:
    """Rows with most word errors first: those weigh most in the WER, and loops and inventions are among them."""
    order = np.lexsort((np.arange(len(rows)), counts.words, -counts.word_errors))[:WORST_ROWS]
    return [
        WorstRow(
            row=rows[place],
            hypothesis=hypotheses[place],
            errors=int(counts.word_errors[place]),
            words=int(counts.words[place]),
            pieces=align(
                normalise(rows[place].reference, DETAIL_NORMALISER), normalise(hypotheses[place], DETAIL_NORMALISER)
            ),
        )
        for place in order.tolist()
        if counts.word_errors[place]
    ]
