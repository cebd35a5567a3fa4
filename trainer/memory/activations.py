"""The GPU memory that a micro-batch of Whisper takes besides weights, gradients and optimiser, term by term. Pure.

Weights are float32, matrix products run in 16 bits under autocast, the residual stream stays float32, attention is
SDPA's (no matrix of scores), dropout is 0, checkpointing is not reentrant. The terms name what autograd saves; tests
count the same with `torch.autograd.graph.saved_tensors_hooks` and replay whole steps.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from trainer.model.shape import CHUNK_TOKENS, ModelShape

Optimiser = Literal["adamw", "adamw-8bit", "adamw-zero1", "adafactor"]
OPTIMISERS: tuple[Optimiser, ...] = get_args(Optimiser)
FULL, HALF = 4, 2
"""Bytes of a value in float32, and in 16 bits."""


@dataclass(frozen=True, slots=True)
class StepOptions:
    """How a step runs: *frames* are a micro-batch's padded frames over all clips, *tokens* its padded decoder tokens.

    *checkpointing*: layers keep only their input and are computed again. *world_size* matters to adamw-zero1 alone.
    Without *autocast* everything is float32.
    """

    optimiser: Optimiser = "adamw-8bit"
    checkpointing: bool = True
    frames: int = 12_000
    tokens: int = 1_792
    world_size: int = 1
    freeze_encoder: bool = False
    autocast: bool = True

    @property
    def product(self) -> int:
        """Bytes of a value that a matrix product or convolution makes."""
        return HALF if self.autocast else FULL

    def read_by(self, products: int) -> int:
        """Bytes kept of a float32 value for *products* matrix products that read it: autocast makes a copy for each."""
        return products * HALF if self.autocast else FULL


def activation_bytes(shape: ModelShape, options: StepOptions) -> int:
    """What the forward pass of a micro-batch keeps for the backward one, but for weights and logits."""
    return round(options.frames * frame_bytes(shape, options) + options.tokens * token_bytes(shape, options))


def frame_bytes(shape: ModelShape, options: StepOptions) -> float:
    """Bytes that the forward pass keeps for one padded frame; two frames make one encoder position."""
    width = shape.d_model
    # The encoder's result, and what cross attention makes of it.
    decoder = FULL * width
    if not options.checkpointing:
        decoder += shape.decoder_layers * _cross_position(shape, options)
    if options.freeze_encoder:
        return decoder / 2
    layer = FULL * width if options.checkpointing else _encoder_layer(shape, options)
    # The layers, and the last norm's input.
    encoder = shape.encoder_layers * layer + FULL * width
    # The features, and what the first convolution reads; what both GELUs and the second convolution read.
    stem = shape.num_mel_bins * (FULL + (HALF if options.autocast else 0)) + 2.5 * options.product * width
    return stem + (encoder + decoder) / 2


def token_bytes(shape: ModelShape, options: StepOptions) -> float:
    """Bytes that the forward pass keeps for one padded decoder token, but for its logits."""
    width = shape.d_model
    layer = FULL * width if options.checkpointing else _decoder_layer(shape, options)
    # The layers; the last norm's input, its result, and what of that the output's matrix reads.
    return shape.decoder_layers * layer + (2 * FULL + options.product) * width


def _encoder_layer(shape: ModelShape, options: StepOptions) -> int:
    """Bytes kept for one position in one encoder layer."""
    attention = _self_attention(shape.d_model, shape.encoder_heads, options)
    return attention + _feed_forward(shape.d_model, shape.encoder_ffn_dim, options)


def _decoder_layer(shape: ModelShape, options: StepOptions) -> int:
    """Bytes kept for one token in one decoder layer: self attention, cross attention's queries, feed forward."""
    width = shape.d_model
    # The norm's input, what the queries are made of, the queries, the result as in `_self_attention`.
    queries = width * (FULL + options.read_by(1) + 3 * options.product) + FULL * shape.decoder_heads
    attention = _self_attention(width, shape.decoder_heads, options)
    return attention + queries + _feed_forward(width, shape.decoder_ffn_dim, options)


def _self_attention(width: int, heads: int, options: StepOptions) -> int:
    """The norm's input; what queries, keys and values are made of; these three; the result; log-sum-exps by head.

    The result counts twice: not all kernels (CPU, cuDNN) write it in the order that the next matrix product reads.
    """
    return width * (FULL + options.read_by(3) + 5 * options.product) + FULL * heads


def _feed_forward(width: int, inner: int, options: StepOptions) -> int:
    """The norm's input, what the first matrix reads, what GELU reads, what the second matrix reads."""
    return width * (FULL + options.read_by(1)) + 2 * options.product * inner


def _cross_position(shape: ModelShape, options: StepOptions) -> int:
    """Bytes kept for one position in one decoder layer: keys and values, and autocast's copies that both read."""
    copies = options.read_by(2) if options.autocast else 0
    return shape.d_model * (copies + 2 * options.product)


def passing_bytes(shape: ModelShape, options: StepOptions) -> int:
    """The most that a step has at any moment besides weights, gradients, optimiser and `activation_bytes`.

    Without checkpointing autograd holds the 16-bit weights to the end; with it, and an autocast that remembers nothing,
    each is there while its layer is.
    """
    forward = logit_bytes(shape, options)
    backward = max(_head_bytes(shape, options), _layer_bytes(shape, options))
    if not options.checkpointing:
        return cast_weight_bytes(shape, options) + max(forward, backward)
    # Of the copies, the output matrix's alone is still needed when the backward pass begins.
    matrix = HALF * shape.vocab_size * shape.d_model if options.autocast else 0
    return matrix + max(forward, backward)


def cast_weight_bytes(shape: ModelShape, options: StepOptions) -> int:
    """Autocast's 16-bit copies of the trained weights; of frozen ones it keeps none."""
    if not options.autocast:
        return 0
    weights = shape.trained_weights(freeze_encoder=options.freeze_encoder)
    return HALF * sum(weight.size * times for weight, times in weights.items() if weight.is_cast)


def logit_bytes(shape: ModelShape, options: StepOptions) -> int:
    """One chunk's logits in the forward pass: as the matrix product made them, as float32, their log-softmax."""
    return _chunk(options) * shape.vocab_size * (options.product + 2 * FULL)


def _head_bytes(shape: ModelShape, options: StepOptions) -> int:
    """The backward pass of the output: of one chunk, the log-softmax and two gradients, beside two of the matrix.

    Or, when the turn of the embedding comes, two float32 gradients of that same matrix and their sum.
    """
    matrix = shape.vocab_size * shape.d_model
    logits = _chunk(options) * shape.vocab_size * 3 * FULL
    return max(logits + 2 * options.product * matrix, 3 * FULL * matrix)


def _chunk(options: StepOptions) -> int:
    return min(CHUNK_TOKENS, options.tokens)


def _layer_bytes(shape: ModelShape, options: StepOptions) -> int:
    """The backward pass of the layer that takes most: gradients and, with checkpointing, what is computed again."""
    width, positions = shape.d_model, options.frames // 2
    again = options.checkpointing
    encoder = _layer_gradients(width, shape.encoder_ffn_dim, options)
    # The gradient of the encoder's result so far, this layer's, and their sum.
    states = 3 * FULL * width
    if options.freeze_encoder:
        # No backward pass, but the forward one has a layer's values at a time.
        encoder, states = _encoder_layer(shape, options), 0
    elif again:
        encoder += _encoder_layer(shape, options) - FULL * width
    decoder = _layer_gradients(width, shape.decoder_ffn_dim, options)
    if again:
        decoder += _decoder_layer(shape, options) - FULL * width
        states += _cross_position(shape, options)
    # The output matrix's gradient waits for the embedding's: they are one parameter.
    waiting = FULL * shape.vocab_size * width
    return max(positions * encoder, options.tokens * decoder + positions * states + waiting)


def _layer_gradients(width: int, inner: int, options: StepOptions) -> int:
    """Bytes for one position: the residual stream's gradient, its copy for a matrix product, and the inner gradient."""
    return width * (FULL + options.product) + options.product * inner
