"""What is named in a model's place is told for what it is, with its own way out."""

import json
import shutil

import pytest

from shared.errors import UsageError
from shared.models.kinds import kind_of
from shared.models.limits import ModelLimits, is_english_only
from shared.models.model_files import model_config, model_facts, refuse_kind

OTHERS = {
    ("adapter_config.json", "adapter_model.safetensors"): ("LoRA adapter", "merge_and_unload"),
    ("adapter_config.json", "config.json", "model.safetensors"): ("LoRA adapter", "merge_and_unload"),
    ("model.bin", "config.json", "vocabulary.json"): ("CTranslate2 export", "made from"),
    ("ggml-model.bin",): ("whisper.cpp", "made from"),
    ("whisper.gguf",): ("whisper.cpp", "made from"),
    ("encoder_model.onnx", "config.json"): ("ONNX", "made from"),
    ("tiny.pt",): ("OpenAI's own format", "convert_openai_to_hf"),
    ("flax_model.msgpack", "config.json"): ("Flax weights alone", "convert it"),
    ("tf_model.h5", "config.json"): ("TensorFlow weights alone", "from_tf"),
    ("config.json", "pytorch_model_fsdp_0", "optimizer.pt"): ("FSDP's parts", "merge-weights"),
    ("config.json", "zero_to_fp32.py", "global_step10"): ("DeepSpeed's parts", "zero_to_fp32.py"),
    ("store.json", "data"): ("a feature store", "transformers model"),
}


@pytest.mark.parametrize(("names", "said"), OTHERS.items(), ids=[said[0] for said in OTHERS.values()])
def test_each_kind_has_its_own_line_and_its_own_remedy_and_never_the_hubs(tmp_path, names, said):
    for name in names:
        (tmp_path / name).write_text("{}")
    for read in (refuse_kind, model_config, lambda model: model_facts(model, None, None)):
        with pytest.raises(UsageError, match=said[0]) as caught:
            read(str(tmp_path))
        assert said[1] in caught.value.remedy
        assert "HF_TOKEN" not in caught.value.remedy


@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "model.safetensors", "tokenizer.json"),
        ("config.json", "pytorch_model.bin"),
        ("config.json", "model.safetensors.index.json"),
        ("config.json", "model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json"),
        ("config.json", "model.safetensors", "model.onnx", "flax_model.msgpack"),
        ("tokenizer.json",),
        (),
    ],
)
def test_what_may_be_a_model_is_none_of_them(names):
    assert kind_of(names) is None


def test_an_output_folder_names_its_best_or_its_last_model(tmp_path):
    for name in ("checkpoint-900", "checkpoint-1000", "checkpoint-x"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match="checkpoint-1000"):
        model_config(str(tmp_path))
    (tmp_path / "best").mkdir()
    with pytest.raises(UsageError, match=f"its best model is {tmp_path / 'best'}"):
        model_config(str(tmp_path))


def test_a_single_file_of_openais_is_told_as_that(tmp_path):
    (tmp_path / "large-v3.pt").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(UsageError, match=r"OpenAI's own format\n.*convert_openai_to_hf"):
        model_config(str(tmp_path / "large-v3.pt"))


@pytest.mark.parametrize("kind", ["wav2vec2", "bert"])
def test_another_architecture_is_named(tmp_path, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(UsageError, match=f"not a Whisper model: its config.json is a {kind} model's"):
        model_config(str(tmp_path))


def edited(folder, name, **entries):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.fixture
def model(demo_model, tmp_path):
    """Small files of a model that a test may change."""
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        shutil.copy(demo_model / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "entries"),
    [("generation_config.json", {"is_multilingual": False}), ("config.json", {"vocab_size": 51864})],
)
def test_an_english_only_model_is_refused_with_the_multilingual_one_of_its_size(model, name, entries):
    edited(model, name, **entries)
    with pytest.raises(UsageError, match=r"English-only.*\n.*without \.en"):
        model_facts(str(model), None, None)


def test_a_model_without_generation_settings_is_taken_for_multilingual(model):
    (model / "generation_config.json").unlink()
    assert model_facts(str(model), None, None).num_mel_bins == 80
    assert not is_english_only({"vocab_size": 51_865}, {})


def test_limits_are_config_jsons_and_whispers_where_it_states_none(model):
    edited(model, "config.json", max_target_positions=100, max_source_positions=750)
    limits = model_facts(str(model), None, None).limits
    assert limits == ModelLimits(100, 1_500)
    assert limits.window_seconds == 15
    assert ModelLimits.from_config({}) == ModelLimits(448, 3_000)


@pytest.mark.parametrize("value", [0, -1, "448", 1.5, True, None])
def test_a_limit_that_is_no_number_of_places_is_refused(value):
    with pytest.raises(UsageError, match="max_target_positions"):
        ModelLimits.from_config({"max_target_positions": value})


def test_only_where_the_hub_was_asked_its_token_is_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError) as caught:
        model_config(str(tmp_path / "nowhere"))
    assert caught.value.remedy == "check the name of the folder"
    with pytest.raises(UsageError) as caught:
        model_config("anna/nowhere")
    assert "HF_TOKEN" in caught.value.remedy
