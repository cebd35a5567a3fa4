"""The size of model that benchmarks and rehearsals of the trainer take on a CPU."""

from trainer.model.shape import ModelShape

MINI = ModelShape(
    d_model=16,
    encoder_layers=2,
    decoder_layers=2,
    encoder_ffn_dim=32,
    decoder_ffn_dim=32,
    encoder_heads=2,
    decoder_heads=2,
    vocab_size=100,
    num_mel_bins=8,
    max_source_positions=1_500,
    max_target_positions=448,
)
"""Some thousand weights, with Whisper's window."""
