"""What is said of a sample: levels as ffmpeg has them, silence and clipping as they were made, the worst rows."""

import re
import subprocess

import numpy as np
import pytest
import soundfile

from preprocess.inspection.clip_measures import QUIETEST_DB, clipped_share, level_db, silent_share
from preprocess.inspection.sample_facts import Heard, odd_characters, sample_facts

NOISE = np.random.default_rng(1).uniform(-0.2, 0.2, 16_000).astype(np.float32)
SILENCE = np.zeros(16_000, np.float32)


def heard(row_id, text="Ein Satz", pace=10.0, **values):
    given = {"seconds": 2.0, "sampling_rate": 16_000, "level_db": -20.0, "clipped": 0.0, "silent": 0.1}
    return Heard(row_id, text=text, pace=pace, **(given | values))


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.01])
def test_levels_are_those_of_ffmpeg(tmp_path, gain):
    soundfile.write(tmp_path / "a.wav", gain * NOISE, 16_000, subtype="PCM_16")
    command = ["ffmpeg", "-hide_banner", "-i", tmp_path / "a.wav", "-af", "volumedetect", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert level_db(samples) == pytest.approx(float(re.search(r"mean_volume: (-?[\d.]+) dB", said)[1]), abs=0.06)


@pytest.mark.parametrize(
    ("samples", "share"),
    [
        (NOISE, 0.0), (SILENCE, 1.0), (np.concatenate([NOISE, SILENCE]), 0.5), (SILENCE[:5], 0.0),
        (np.concatenate([NOISE, 0.001 * NOISE, NOISE, NOISE]), 0.25),
    ],
)  # fmt: skip
def test_silence_is_counted_in_time(samples, share):
    assert silent_share(samples, 16_000) == pytest.approx(share, abs=0.01)


def test_only_tops_that_are_cut_off_are_clipped():
    assert clipped_share(NOISE / np.abs(NOISE).max()) < 1e-3
    assert clipped_share(np.clip(20 * NOISE, -1, 1)) > 0.3
    assert clipped_share(SILENCE) == clipped_share(SILENCE[:0]) == 0.0
    assert level_db(SILENCE) == level_db(SILENCE[:0]) == QUIETEST_DB


def test_rows_at_the_ends_are_named():
    facts = sample_facts([heard(3, seconds=1.0), heard(5, seconds=9.0), heard(8, seconds=4.0)], "aab", "labels")
    length = facts.spreads[0]
    assert (length.lowest, length.median, length.highest) == (1.0, 4.0, 9.0)
    assert (length.lowest_row, length.highest_row) == (3, 5)
    assert facts.sources == [("a", 2), ("b", 1)]
    assert facts.worst == []


def test_a_text_that_cannot_be_its_clips_is_the_worst_and_what_cannot_be_heard_follows():
    rows = [heard(row) for row in range(9)]
    odd = [heard(20, pace=60.0), heard(21, pace=1.0), heard(22, level_db=-70.0), heard(23, clipped=0.2)]
    facts = sample_facts([*rows, *odd, heard(24, silent=0.9)], (), "labels")
    assert [row.row_id for row in facts.worst] == [21, 20, 22, 23, 24]
    assert "another clip's text" in facts.worst[0].why
    assert facts.clipped == 1


def test_odd_are_letters_of_another_script_signs_and_what_is_not_seen():
    texts = [(row, "Schöne Grüße, bis 17:45 Uhr!") for row in range(30)]
    found = odd_characters([*texts, (40, "Hаus"), (41, "a\u200bb"), (42, "<b>"), (43, "<i>")])
    assert [(one.name, one.rows, one.first_row) for one in found] == [
        ("U+003C LESS-THAN SIGN", 2, 42),
        ("U+003E GREATER-THAN SIGN", 2, 42),
        ("U+0430 CYRILLIC SMALL LETTER A", 1, 40),
        ("U+200B ZERO WIDTH SPACE", 1, 41),
    ]


@pytest.mark.parametrize(
    "text", ["नमस्ते दुनिया।", "こんにちは、世界。カナ", "می‌خواهم؟".replace("\u200c", ""), "Việt u\u0308"]
)
def test_no_language_is_odd_by_itself(text):
    assert odd_characters([(0, text)]) == []


def test_nothing_heard_says_nothing():
    facts = sample_facts([], (), "labels")
    assert (facts.spreads, facts.worst, facts.odd) == ([], [], [])
