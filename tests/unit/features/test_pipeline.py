"""One row through the pipeline: features, labels and text, or the reason why not."""

import io
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from transformers import WhisperFeatureExtractor

from preprocess.audio.decode import DecodeLimits
from preprocess.features.mel import mel_filters
from preprocess.features.pipeline import PipelineSettings, RowPipeline
from preprocess.features.stages import StageClock
from preprocess.sources.base import SourceRow
from shared.errors import RowRejectedError
from shared.models.limits import ModelLimits
from shared.rows import rebuild
from shared.schema import FeatureSpec
from tests.support.samples import wav


@pytest.fixture(scope="module")
def settings(demo_model):
    tokenizer = (demo_model / "tokenizer.json").read_text()
    return PipelineSettings(FeatureSpec(80), tokenizer, "de", mel_filters(80), DecodeLimits())


@pytest.fixture
def clock():
    return StageClock()


@pytest.fixture
def pipeline(settings, clock):
    return RowPipeline(settings, clock)


def row(audio=None, text="Guten Tag", **values):
    return SourceRow(**({"row_id": 7, "audio": audio, "path": "a.wav", "transkription": text, "source": "s"} | values))


def test_a_row_rebuilt_to_30_seconds_is_what_whisper_expects(settings, pipeline):
    found = pipeline(row(wav(20_000)))
    samples, _ = soundfile.read(io.BytesIO(wav(20_000)), dtype="float32")
    expected = WhisperFeatureExtractor(feature_size=80)(samples, sampling_rate=16_000, return_tensors="np")
    rebuilt = rebuild(found.payload, settings.spec, found.num_frames, found.floor)
    assert np.abs(rebuilt.T - expected.input_features[0]).max() < 0.0011


def test_text_is_normalised_before_it_is_labelled(pipeline):
    tidy, untidy = pipeline(row(wav(), "Grüße aus Köln")), pipeline(row(wav(), " Gru\u0308ße\taus\u200b  Köln\n"))
    assert untidy.transkription == "Grüße aus Köln"
    assert untidy.labels == tidy.labels


def test_a_row_without_audio_keeps_the_sources_reason(pipeline):
    with pytest.raises(RowRejectedError, match="not there") as caught:
        pipeline(row(problem="outside_source", problem_message="not there"))
    assert caught.value.reason == "outside_source"


def test_a_row_without_audio_or_reason_has_no_audio(pipeline):
    with pytest.raises(RowRejectedError) as caught:
        pipeline(row())
    assert caught.value.reason == "no_audio"


def test_an_empty_transcript_is_noticed_before_audio_is_decoded(pipeline, clock):
    with pytest.raises(RowRejectedError) as caught:
        pipeline(row(b"no sound", ""))
    assert caught.value.reason == "empty_transcript"
    assert "decode" not in clock.seconds


def test_every_stage_is_timed(pipeline, clock):
    pipeline(row(wav(8_000, 8_000)))
    assert set(clock.seconds) == {"tokenise", "decode", "resample", "log_mel"}


def test_the_same_row_gives_the_same_features_whatever_came_before(settings, pipeline):
    pipeline(row(wav(40_000, seed=3)))
    assert pipeline(row(wav())) == RowPipeline(settings, StageClock())(row(wav()))


def test_the_models_own_places_and_window_are_the_limits(settings, clock):
    short = RowPipeline(replace(settings, model_limits=ModelLimits(10, 100)), clock)
    assert short(row(wav(15_990), "eins")).num_frames == 100
    with pytest.raises(RowRejectedError, match="the model's decoder takes 10") as caught:
        short(row(wav(), "Donaudampfschifffahrtsgesellschaft und noch viele andere Wörter"))
    assert caught.value.reason == "too_many_labels"
