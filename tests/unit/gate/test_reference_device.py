"""The original behind CTranslate2's calls, in all of float32 on every device."""

from types import SimpleNamespace

import torch

from tests.support.training import tiny_whisper
from trainer.gate.reference_engine import OriginalEngine


def test_the_original_is_computed_without_the_ten_bits_that_gpus_shorten_float32_to(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    engine = OriginalEngine(tiny_whisper(), SimpleNamespace(token_to_id=lambda _text: 3), "cpu")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert {weight.dtype for weight in engine.whisper.parameters()} == {torch.float32}
