"""Errors of long recordings are told apart, and times are compared where both begin or end at the same word."""

import pytest

from shared.errors import UsageError
from trainer.evaluation.long_inputs import read_recordings
from trainer.evaluation.long_scoring import LongErrors, Segment, score_long

SAID = [Segment("Eins zwei drei.", 0.0, 2.0), Segment("Vier fünf sechs.", 3.0, 5.0)]


@pytest.mark.parametrize(
    ("heard", "subst", "deleted", "inserted", "repeated"),
    [
        ("eins zwei drei vier fünf sechs", 0, 0, 0, 0),
        ("eins zwei drei", 0, 3, 0, 0),
        ("eins zwei drei eins zwei drei vier fünf sechs", 0, 0, 0, 3),
        ("eins zwei drei und vier fünf sechs", 0, 0, 1, 0),
        ("eins zwo drei vier fünf sechs", 1, 0, 0, 0),
        ("", 0, 6, 0, 0),
    ],
)
def test_deletions_insertions_and_repeats_are_counted_apart(heard, subst, deleted, inserted, repeated):
    found = score_long(SAID, [Segment(heard)])
    assert (found.substitutions, found.deletions, found.insertions, found.repeats) == (
        subst,
        deleted,
        inserted,
        repeated,
    )
    assert found.wer == (subst + deleted + inserted + repeated) / 6


def test_times_are_compared_at_the_same_words_only():
    found = score_long(SAID, [Segment("eins zwei", 0.1, 1.0), Segment("drei", 1.5, 2.2), Segment("vier", 3.05, 3.5)])
    assert sorted(found.offsets_ms) == pytest.approx([50.0, 100.0, 200.0])
    assert found.offset_ms(50) == pytest.approx(100.0)
    assert score_long([Segment("eins zwei")], [Segment("eins zwei", 0.0, 1.0)]).offset_ms(50) is None


def test_words_where_nothing_was_said_are_insertions():
    assert score_long([], [Segment("Vielen Dank", 0.0, 1.0)]) == LongErrors(insertions=2)


def test_folders_and_tables_are_read_and_what_is_missing_is_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    (tmp_path / "a.txt").write_text("Eins zwei.")
    (found,) = read_recordings(tmp_path)
    assert (found.path.name, found.reference) == ("a.wav", [Segment("Eins zwei.")])
    table = tmp_path / "t.jsonl"
    table.write_text(
        '{"audio": "a.wav", "segments": [{"start": 0, "end": 1.5, "text": "Eins"}]}\n\n{"audio": "b.wav"}\n'
    )
    with pytest.raises(UsageError, match="line 3: no recording"):
        read_recordings(table)
    table.write_text('{"audio": "b.wav", "text": "x"}')
    with pytest.raises(UsageError, match=r"b\.wav, which is not there"):
        read_recordings(table)
