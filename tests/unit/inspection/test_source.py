"""What is told of single rows of a source."""

import pytest

from preprocess.inspection.screen import _sampled
from preprocess.inspection.source import ClipFacts, Rules, clip_facts
from preprocess.sources.base import SourceRow
from tests.support.recordings import ffmpeg


@pytest.mark.parametrize(("max_seconds", "usable"), [(10.0, True), (9.9, False)])
def test_a_codecs_padding_makes_no_clip_too_long_that_a_run_takes(tmp_path, max_seconds, usable):
    path = tmp_path / "a.mp3"
    ffmpeg("-f", "lavfi", "-i", "sine=d=10", "-ar", "16000", "-c:a", "libmp3lame", "-write_xing", "0", str(path))
    row = SourceRow(0, path.read_bytes(), "a.mp3", "Zehn Sekunden", "korpus")
    assert (clip_facts(row, Rules(max_seconds)).rejected == "") == usable


@pytest.mark.parametrize(("bad", "last"), [(3, "would be quarantined: row 2, too_long"), (4, "and 1 more of them")])
def test_rows_that_would_be_quarantined_are_named_up_to_three_and_the_others_counted(bad, last):
    clips = [ClipFacts(row, "a.wav", "", "Satz", "WAV", 9, 1.0, 100, "too_long") for row in range(bad)]
    assert _sampled("train", clips)[-1].plain == last
