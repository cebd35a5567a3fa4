"""The model on short contexts, and the loss: the same numbers as transformers' own, wherever that has any."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import WhisperForConditionalGeneration

from shared.errors import UsageError
from shared.rows import STEP
from tests.support.training import tiny_model, tiny_whisper
from trainer.checkpoints.files import weights_to_save
from trainer.model.shape import CHUNK_TOKENS
from trainer.model.whisper import (
    TrainingModel,
    encode,
    expand,
    load_model,
    positions,
    prepare_model,
    set_recompute,
    sinusoids,
    summed_cross_entropy,
)

WINDOW = 3_000


def features(rows, frames, seed=0, bins=8):
    return torch.randn(rows, frames, bins, generator=torch.Generator().manual_seed(seed))


def batch(rows=3, frames=64, tokens=5, seed=0):
    """Arguments of `TrainingModel` for float16 features; all places count."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 99, (rows, tokens + 1), generator=generator)
    places = torch.arange(rows * tokens)
    return features(rows, frames, seed).half(), torch.zeros(rows), ids[:, :-1], places, ids[:, 1:].reshape(-1)


def test_at_the_full_window_the_encoder_is_transformers_own():
    model = tiny_whisper()
    mel = features(2, WINDOW).transpose(1, 2)
    torch.testing.assert_close(encode(model.model.encoder, mel), model.model.encoder(mel).last_hidden_state)


def test_a_shorter_context_is_the_model_with_its_positions_cut():
    """Checked against transformers' encoder of a model that has only so many positions."""
    model = tiny_whisper()
    short = tiny_whisper(max_source_positions=100)
    state = {name: value for name, value in model.state_dict().items() if "encoder.embed_positions" not in name}
    short.load_state_dict(state, strict=False)
    with torch.no_grad():
        short.model.encoder.embed_positions.weight.copy_(model.model.encoder.embed_positions.weight[:100])
    mel = features(2, 200).transpose(1, 2)
    torch.testing.assert_close(encode(model.model.encoder, mel), short.model.encoder(mel).last_hidden_state)


def test_sinusoids_are_those_that_whisper_is_made_with():
    own = WhisperForConditionalGeneration._from_config(tiny_whisper().config).model.encoder.embed_positions.weight
    torch.testing.assert_close(sinusoids(*own.shape), own.float(), atol=1e-3, rtol=0)


def test_positions_go_on_beyond_the_window_as_the_sinusoids_do():
    encoder = tiny_whisper().model.encoder
    longer = positions(encoder, 2_000)
    torch.testing.assert_close(longer[:1_500], encoder.embed_positions.weight)
    torch.testing.assert_close(longer, sinusoids(2_000, 16))


def test_a_model_whose_positions_were_trained_is_not_extended():
    encoder = tiny_whisper().model.encoder
    with torch.no_grad():
        encoder.embed_positions.weight += 0.1
    with pytest.raises(UsageError, match="not sinusoids"):
        positions(encoder, 1_501)


def test_the_loss_is_transformers_own_mean_times_its_tokens():
    model = tiny_whisper()
    mel, floor, inputs, places, targets = batch(frames=WINDOW)
    found = TrainingModel(model)(mel, floor, inputs, places, targets)
    labels = targets.reshape(inputs.shape)
    expected = model(mel.float().transpose(1, 2), decoder_input_ids=inputs, labels=labels).loss * targets.numel()
    torch.testing.assert_close(found, expected)


def test_only_the_places_that_matter_count():
    model = TrainingModel(tiny_whisper())
    mel, floor, inputs, places, targets = batch()
    some = places % 2 == 0
    parts = [model(mel, floor, inputs, places[part], targets[part]) for part in (some, ~some)]
    torch.testing.assert_close(sum(parts), model(mel, floor, inputs, places, targets))


def test_logits_in_chunks_give_the_same_loss_and_gradients():
    generator = torch.Generator().manual_seed(1)
    count = 2 * CHUNK_TOKENS + 7
    hidden = torch.randn(count, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(30, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 30, (count,), generator=generator)
    found = summed_cross_entropy(hidden, weight, targets)
    expected = functional.cross_entropy(hidden @ weight.T, targets, reduction="sum")
    torch.testing.assert_close(found, expected)
    for mine, other in zip(
        torch.autograd.grad(found, [hidden, weight]), torch.autograd.grad(expected, [hidden, weight]), strict=True
    ):
        torch.testing.assert_close(mine, other)


def test_recomputing_activations_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        model = TrainingModel(tiny_whisper()).double()
        model.whisper.activation_checkpointing_enable({"use_reentrant": False})
        set_recompute(model.whisper, recompute=recompute)
        model(*batch()).backward()
        gradients.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, rtol=0, atol=1e-12)


def test_recomputing_keeps_fewer_bytes():
    kept = []
    for recompute in (False, True):
        model = TrainingModel(tiny_whisper())
        model.whisper.activation_checkpointing_enable({"use_reentrant": False})
        set_recompute(model.whisper, recompute=recompute)
        total = 0

        def count(tensor):
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            model(*batch(frames=640))
        kept.append(total)
    assert kept[1] < kept[0] / 2


def test_a_frozen_encoder_gets_no_gradients_and_the_decoder_the_same_ones():
    free, frozen = TrainingModel(tiny_whisper()), TrainingModel(tiny_whisper(), freeze_encoder=True)
    for model in (free, frozen):
        model(*batch()).backward()
    assert all(parameter.grad is None for parameter in frozen.whisper.model.encoder.parameters())
    for mine, other in zip(
        free.whisper.model.decoder.parameters(), frozen.whisper.model.decoder.parameters(), strict=True
    ):
        torch.testing.assert_close(mine.grad, other.grad)


def test_uint8_steps_count_from_each_clips_floor():
    steps = torch.tensor([[[0, 255]], [[10, 20]]], dtype=torch.uint8)
    floor = torch.tensor([-1.5, -1.0])
    found = expand(steps, floor, torch.float32)
    expected = steps.numpy() * STEP + np.array([-1.5, -1.0], np.float32)[:, None, None]
    np.testing.assert_allclose(found.numpy(), expected.transpose(0, 2, 1), rtol=1e-6)


def test_a_model_stored_in_float16_is_trained_in_float32(tmp_path):
    folder = tiny_model(tmp_path / "model")
    WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float16).save_pretrained(tmp_path / "half")
    model = load_model(str(tmp_path / "half"))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_damaged_weights_are_refused(tmp_path):
    folder = tiny_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UsageError, match=r"model\.safetensors is damaged"):
        load_model(str(folder))


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read config\.json"):
        load_model(str(tmp_path))


@pytest.mark.parametrize("tied", [True, False])
def test_the_output_projection_is_saved_unless_it_is_the_decoders_embedding(tied, tmp_path):
    tiny_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"tie_word_embeddings": tied}
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = load_file(tmp_path / "model.safetensors")
    projection = {} if tied else {"proj_out.weight": torch.zeros_like(weights["model.decoder.embed_tokens.weight"])}
    save_file(weights | projection, tmp_path / "model.safetensors")
    model = load_model(str(tmp_path))
    saved = weights_to_save(TrainingModel(model))
    assert ("proj_out.weight" in saved) is not tied
    model.save_pretrained(tmp_path / "again")
    assert set(saved) == set(load_file(tmp_path / "again" / "model.safetensors"))


def test_no_layer_is_left_out_by_chance():
    """Ranks would leave out different ones, and wait for each other's gradients for ever."""
    model = tiny_whisper()
    model.model.encoder.layerdrop = model.model.decoder.layerdrop = 0.5
    prepare_model(model)
    assert (model.model.encoder.layerdrop, model.model.decoder.layerdrop) == (0, 0)


class _Trap:
    """What a stranger's pickle may hold: a call of anything."""

    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle was obeyed')",)


@pytest.mark.parametrize("content", [pickle.dumps({"a": _Trap()}), b"", b"\x80\x02junk"])
def test_pickled_weights_that_are_more_than_weights_are_refused_with_a_remedy(tmp_path, content):
    folder = tiny_model(tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(UsageError, match=str(folder)) as caught:
        load_model(str(folder))
    assert caught.value.remedy


def test_a_process_that_trains_does_without_cudnns_attention():
    torch.backends.cuda.enable_cudnn_sdp(enabled=True)
    prepare_model(tiny_whisper())
    assert not torch.backends.cuda.cudnn_sdp_enabled()
