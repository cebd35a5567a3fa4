"""Clips over the window are counted with their hours, whatever became of them."""

import pytest

from preprocess.features.long_clips import LongClips, stated_seconds


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("43.000 s; the limit is 30 s", (43.0, True)),
        ("1,234.500 s; the limit is 30 s", (1234.5, True)),
        ("3 parts of 31.250 s and more; the limit is 30 s", (31.25, False)),
        ("goes on after 480,001 frames; the limit is 30 s", (30.0, False)),
        ("goes on after a change of its rate or channels; the limit is 42.5 s", (42.5, False)),
        ("something else", (0.0, False)),
    ],
)
def test_a_message_tells_the_length_or_the_least_of_it(message, found):
    assert stated_seconds(message) == found


def test_both_kinds_have_a_line_with_their_hours_and_what_else_is_possible():
    found = LongClips.counted(30.0, [4.0, 30.0, 43.0], [(7200.0, True), (30.0, False), (25.0, True), (30.0, True)])
    assert (found.kept, found.left_out) == (1, 2)
    kept, left_out = found.lines
    assert kept == "over 30 s: 1 kept whole, 43 s; to train: --allow-long-context"
    assert left_out == "over 30 s: 2 left out, at least 2.0 h; --long-audio keep or split has them"
    assert len(left_out) < 80


def test_recordings_that_are_split_have_a_line_with_their_pieces():
    (line,) = LongClips.counted(30.0, [4.0], [], [(2, 45.0), (3, 75.0)]).lines
    assert line == "over 30 s: 2 split into 5 pieces, 2 min 00 s; trained on as rows"
    assert len(line) < 80


def test_a_sample_is_scaled_up_and_said_to_be_a_guess():
    (line,) = LongClips.counted(30.0, [40.0], []).scaled(90.0).lines
    assert line == "over 30 s: about 90 kept whole, 1.0 h; to train: --allow-long-context"


def test_without_long_clips_nothing_is_said():
    assert LongClips.counted(30.0, [1.0, 30.0], []).lines == []
