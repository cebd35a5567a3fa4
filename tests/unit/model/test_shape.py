"""A model's sizes, and its weights by formula against the ones that transformers makes."""

from collections import Counter

import pytest
import torch
from transformers import WhisperConfig, WhisperForConditionalGeneration

from shared.errors import UsageError
from trainer.model.shape import PUBLISHED, ModelShape


def config(width, layers, heads, *, decoder_layers=None, mels=80, vocabulary=51_865):
    return {
        "model_type": "whisper",
        "d_model": width,
        "encoder_layers": layers,
        "decoder_layers": decoder_layers or layers,
        "encoder_ffn_dim": 4 * width,
        "decoder_ffn_dim": 4 * width,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "vocab_size": vocabulary,
        "num_mel_bins": mels,
        "max_source_positions": 1_500,
        "max_target_positions": 448,
        "activation_function": "gelu",
    }


CONFIGS = {
    "openai/whisper-tiny": config(384, 4, 6),
    "openai/whisper-base": config(512, 6, 8),
    "openai/whisper-large-v3": config(1_280, 32, 20, mels=128, vocabulary=51_866),
    "openai/whisper-large-v3-turbo": config(1_280, 32, 20, decoder_layers=4, mels=128, vocabulary=51_866),
}
TURBO = ModelShape.from_config(CONFIGS["openai/whisper-large-v3-turbo"])
UNEVEN = config(64, 2, 4, decoder_layers=3, mels=16, vocabulary=500) | {
    "encoder_ffn_dim": 100,
    "decoder_ffn_dim": 36,
    "max_source_positions": 30,
    "max_target_positions": 11,
}


def model_of(sizes):
    with torch.device("meta"):
        return WhisperForConditionalGeneration(WhisperConfig(**sizes, pad_token_id=0))


def dims_of(weights):
    dims = Counter()
    for weight, times in weights.items():
        dims[weight.dims] += times
    return dims


@pytest.mark.parametrize("sizes", [*CONFIGS.values(), UNEVEN], ids=[*CONFIGS, "uneven"])
def test_the_weights_are_those_that_transformers_makes(sizes):
    shape, model = ModelShape.from_config(sizes), model_of(sizes)
    assert shape.parameter_count == sum(parameter.numel() for parameter in model.parameters())
    assert dims_of(shape.weights()) == Counter(tuple(parameter.shape) for parameter in model.parameters())


@pytest.mark.parametrize("freeze_encoder", [False, True])
def test_trained_are_the_weights_that_transformers_trains(freeze_encoder):
    model = model_of(UNEVEN)
    model.model.encoder.requires_grad_(not freeze_encoder)
    model.model.encoder.embed_positions.requires_grad_(requires_grad=False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shape = ModelShape.from_config(UNEVEN)
    assert shape.trained_count(freeze_encoder=freeze_encoder) == sum(map(torch.numel, trained))
    assert dims_of(shape.trained_weights(freeze_encoder=freeze_encoder)) == Counter(
        tuple(each.shape) for each in trained
    )


def test_turbo_has_809_million_parameters():
    assert round(TURBO.parameter_count / 1e6) == 809


def test_a_window_is_30_seconds_of_frames():
    assert TURBO.window_frames == 3_000


@pytest.mark.parametrize("name", CONFIGS)
def test_the_shapes_known_without_the_hub_are_the_published_ones(name):
    assert PUBLISHED[name] == ModelShape.from_config(CONFIGS[name])


@pytest.mark.parametrize("shape", PUBLISHED.values(), ids=PUBLISHED)
def test_a_shape_becomes_the_config_that_it_is_read_from(shape):
    assert ModelShape.from_config(shape.to_config()) == shape


@pytest.mark.parametrize("value", [None, 0, -1, "384", 384.0, True])
def test_a_size_that_is_no_positive_whole_number_is_named(value):
    with pytest.raises(UsageError, match=r"config.json has d_model = "):
        ModelShape.from_config(CONFIGS["openai/whisper-tiny"] | {"d_model": value})


def test_a_missing_size_is_named():
    sizes = {name: value for name, value in UNEVEN.items() if name != "encoder_attention_heads"}
    with pytest.raises(UsageError, match="encoder_attention_heads"):
        ModelShape.from_config(sizes)


def test_another_kind_of_model_is_refused():
    with pytest.raises(UsageError, match="wav2vec2"):
        ModelShape.from_config(UNEVEN | {"model_type": "wav2vec2"})
