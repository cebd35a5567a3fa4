"""What a row costs in calls, Python's and C's, which every machine counts alike: a tenth more is noticed.

Where a count has fallen, the budget falls with it. What compiled loops and libraries do within a call is not seen.
"""

import sys

import numpy as np
import pytest

from preprocess.audio.decode import DecodeLimits, decode_clip
from preprocess.features.log_mel import LogMel
from preprocess.features.mel import mel_filters
from shared.schema import FeatureSpec
from shared.shard import FeatureRow, ShardWriter
from tests.support.encoded import encode, tone
from tests.support.synthetic import MINI
from trainer.checking.speech import speech_split
from trainer.data.collate import collate_many
from trainer.data.micro_batches import Budget
from trainer.data.step_planner import Lengths, StepPlanner

BUDGETS = {"WAV": 21, "FLAC": 62, "MP3": 551, "log-mel": 41, "write": 34, "load": 353}


def work(name, folder):
    """What is done for one row at the stage *name*; loading, for a micro-batch of eight."""
    if name == "log-mel":
        log_mel, samples = LogMel(mel_filters(80)), tone(1.0, 16_000)
        return lambda: log_mel.features(samples, "float16")
    if name == "write":
        writer = ShardWriter(folder / "shard", FeatureSpec(80))
        row = FeatureRow(0, bytes(16_000), 100, 0.0, [1] * 30, "Guten Tag.", "espeak", 1.0, "a.flac")
        return lambda: writer.append(row)
    if name == "load":
        split = speech_split(folder / "store", MINI, np.full(8, 1.0), labels=25)
        lengths = Lengths(split.num_frames, split.num_labels, split.duration)
        plan = StepPlanner(lengths, 8, 0, 0.0, 1, Budget(8_000, 8_000)).plan(0)
        return lambda: collate_many(split, [batch.clips for batch in plan.ranks[0]])
    encoded = encode(tone(1.0, 16_000), 16_000, name)
    return lambda: decode_clip(encoded, DecodeLimits())


def calls(function):
    """How many calls *function* makes, itself left out; the second time, when all is imported and cached."""
    function()
    count = 0

    def seen(_frame, event, _argument):
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(seen)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("stage", BUDGETS)
def test_a_row_makes_no_more_calls_than_it_did(stage, tmp_path):
    assert calls(work(stage, tmp_path)) < 1.1 * BUDGETS[stage]
