"""Which rows look wrong, and in which way: what a model made of them against what it made of the others. Pure.

Every sign is told in spreads: how far a row lies beyond the median of all, where 1 is how far the worst tenth begins
beyond it. So a model that is unsure throughout, or a corpus without full stops, makes no row suspicious. Signs add up
as sides of a right angle do (the root of their squares' sum): one strong sign is enough, and several weak ones tell
more than each. The strongest names the suspicion. More than a tenth of wrong rows would pass for normal.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trainer.auditing.listener import Heard

_WORST_TENTH = 0.9
_LEAST_SPREAD = {"loss": 0.2, "head": 0.5, "tail": 0.5, "end": 0.5, "language": 0.5, "no_speech": 0.5, "errors": 0.1}
"""Nats, and errors per character: where nearly all rows are alike, less than this is no difference."""
_HALF = ("language", "no_speech")
"""Signs that count half: a model is often unsure of the language of a short clip, and of silence in a noisy one."""
_QUIET = -0.5
"""log-mel that speech passes, however softly it was recorded: a millionth of a full-scale tone's power."""
_QUIET_SPREAD = 0.1
_LEAST_PROBABILITY = 1e-6


class Suspicion(StrEnum):
    """What a row looks like; the values are written to the tables."""

    MISLABELLED = "mislabelled"
    CUT_OFF = "cut off"
    FOREIGN = "foreign"
    SILENT = "silent"


_MEANS = {
    "loss": Suspicion.MISLABELLED,
    "errors": Suspicion.MISLABELLED,
    "head": Suspicion.CUT_OFF,
    "tail": Suspicion.CUT_OFF,
    "end": Suspicion.CUT_OFF,
    "language": Suspicion.FOREIGN,
    "no_speech": Suspicion.SILENT,
    "quiet": Suspicion.SILENT,
}


@dataclass(frozen=True, slots=True)
class Ranking:
    """*order* has the places of all rows, worst first; *score* float64[rows] and *suspicion* are by place."""

    order: NDArray[np.intp]
    score: NDArray[np.float64]
    suspicion: list[Suspicion]


def rank(heard: Heard, errors: NDArray[np.float64] | None = None) -> Ranking:
    """The rows that were *heard*, worst first; *errors* per character where all of them were transcribed."""
    signs = _signs(heard, errors)
    names, values = list(signs), np.stack(list(signs.values()))
    strongest = values.argmax(axis=0)
    score = np.sqrt(np.square(np.maximum(values, 0.0)).sum(axis=0))
    suspicion = [_MEANS[names[number]] for number in strongest.tolist()]
    return Ranking(np.argsort(-score, kind="stable"), score, suspicion)


def _signs(heard: Heard, errors: NDArray[np.float64] | None) -> Mapping[str, NDArray[np.float64]]:
    """By sign, how strong it is in every row."""
    surprise = {
        "loss": heard.loss,
        "head": heard.head,
        "tail": heard.tail,
        "end": heard.end,
        "language": -np.log(np.maximum(heard.language, _LEAST_PROBABILITY)),
        "no_speech": -np.log(np.maximum(1 - heard.no_speech, _LEAST_PROBABILITY)),
    }
    if errors is not None:
        surprise["errors"] = errors
    signs = {name: _spreads(values.astype(np.float64), _LEAST_SPREAD[name]) for name, values in surprise.items()}
    signs |= {name: signs[name] / 2 for name in _HALF}
    return signs | {"quiet": (_QUIET - heard.peak.astype(np.float64)) / _QUIET_SPREAD}


def _spreads(values: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """How many spreads each of *values* lies beyond their median; a value that is no number beyond all others."""
    finite = np.where(np.isfinite(values), values, np.finfo(np.float32).max)
    median, worst = np.quantile(finite, [0.5, _WORST_TENTH]) if len(finite) else (0.0, 0.0)
    return np.asarray((finite - median) / max(worst - median, least), np.float64)
