"""The allow-list and its documentation are one, and FFmpeg knows every name."""

import re
from pathlib import Path

from av.format import ContainerFormat

from preprocess.audio.formats import DEMUXERS, STATES_LENGTH

DOCUMENT = Path(__file__).parents[3] / "docs" / "formats.md"


def test_every_demuxer_of_the_list_stands_in_the_table_and_no_other_does():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    named = {word for row in rows for words in re.findall(r"`([a-z0-9 ]+)`", row) for word in words.split()}
    assert named - {"data"} == set(DEMUXERS)


def test_ffmpeg_has_every_demuxer_of_the_list():
    assert all(ContainerFormat(name, "r").is_input for name in DEMUXERS)
    assert set(DEMUXERS) >= STATES_LENGTH
