"""Whisper with an encoder context as long as the batch, and the loss of a micro-batch.

Whisper's encoder positions are sinusoids, so a shorter context is the first part of the same ones; the model's weights
stay as they are and are saved whole.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import WhisperForConditionalGeneration
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from shared.errors import UsageError
from shared.rows import STEP
from trainer.model.loading import read_model
from trainer.model.shape import CHUNK_TOKENS
from trainer.model.sinusoids import sinusoids

_POSITION_TOLERANCE = 1e-2
"""How far a model's stored positions may be from the sinusoids that extend them; float16 rounds by 5e-4."""


def load_model(name: str, tell: Callable[[str], None] = lambda _text: None) -> WhisperForConditionalGeneration:
    """The model *name* (folder or Hub id) in float32, whatever it is stored in, with SDPA attention.

    float16 weights cannot be trained: their updates round to nothing. Raises UsageError, and *tell* hears what was read
    otherwise than it is written, as `read_model` says.
    """
    return prepare_model(read_model(name, tell))


def prepare_model(model: WhisperForConditionalGeneration) -> WhisperForConditionalGeneration:
    """*model* ready for training: checkpointing is without reentrance, and off until `set_recompute`.

    No layer is left out by chance, whatever its configuration says: ranks would leave out different ones, and wait for
    each other's gradients for ever. From then on this process does without cuDNN's attention: it makes a plan for every
    new shape, which takes about a second on the large cards that have it, and clips have many lengths.
    """
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)
    model.activation_checkpointing_enable({"use_reentrant": False})
    set_recompute(model, recompute=False)
    model.model.encoder.layerdrop = model.model.decoder.layerdrop = 0.0
    return model


def set_recompute(model: WhisperForConditionalGeneration, *, recompute: bool) -> None:
    """Whether the layers keep their activations or compute them again in the backward pass."""
    for layer in (*model.model.encoder.layers, *model.model.decoder.layers):
        layer.gradient_checkpointing = recompute


def encode(encoder: WhisperEncoder, features: torch.Tensor) -> torch.Tensor:
    """Hidden states [rows, frames / 2, d_model] of *features* [rows, num_mel_bins, frames], of any even length."""
    hidden = functional.gelu(encoder.conv1(features))
    hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + positions(encoder, hidden.shape[1])
    hidden = functional.dropout(hidden, p=encoder.dropout, training=encoder.training)
    for layer in encoder.layers:
        hidden = layer(hidden, None)
    normed: torch.Tensor = encoder.layer_norm(hidden)
    return normed


def positions(encoder: WhisperEncoder, count: int) -> torch.Tensor:
    """The first *count* encoder positions [count, d_model]: the model's own, then the sinusoids that go on from them.

    Raises UsageError where the model's own are no sinusoids, so that nothing goes on from them.
    """
    own = encoder.embed_positions.weight
    if count <= len(own):
        return own[:count]
    longer = sinusoids(count, own.shape[1]).to(own)
    if not torch.allclose(longer[: len(own)], own, atol=_POSITION_TOLERANCE):
        raise UsageError("this model's encoder positions are not sinusoids: clips over 30 s cannot be used")
    return torch.cat([own, longer[len(own) :]])


class TrainingModel(nn.Module):
    """*whisper* from the store's values to a loss: what DistributedDataParallel wraps."""

    def __init__(self, whisper: WhisperForConditionalGeneration, *, freeze_encoder: bool = False) -> None:
        super().__init__()
        self.whisper = whisper
        self.freeze_encoder = freeze_encoder
        if freeze_encoder:
            whisper.model.encoder.requires_grad_(requires_grad=False)

    def forward(
        self,
        features: torch.Tensor,
        floor: torch.Tensor,
        inputs: torch.Tensor,
        places: torch.Tensor,
        targets: torch.Tensor,
    ) -> torch.Tensor:
        """The sum of the cross entropies of a micro-batch's targets; the arguments are those of `collate.Batch`."""
        model = self.whisper.model
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_encoder):
            encoded = encode(model.encoder, expand(features, floor, model.encoder.conv1.weight.dtype))
        decoded = model.decoder(input_ids=inputs, encoder_hidden_states=encoded, use_cache=False).last_hidden_state
        hidden = decoded.flatten(0, 1).index_select(0, places)
        return summed_cross_entropy(hidden, self.whisper.proj_out.weight, targets)


def expand(features: torch.Tensor, floor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The store's values [rows, frames, bins] as log-mel [rows, bins, frames] of *dtype*; uint8 counts from *floor*.

    *floor* is [rows], or [rows, frames] where some are windows of several clips: what is below a row's largest is
    raised to that, as Whisper's extractor does by the maximum of the whole window.
    """
    values, by_frame = features.to(dtype), floor.to(dtype).reshape(len(floor), -1, 1)
    if features.dtype == torch.uint8:
        values = values * float(STEP) + by_frame
    if floor.dim() > 1:
        values = values.maximum(by_frame.amax(1, keepdim=True))
    return values.transpose(1, 2)


def summed_cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The sum over all *targets* [tokens] of their cross entropy under `hidden @ weight.T`; logits never all at once.

    *hidden* [tokens, d_model], *weight* [vocabulary, d_model].
    """
    total = hidden.new_zeros((), dtype=torch.promote_types(weight.dtype, torch.float32))
    for start in range(0, len(targets), CHUNK_TOKENS):
        part = slice(start, start + CHUNK_TOKENS)
        arguments = (hidden[part], weight, targets[part])
        if len(targets) <= CHUNK_TOKENS or not torch.is_grad_enabled():
            total = total + _cross_entropy(*arguments)
        else:
            total = total + checkpoint(_cross_entropy, *arguments, use_reentrant=False)
    return total


def _cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = functional.linear(hidden, weight)
    # At least float32, also under autocast: a sum of thousands of terms.
    wide = torch.promote_types(logits.dtype, torch.float32)
    return functional.cross_entropy(logits.to(wide), targets, reduction="sum")


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained, each once."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def encoder_outputs(model: WhisperForConditionalGeneration, features: torch.Tensor, floor: torch.Tensor) -> Any:
    """What `generate` takes in place of the encoder's input; *features* and *floor* as in `TrainingModel`."""
    from transformers.modeling_outputs import BaseModelOutput  # noqa: PLC0415 - beside its one use

    encoder = model.model.encoder
    return BaseModelOutput(last_hidden_state=encode(encoder, expand(features, floor, encoder.conv1.weight.dtype)))
