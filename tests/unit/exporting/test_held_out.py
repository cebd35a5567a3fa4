"""Which of a training's stores an export is checked on: the first that has what it was evaluated on."""

from tests.support.samples import feature_row, make_store
from trainer.exporting.run import _held_out


def test_the_first_store_that_has_held_out_clips_is_taken(tmp_path):
    rows = [[feature_row(0)]]
    for name, splits in {"a": {"train": rows}, "b": {"train": rows, "test": rows}, "c": {"train": rows}}.items():
        make_store(tmp_path / name, splits)
    gone, a, b, c = (tmp_path / name for name in ("gone", "a", "b", "c"))
    assert _held_out([gone, a, b, c], None) == b
    assert _held_out([a, c], None) == a
    assert _held_out([c, b], "train") == c
    assert _held_out([gone], None) == gone
    assert _held_out([], None) is None
