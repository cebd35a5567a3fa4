"""A model's weights are all its own, each in its place, or the model is refused: nothing is trained on chance."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperForConditionalGeneration

from shared.errors import UsageError
from shared.models.model_files import model_facts
from tests.support.training import tiny_model
from trainer.model.loading import read_model
from trainer.model.weight_files import safetensors_problem
from trainer.model.weight_names import EMBEDDING, POSITIONS, PROJECTION, Stored, fit

FC1 = "model.encoder.layers.0.fc1.weight"


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model")


def changed(folder, change):
    """*folder*, with *change* made to its weights, a dictionary."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    found = change({name: value.clone() for name, value in weights.items()})
    save_file(found, path)
    return weights


def loaded(folder):
    said = []
    return dict(read_model(str(folder), said.append).state_dict()), said


def renamed(rename):
    return lambda weights: {rename(name): value for name, value in weights.items()}


def inside(name):
    """FSDP wraps layers inside the model, too."""
    return name.replace(".self_attn.", "._fsdp_wrapped_module.self_attn.")


PREFIXES = {
    "torch.compile": renamed(lambda name: f"_orig_mod.{name}"),
    "DistributedDataParallel": renamed(lambda name: f"module.{name}"),
    "DDP of a compiled model": renamed(lambda name: f"module._orig_mod.{name}"),
    "FSDP": renamed(lambda name: f"_fsdp_wrapped_module.{inside(name)}"),
    "checkpoint wrapper": renamed(lambda name: name.replace("layers.0.", "layers.0._checkpoint_wrapped_module.")),
    "PEFT, merged and not unloaded": renamed(
        lambda name: f"base_model.model.{name.replace('fc1.', 'fc1.base_layer.')}"
    ),
    "Lightning": renamed(lambda name: f"model.{name}"),
    "WhisperModel alone": renamed(lambda name: name.removeprefix("model.")),
}


@pytest.mark.parametrize("rename", PREFIXES.values(), ids=PREFIXES)
def test_names_that_a_wrapper_lengthened_are_read_without_it_and_that_is_said(folder, rename):
    before = changed(folder, rename)
    found, said = loaded(folder)
    assert all(torch.equal(found[name], value) for name, value in before.items())
    assert len(said) == 1
    assert "are read as" in said[0]


def test_weights_under_their_own_names_are_read_without_a_word(folder):
    assert loaded(folder)[1] == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_point_type_is_read_as_float32(folder, dtype):
    before = changed(folder, lambda weights: {name: value.to(dtype) for name, value in weights.items()})
    found, _ = loaded(folder)
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert torch.equal(found[FC1], before[FC1].to(dtype).float())


def without(*names):
    return lambda weights: {name: value for name, value in weights.items() if name not in names}


def with_(**more):
    return lambda weights: weights | {name.replace("__", "."): value for name, value in more.items()}


def int8(weights):
    return {
        name: (value * 1000).to(torch.int8) if name.endswith("fc1.weight") else value for name, value in weights.items()
    }


REFUSED = {
    "a layer is missing": (
        lambda weights: {name: value for name, value in weights.items() if "encoder.layers.1." not in name},
        r"lacks 15 of the 90 weights .* model\.encoder\.layers\.1\.\S+, .* and 12 more",
    ),
    "one bias is missing": (without("model.decoder.layers.0.fc2.bias"), r"lacks 1 of .*decoder\.layers\.0\.fc2\.bias"),
    "the embedding is missing": (without(EMBEDDING), r"lacks 1 of .*embed_tokens"),
    "int8 matrices": (int8, r"4 of 89 weights in int8, of a quantised save: model\.decoder\.layers\.0\.fc1\.weight"),
    "an unknown prefix": (renamed(lambda name: f"asr.{name}"), r"lacks 88 of .* belong to no such model: asr\."),
    "more layers than config.json has": (
        with_(model__decoder__layers__9__fc1__bias=torch.zeros(256)),
        r"1 of 90 weights that its config\.json does not ask for: model\.decoder\.layers\.9\.fc1\.bias",
    ),
    "two copies": (
        with_(**{f"module.{FC1}": torch.zeros(256, 64)}),
        r"two weights for 'model\.encoder\.layers\.0\.fc1",
    ),
    "another vocabulary": (
        with_(**{EMBEDDING: torch.zeros(3408, 64)}),
        r"is 3408 x 64, its config\.json asks for 3401",
    ),
    "other mel bins": (with_(model__encoder__conv1__weight=torch.zeros(64, 128, 3)), "is 64 x 128 x 3"),
    "LoRA beside the weights": (
        with_(model__encoder__layers__0__fc1__lora_A__default__weight=torch.zeros(8, 64)),
        "LoRA matrices beside its weights",
    ),
    "NaN": (with_(**{FC1: torch.full((256, 64), float("nan"))}), rf"1 of 89 weights with .*NaN.*: {FC1}"),
    "beyond float32": (with_(**{FC1: torch.full((256, 64), 1e300, dtype=torch.float64)}), "infinities"),
    "another kind of model": (
        lambda _: {"wav2vec2.feature_projection.projection.weight": torch.zeros(2, 2)},
        r"lacks 88 of .*wav2vec2\.feature_projection",
    ),
}


@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=REFUSED)
def test_weights_that_are_not_all_the_models_own_are_refused_with_the_first_names(folder, change, words):
    changed(folder, change)
    with pytest.raises(UsageError, match=words) as caught:
        read_model(str(folder), print)
    assert str(folder) in caught.value.message
    assert caught.value.remedy


def test_encoder_positions_that_were_not_saved_are_whispers_sinusoids(folder):
    before = changed(folder, without(POSITIONS))
    found, said = loaded(folder)
    torch.testing.assert_close(found[POSITIONS], before[POSITIONS], atol=1e-3, rtol=0)
    assert "sinusoids" in said[0]


def test_a_projection_that_is_not_the_embedding_is_kept_and_one_that_is_stays_tied(folder):
    before = changed(folder, lambda weights: weights | {PROJECTION: weights[EMBEDDING].clone()})
    model = read_model(str(folder), print)
    assert model.proj_out.weight is model.model.decoder.embed_tokens.weight
    changed(folder, lambda weights: weights | {PROJECTION: weights[EMBEDDING] + 1})
    said = []
    model = read_model(str(folder), said.append)
    assert torch.equal(model.proj_out.weight, before[EMBEDDING] + 1)
    assert torch.equal(model.model.decoder.embed_tokens.weight, before[EMBEDDING])
    assert not model.config.tie_word_embeddings
    assert "not the decoder's embedding" in said[0]


def test_a_projection_alone_is_the_embedding_too(folder):
    before = changed(
        folder, lambda weights: {PROJECTION if name == EMBEDDING else name: v for name, v in weights.items()}
    )
    assert torch.equal(loaded(folder)[0][EMBEDDING], before[EMBEDDING])


def test_where_config_says_untied_a_projection_must_be_there(folder):
    edit(folder, tie_word_embeddings=False)
    with pytest.raises(UsageError, match=r"lacks 1 of .*proj_out\.weight"):
        read_model(str(folder), print)


def edit(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_weights_that_were_made_whole_again_may_still_say_how_they_were_rounded(folder):
    edit(folder, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})
    assert loaded(folder)[1] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("decoder_start_token_id", None),
        ("tie_word_embeddings", None),
        ("activation_function", "foo"),
        ("dropout", "much"),
        ("encoder_attention_heads", 3),
        ("pad_token_id", 10**6),
        ("dropout", 1.5),
        ("attention_dropout", -1),
        ("dtype", "foo"),
    ],
)
def test_an_entry_of_config_that_makes_no_model_is_an_error_that_tells_it(folder, name, value):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(UsageError, match=rf"config\.json of .* does not make a model: .*({name}|{value})") as error:
        read_model(str(folder), print)
    assert "\n" not in error.value.message


def test_outputs_have_names_whatever_config_says(folder):
    edit(folder, return_dict=False, output_attentions=True)
    model = read_model(str(folder), print)
    ids = torch.zeros(1, 1, dtype=torch.int64)
    assert model.model.decoder(input_ids=ids, encoder_hidden_states=torch.zeros(1, 4, 64)).last_hidden_state.shape


def test_weights_of_pickles_are_read_from_one_file_or_several(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert torch.equal(loaded(folder)[0][FC1], weights[FC1])
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert torch.equal(loaded(folder)[0][FC1], weights[FC1])
    torch.save([1, 2], folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="something other than weights"):
        read_model(str(folder), print)


def shared_out(folder):
    """The weights of *folder* in two files with an index; the index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {f"model-0000{number}-of-00002.safetensors": list(weights)[number - 1 :: 2] for number in (1, 2)}
    for file, names in parts.items():
        save_file({name: weights[name] for name in names}, folder / file)
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder / "model.safetensors.index.json"


def test_weights_in_several_files_are_one_model_and_a_file_that_is_missing_is_named(folder):
    shared_out(folder)
    assert loaded(folder)[1] == []
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UsageError, match=r"names 2 files of weights, of which model-00002-of-00002\.safetensors"):
        read_model(str(folder), print)


@pytest.mark.parametrize("table", [{"a": "../other/model.safetensors"}, {}, "x", {"a": None}])
def test_an_index_names_files_beside_it_only(folder, table):
    shared_out(folder).write_text(json.dumps({"weight_map": table}))
    with pytest.raises(UsageError, match=r"names no weight files|are not there"):
        read_model(str(folder), print)


def test_a_file_that_is_cut_off_is_told_with_its_bytes(folder):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    for size in (len(content) - 1, len(content) // 2, 1000, 9, 3, 0):
        path.write_bytes(content[:size])
        with pytest.raises(UsageError, match=r"model\.safetensors is cut off") as caught:
            read_model(str(folder), print)
        assert caught.value.remedy == "copy or download it again"


@pytest.mark.parametrize(
    "head", [b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x08" + bytes(7) + b'{"a": 1}', b"\x01" + bytes(7) + b"{"]
)
def test_a_table_of_contents_that_is_none_is_damage(head):
    assert safetensors_problem(head, 100).startswith("is damaged")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "pytorch_model.bin"])
def test_a_git_lfs_pointer_is_told_as_one(folder, name):
    if name == "pytorch_model.bin":
        (folder / "model.safetensors").unlink()
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n")
    with pytest.raises(UsageError, match=rf"{name} is a Git LFS pointer.*\n.*git lfs pull"):
        _read_all(folder)


def _read_all(folder):
    model_facts(str(folder), None, None)
    read_model(str(folder), print)


def test_a_fit_is_decided_by_names_types_and_shapes_alone():
    stored = {"module.model.encoder.conv1.weight": Stored("float16", (4,))}
    found = fit("m", stored, {"model.encoder.conv1.weight": (4,)}, tied=True)
    assert found.names == {"model.encoder.conv1.weight": "module.model.encoder.conv1.weight"}
    with pytest.raises(UsageError, match="float8_e4m3fn"):
        fit("m", {"a": Stored("float8_e4m3fn", (4,))}, {"a": (4,)}, tied=True)


def test_an_optimiser_finds_the_weights_that_transformers_own_loading_gives_it(folder):
    """Checkpoints of earlier versions have a state for each of them, in their order."""
    theirs = WhisperForConditionalGeneration.from_pretrained(folder)
    found = [
        [(name, value.requires_grad) for name, value in model.named_parameters()]
        for model in (theirs, read_model(str(folder), print))
    ]
    assert found[0] == found[1]
