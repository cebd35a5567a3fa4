"""Finding what a model says: greedy, or with beams."""

from typing import Any

import torch
from transformers import WhisperForConditionalGeneration
from transformers.generation.utils import GenerationMixin


def search(
    model: WhisperForConditionalGeneration,
    encoded: Any,
    prompt: torch.Tensor,
    *,
    max_length: int,
    num_beams: int = 1,
) -> torch.Tensor:
    """Token ids [rows, tokens] that *model* says after *prompt* [rows, tokens], at most *max_length* with the prompt.

    *encoded* are encoder outputs of any length. transformers' plain generation: Whisper's own would pad every clip to
    30 s and cut it into segments.
    """
    plain: Any = GenerationMixin.generate
    found: torch.Tensor = plain(
        model,
        encoder_outputs=encoded,
        attention_mask=torch.ones(encoded.last_hidden_state.shape[:2], dtype=torch.int64, device=prompt.device),
        decoder_input_ids=prompt,
        decoder_attention_mask=torch.ones_like(prompt),
        max_length=max_length,
        num_beams=num_beams,
        do_sample=False,
        use_cache=True,
    )
    return found
