"""A packed window from a real store, as the model sees it: what Whisper's extractor makes of the joined recording."""

from functools import cache

import numpy as np
import pytest
import torch
from transformers import WhisperFeatureExtractor

from preprocess.features.log_mel import LogMel
from preprocess.features.mel import mel_filters
from shared.errors import StoreError, UsageError
from shared.schema import FeatureSpec
from shared.store import open_split
from tests.support.samples import feature_row, make_store
from trainer.data.clips import Clip, Clips, Padding, Window
from trainer.data.collate import collate
from trainer.data.spec_augment import SpecAugment
from trainer.data.timed_labels import TimeTokens
from trainer.model.whisper import expand

ROUNDING = {"float16": 4.9e-4, "uint8": 3.93e-3}
"""Half a step of float16 below 2, and of 2 / 255."""
SAMPLES = (70_001, 16_000, 90_159, 55_555, 120_000, 81_921, 64_000)
TIMES = TimeTokens(1_000, 99)
START, GERMAN, TRANSCRIBE, NONE, END = 50, 51, 52, 53, 57


@cache
def extractor():
    return WhisperFeatureExtractor(feature_size=80)


def sound(seed, count, level, hiss):
    """A chirp that comes and goes, of *level*, over noise of *hiss*."""
    rng = np.random.default_rng(seed)
    time = np.arange(count) / 16_000
    wave = np.sin(2 * np.pi * (150 + 60 * seed) * time * (1 + time / 9)) * np.sin(np.pi * time * 1.7) ** 2
    return (level * wave + hiss * rng.normal(size=count)).astype(np.float32)


def made(folder, dtype, level, hiss):
    spec, log_mel = FeatureSpec(80, dtype), LogMel(mel_filters(80))
    # The second is a tenth as loud, the last one the quietest.
    scales = (1.0, 0.1, 0.7, 1.0, 0.4, 0.6, 0.05)
    sounds = [
        sound(seed, count, level * scale, hiss) for seed, (count, scale) in enumerate(zip(SAMPLES, scales, strict=True))
    ]
    rows = []
    for number, samples in enumerate(sounds):
        found = log_mel.features(samples, dtype)
        labels = [START, GERMAN, TRANSCRIBE, NONE, 10 + number, 20 + number, END]
        row = feature_row(number, found.num_frames, spec, labels=labels, floor=float(found.floor))
        values = {"payload": found.payload, "duration": len(samples) / 16_000}
        rows.append(type(row)(**{name: getattr(row, name) for name in row.__slots__} | values))
    make_store(folder / "store", {"train": [rows[:3], rows[3:]]}, spec)
    return open_split(folder / "store", "train"), sounds


def starts_of(split, rows, gap):
    starts, end = [], 0
    for row in rows:
        starts.append(end)
        end += int(split.num_frames[row]) + int(split.num_frames[row]) % 2 + gap
    return tuple(starts)


def seen(split, clips):
    batch = collate(split, clips, times=TIMES)
    features, floor = torch.from_numpy(batch.features), torch.from_numpy(batch.floor)
    return expand(features, floor, torch.float32).transpose(1, 2).numpy()


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
@pytest.mark.parametrize(("level", "hiss", "gap"), [(0.5, 1e-4, 0), (0.9, 0.01, 36), (0.02, 1e-5, 6), (0.3, 0.0, 24)])
def test_a_window_is_what_whisper_makes_of_the_joined_recording(tmp_path, dtype, level, hiss, gap):
    split, sounds = made(tmp_path, dtype, level, hiss)
    rows = tuple(range(7))
    starts = starts_of(split, rows, gap)
    cut = starts[-1] + int(split.num_frames[6]) > 3_000
    joined = np.zeros(600_000, np.float32)
    for row, start in enumerate(starts):
        joined[160 * start :][: len(sounds[row])] = sounds[row]
    expected = extractor()(joined[:480_000], sampling_rate=16_000, return_tensors="np").input_features[0].T
    packed = Clip(0, 3_000, 40, Padding.PACKED, Window(rows, starts, cut))
    error = np.abs(seen(split, Clips.of([packed, Clip(1, int(split.num_frames[1]))]))[0] - expected).max(axis=1)
    joints = {start + near for start in starts for near in (-1, 0, 1)} | {2_999}
    away = np.array([frame not in joints for frame in range(3_000)])
    assert error[away].max() <= ROUNDING[dtype] + 6e-5
    assert starts[-1] < 3_000


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_a_clip_beside_a_window_is_what_it_is_alone(tmp_path, dtype):
    split, _ = made(tmp_path, dtype, 0.5, 0.001)
    packed = Clip(0, 3_000, 20, Padding.PACKED, Window((0, 1), starts_of(split, (0, 1), 8)))
    for padding in (Padding.SILENCE, Padding.ZEROS):
        clip = Clip(2, 3_000, 6, padding)
        np.testing.assert_array_equal(seen(split, Clips.of([clip, packed]))[0], seen(split, Clips.of([clip]))[0])


def test_labels_tell_times_and_neither_a_prompt_nor_a_cut_clips_text_is_learned(tmp_path):
    split, _ = made(tmp_path, "float16", 0.5, 0.001)
    window = Window((0, 1, 2), (0, 442, 560), cut=True, previous=(3, 4), prompt_labels=5)
    batch = collate(split, Clips.of([Clip(0, 700, 16, Padding.PACKED, window), Clip(5, 600, 6)]), times=TIMES)
    said = [START, GERMAN, TRANSCRIBE, 1_000, 10, 20, 1_219, 1_221, 11, 21, 1_271, 1_280, END]
    assert batch.inputs[0].tolist() == [99, 13, 23, 14, 24, *said[:-1]]
    learned = batch.places < batch.inputs.shape[1]
    assert batch.targets[learned].tolist() == said[1:]
    assert batch.places[learned].tolist() == list(range(5, 17))
    assert batch.targets[~learned].tolist() == split.labels(5)[1:].tolist()


def test_a_clip_of_its_own_tells_when_it_begins_and_ends(tmp_path):
    split, _ = made(tmp_path, "uint8", 0.5, 0.001)
    batch = collate(split, Clips.of([Clip(1, 112, 7, window=Window((1,)))]), times=TIMES)
    assert batch.targets.tolist() == [GERMAN, TRANSCRIBE, 1_000, 11, 21, 1_050, END]


def test_a_byte_that_changed_is_found_in_a_window_as_in_a_clip_even_where_it_is_cut_off(tmp_path):
    split, _ = made(tmp_path, "float16", 0.5, 0.001)
    path, (addresses, sizes) = split.shard_path(0), split.payloads(np.array([2]))
    del addresses
    content = bytearray(path.read_bytes())
    place = content.find(split.log_mel(2).tobytes()) + int(sizes[0]) - 1
    content[place] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    window = Window((0, 1, 2), (0, 442, 560), cut=True)
    with pytest.raises(StoreError, match=r"row 2 of 'train'.* fails its checksum"):
        collate(split, Clips.of([Clip(0, 700, 16, Padding.PACKED, window)]), times=TIMES)


def test_spec_augment_masks_each_clip_of_a_window_and_no_gap(tmp_path):
    split, _ = made(tmp_path, "float16", 0.5, 0.001)
    window = Window((0, 1), (0, 460))
    clips = Clips.of([Clip(0, 700, 12, Padding.PACKED, window)])
    plain = collate(split, clips, times=TIMES).features[0]
    for step in range(8):
        masked = collate(split, clips, SpecAugment(seed=1).at(step), times=TIMES).features[0]
        own = [
            collate(split, Clips.of([Clip(row, int(split.num_frames[row]))]), SpecAugment(seed=1).at(step))
            for row in (0, 1)
        ]
        for start, batch, row in zip(window.starts, own, (0, 1), strict=True):
            count = int(split.num_frames[row])
            np.testing.assert_array_equal(masked[start : start + count], batch.features[0, :count])
        gap = slice(int(split.num_frames[0]), 460)
        np.testing.assert_array_equal(masked[gap], plain[gap])


def test_a_tokenizer_without_times_is_refused_in_words():
    with pytest.raises(UsageError, match="has 0 of 1,501 times"):
        TimeTokens.of('{"added_tokens": [], "model": {"vocab": {"a": 0}}}', 100)
