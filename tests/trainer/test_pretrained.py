"""Weights that come as a faster-whisper model are the same weights as a checkpoint."""

import torch
from transformers import WhisperForConditionalGeneration

from tests.support.pretrained import unpack
from tests.support.training import tiny_model
from trainer.exporting.conversion import convert
from trainer.exporting.files import Checkpoint


def test_what_was_exported_and_unpacked_again_is_the_same_model(tmp_path):
    before = tiny_model(tmp_path / "before")
    convert(Checkpoint.read(before), tmp_path / "exported", "float32")
    unpack(tmp_path / "exported", tmp_path / "after", head_size=32)
    one, other = (WhisperForConditionalGeneration.from_pretrained(path) for path in (before, tmp_path / "after"))
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    for name in ("num_mel_bins", "vocab_size", "d_model", "encoder_layers", "decoder_layers", "decoder_ffn_dim"):
        assert getattr(one.config, name) == getattr(other.config, name)
    for name in ("lang_to_id", "suppress_tokens", "no_timestamps_token_id", "decoder_start_token_id"):
        assert getattr(one.generation_config, name) == getattr(other.generation_config, name)
    assert Checkpoint.read(tmp_path / "after").shape == Checkpoint.read(before).shape
