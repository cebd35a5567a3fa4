"""Faults that the suite must notice: each is a mistake that somebody could make in our own code.

`planted_campaign.py` plants them one by one; the texts lie in `tests/support/planted/`, by what they break.
"""

from tests.support.planted import governor, guards, models, ranks, row, store, training, work
from tests.support.planted.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *store.FAULTS,
    *governor.FAULTS,
    *guards.FAULTS,
    *work.FAULTS,
    *row.FAULTS,
    *training.FAULTS,
    *ranks.FAULTS,
    *models.FAULTS,
)
