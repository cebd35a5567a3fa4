"""What figures and models that look odd mean, in a sentence each. Pure."""

from collections.abc import Iterator

from trainer.evaluation.results import EvaluationResult, ModelResult
from trainer.evaluation.scoring import Normaliser

OVER_ALL = (
    "a WER over 100 % means more wrong words than were said: the model repeats itself, hears another language, or does "
    "not know speech at all"
)


def hints(result: EvaluationResult) -> list[str]:
    """What to know before the figures of *result* are believed; [] for usual ones."""
    return list(_hints(result))


def _hints(result: EvaluationResult) -> Iterator[str]:
    for model in result.models:
        yield from (f"{model.name}: {remark}" for remark in model.transcripts.remarks)
        if where := _over_all(model):
            yield f"{model.name}{where[0]}: {OVER_ALL}; look at its worst rows, and at --language of the store"


def _over_all(model: ModelResult) -> list[str]:
    """Over which rows the WER is over 100 %, in words: all together, or those of some test sets; [] for none."""
    if model.overall[Normaliser.RAW].errors.wer > 1:
        return [""]
    sets = [name for name, scores in model.by_set.items() if scores[Normaliser.RAW].errors.wer > 1]
    return [f", on {' and '.join(sets)}"] if sets else []
