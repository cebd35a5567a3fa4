"""Rows are ranked by all of their signs, each told in how far the worst tenth of all rows lies from the median."""

from dataclasses import fields, replace

import numpy as np
import pytest

from trainer.auditing.listener import Heard, _parts
from trainer.auditing.ranking import Suspicion, rank

RIGHT = {"loss": 0.4, "head": 0.5, "tail": 0.3, "end": 0.1, "language": 0.99, "no_speech": 0.01, "peak": 1.2}


def corpus(rows=200, seed=0):
    """What a good model makes of right rows: all a little apart."""
    rng = np.random.default_rng(seed)
    values = {name: value + 0.01 * rng.random(rows) for name, value in RIGHT.items()}
    return Heard(**{name: np.minimum(found, 1.5).astype(np.float32) for name, found in values.items()})


def spoiled(row, **signs):
    heard = corpus()
    changed = {name: getattr(heard, name).copy() for name in signs}
    for name, value in signs.items():
        changed[name][row] = value
    return replace(heard, **changed)


@pytest.mark.parametrize(
    ("signs", "suspicion"),
    [
        ({"loss": 5.0, "head": 5.0, "tail": 5.0}, Suspicion.MISLABELLED),
        ({"end": 7.0}, Suspicion.CUT_OFF),
        ({"tail": 6.0, "loss": 0.6}, Suspicion.CUT_OFF),
        ({"head": 6.0, "loss": 0.6}, Suspicion.CUT_OFF),
        ({"language": 0.01}, Suspicion.FOREIGN),
        ({"language": 0.0}, Suspicion.FOREIGN),
        ({"no_speech": 0.99}, Suspicion.SILENT),
        ({"peak": -1.5}, Suspicion.SILENT),
    ],
)
def test_one_row_that_is_wrong_comes_first_and_its_kind_is_named(signs, suspicion):
    ranking = rank(spoiled(17, **signs))
    assert (ranking.order[0], ranking.suspicion[17]) == (17, suspicion)
    assert ranking.score[17] > 4


def test_a_model_that_is_unsure_throughout_suspects_nobody_for_it():
    sure, unsure = corpus(), corpus()
    unsure = replace(unsure, loss=unsure.loss + 3, end=unsure.end + 4, language=unsure.language - 0.6)
    assert np.allclose(rank(sure).score, rank(unsure).score, atol=0.5)


def test_several_weaker_signs_come_before_a_single_one_and_one_strong_one_before_them():
    # Each of the three is weaker than the end of row 6.
    heard = spoiled(5, loss=1.1, head=2.0, tail=1.8)
    for row, end in ((6, 2.1), (7, 9.0)):
        heard.end[row] = end
    assert rank(heard).order[:3].tolist() == [7, 5, 6]


def test_a_loss_that_is_no_number_comes_first():
    assert rank(spoiled(3, loss=np.nan)).order[0] == 3
    assert rank(spoiled(4, end=np.inf)).order[0] == 4


def test_what_was_heard_otherwise_counts_where_all_were_transcribed():
    errors = np.zeros(200)
    errors[50] = 0.9
    assert rank(corpus(), errors).order[0] == 50
    assert rank(corpus(), np.zeros(200)).order[:100].tolist() == rank(corpus()).order[:100].tolist()


def test_equal_rows_keep_their_order_and_a_single_row_is_ranked():
    alike = Heard(*(np.full(5, RIGHT[entry.name], np.float32) for entry in fields(Heard)))
    assert rank(alike).order.tolist() == [0, 1, 2, 3, 4]
    one = Heard(*(np.full(1, RIGHT[entry.name], np.float32) for entry in fields(Heard)))
    assert rank(one).order.tolist() == [0]


def test_a_rows_losses_are_those_of_its_text_and_its_end_not_of_the_prompt():
    losses = np.array([90, 91, 92, 1, 2, 3, 4, 5, 6, 7, 8, 50], np.float32)
    assert _parts(losses) == (4.5, 1.5, 7.5, 50.0)
    assert _parts(np.array([90, 91, 92, 3, 50], np.float32)) == (3.0, 3.0, 3.0, 50.0)
    assert _parts(np.array([90, 91, 92, 50], np.float32)) == (50.0,) * 4
