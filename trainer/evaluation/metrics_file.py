"""An evaluation as plain values: what `metrics.json` holds. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from trainer.evaluation.bootstrap import LEVEL, ConfidenceInterval
from trainer.evaluation.results import DETAIL_NORMALISER, EvaluationResult, ModelResult, Score
from trainer.evaluation.scoring import Normaliser

NORMALISERS = {
    Normaliser.RAW: "as written; only white space, control characters and Unicode composition are evened out",
    Normaliser.BASIC: "Whisper's BasicTextNormalizer: lower case, no punctuation, nothing in brackets",
    Normaliser.BASIC_SS: "basic, then ß as ss",
}
"""What every normaliser does, in words."""


def metrics(result: EvaluationResult) -> dict[str, Any]:
    """The content of `metrics.json`: plain values; rates and differences are shares, 1 is 100 %.

    Every rate stands below the name of its normaliser.
    """
    facts = result.facts
    return {
        "title": facts.title,
        "decoding": facts.decoding or None,
        "rows": len(facts.rows),
        "audio_seconds": facts.audio_seconds,
        "baseline": facts.baseline,
        "normalisers": {str(name): words for name, words in NORMALISERS.items()},
        "bootstrap": {"level": LEVEL, "resamples": result.resamples, "seed": result.seed},
        "models": [_model_metrics(model) for model in result.models],
    }


def _model_metrics(model: ModelResult) -> dict[str, Any]:
    run = model.transcripts
    compared = model.against_baseline
    return {
        "name": model.name,
        "decoding": run.decoding or None,
        "remarks": list(run.remarks),
        "real_time_factor": run.real_time_factor,
        "silence": run.silence and {**asdict(run.silence), "examples": list(run.silence.examples)},
        "overall": _scores(model.overall),
        "by_set": {test_set: _scores(scores) for test_set, scores in model.by_set.items()},
        "by_source": {source: _scores(scores) for source, scores in model.by_source.items()},
        "by_duration": [
            {"shortest": found.shortest, "longest": found.longest, **_scores({DETAIL_NORMALISER: found.score})}
            for found in model.by_duration
        ],
        "against_baseline": compared
        and {
            str(name): {
                "wer_difference": found.difference,
                "wer_difference_interval": _ends(found.interval),
                "p_value": found.p_value,
            }
            for name, found in compared.items()
        },
    }


def _scores(scores: Mapping[Normaliser, Score]) -> dict[str, Any]:
    return {
        str(name): {**asdict(score.errors), "wer_interval": _ends(score.interval), "rows": score.rows}
        for name, score in scores.items()
    }


def _ends(interval: ConfidenceInterval) -> list[float]:
    return [interval.low, interval.high]
