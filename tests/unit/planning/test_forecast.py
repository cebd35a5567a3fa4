"""A sample of a real source: forecast against what the same rows come to."""

import pytest

from preprocess.audio.decode import DecodeLimits
from preprocess.features.mel import mel_filters
from preprocess.features.pipeline import PipelineSettings
from preprocess.planning.forecast import forecast_split
from preprocess.planning.sample import sample_rows, sample_task
from preprocess.sources.base import Columns
from preprocess.sources.open import open_source
from shared.schema import FeatureSpec, num_frames_of
from tests.support.samples import wav, write_source


@pytest.fixture(scope="module")
def pipeline(demo_model):
    return PipelineSettings(
        FeatureSpec(80), (demo_model / "tokenizer.json").read_text(), "de", mel_filters(80), DecodeLimits()
    )


def test_a_small_split_is_forecast_from_all_its_rows(tmp_path, pipeline):
    lengths = [1_600 * (1 + n % 7) for n in range(60)]
    rows = [(wav(length, seed=n), f"{n}.wav", f"Satz {n}") for n, length in enumerate(lengths)]
    source = open_source(str(write_source(tmp_path / "train.parquet", [*rows, (b"noise", "x.wav", "Satz")])), Columns())
    found = forecast_split(source.splits["train"], sample_rows(sample_task(source, "train", pipeline)), 61)
    payload = sum(num_frames_of(length) for length in lengths) * 160
    assert found.error_bytes == 0
    assert found.sampled_rows == 61
    assert found.rejected_share == pytest.approx(1 / 61)
    assert found.audio_seconds == pytest.approx(sum(lengths) / 16_000)
    # Labels, text and Parquet itself come on top.
    assert payload < found.store_bytes < 1.1 * payload
    assert found.cost.cpu_seconds > 0


def test_the_rows_that_show_the_overhead_come_from_all_over_the_split(tmp_path, pipeline):
    # Only the second half has transcripts that weigh anything.
    texts = ["a"] * 50 + ["Donaudampfschifffahrtsgesellschaft " * 10] * 50
    rows = [(wav(seed=n), f"{n}.wav", f"{text}{n}") for n, text in enumerate(texts)]
    source = open_source(str(write_source(tmp_path / "train.parquet", rows)), Columns())
    whole = sample_rows(sample_task(source, "train", pipeline))
    first_half = sample_rows(sample_task(source, "train", pipeline, limit=50))
    assert whole.overhead > first_half.overhead + 0.03
