"""Operations of a forward pass, against what torch counts and what is known of large-v3-turbo; speeds of devices."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode
from transformers import WhisperConfig, WhisperForConditionalGeneration

from trainer.model.flops import decoder_flops, encoder_flops, epoch_flops, peak_flops, training_flops
from trainer.model.shape import PUBLISHED
from trainer.model.whisper import encode

TURBO = PUBLISHED["openai/whisper-large-v3-turbo"]
BASE = PUBLISHED["openai/whisper-base"]


@pytest.mark.parametrize(("frames", "teraflop"), [(3_000, 2.32), (450, 0.31)])
def test_30_seconds_are_2_32_teraflop_forward_and_4_5_are_0_31(frames, teraflop):
    forward = encoder_flops(TURBO, frames) + decoder_flops(TURBO, frames, 25)
    assert forward / 1e12 == pytest.approx(teraflop, abs=0.005)


@pytest.mark.parametrize(("frames", "tokens"), [(448, 20), (3_000, 448)])
def test_torch_counts_the_same_operations(frames, tokens):
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(WhisperConfig(**BASE.to_config(), attn_implementation="eager"))
        features, inputs = torch.empty(1, 80, frames), torch.empty(1, tokens, dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        states = encode(model.model.encoder, features)
        encoder = counter.get_total_flops()
        model.proj_out(model.model.decoder(inputs, encoder_hidden_states=states).last_hidden_state)
    assert encoder_flops(BASE, frames) == encoder
    assert decoder_flops(BASE, frames, tokens) == counter.get_total_flops() - encoder


frame_counts = st.integers(1, 1_500).map(lambda positions: 2 * positions)


@given(frame_counts, st.integers(1, 448))
def test_training_is_three_forward_passes(frames, tokens):
    forward = encoder_flops(TURBO, frames) + decoder_flops(TURBO, frames, tokens)
    assert training_flops(TURBO, frames, tokens) == pytest.approx(3 * forward)


@given(frame_counts, st.integers(1, 448))
def test_a_frozen_encoder_runs_once(frames, tokens):
    encoder, decoder = encoder_flops(TURBO, frames), decoder_flops(TURBO, frames, tokens)
    assert training_flops(TURBO, frames, tokens, freeze_encoder=True) == pytest.approx(encoder + 3 * decoder)


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA GeForce RTX 4060 Ti", 44.1),
        ("NVIDIA GeForce RTX 4060", 30.2),
        ("NVIDIA GeForce RTX 3090", 71.2),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("Tesla V100-SXM2-16GB", 125),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H200", 989.4),
    ],
)
def test_a_device_is_known_by_the_name_that_torch_gives_it(name, tflops):
    assert peak_flops(name) == pytest.approx(tflops * 1e12)


@pytest.mark.parametrize("name", ["NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4070 Ti SUPER", "cpu", ""])
def test_a_device_that_is_only_like_a_known_one_is_unknown(name):
    assert peak_flops(name) is None


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_packed_clips_are_counted_as_windows_that_hold_all_their_frames_and_tokens(share):
    """300 clips of 10 s are 100 windows; of the others some are padded, as without packing."""
    frames, tokens = np.full(300, 1_000.0), np.full(300, 50.0)
    single = epoch_flops(TURBO, frames, tokens, full_context_share=0.5)
    windows = 100 * training_flops(TURBO, 3_000, 150)
    found = epoch_flops(TURBO, frames, tokens, full_context_share=0.5, pack_share=share)
    assert found == pytest.approx((1 - share) * single + share * windows)


def test_clips_of_many_tokens_make_windows_that_are_full_of_those():
    """300 clips of 10 s and 224 tokens: two fill the decoder's 448 places."""
    found = epoch_flops(TURBO, np.full(300, 1_000.0), np.full(300, 224.0), full_context_share=0, pack_share=1)
    assert found == pytest.approx(150 * training_flops(TURBO, 3_000, 448))
