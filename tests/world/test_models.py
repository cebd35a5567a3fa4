"""Strangers' models, rebuilt in the small from reports of people who fine-tune and deploy Whisper."""

import json
import shutil

import numpy as np
import pytest
import torch
from ctranslate2.converters import TransformersConverter
from faster_whisper import WhisperModel
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import WhisperConfig, WhisperForConditionalGeneration

from shared.command.terminal import Screen
from shared.errors import UsageError
from shared.models.limits import ModelLimits
from shared.models.tokens import vocabulary
from shared.store import open_split
from shared.text import open_tokenizer
from tests.support.training import sentences, tiny_model, training_store
from trainer.auditing import listener
from trainer.auditing.run import audit
from trainer.auditing.settings import AuditSettings
from trainer.data.collate import collate
from trainer.data.dataset import check_split
from trainer.evaluation.settings import EvaluateSettings
from trainer.evaluation.transcribe import transcribed
from trainer.evaluation.transcribers import open_transcriber
from trainer.exporting.conversion import convert
from trainer.exporting.files import Checkpoint, expected_config, require_language
from trainer.exporting.problems import file_problems
from trainer.exporting.remarks import remarks, require_tokens, require_window
from trainer.model.export_limits import export_limits
from trainer.model.files import ModelFiles
from trainer.model.generation import Decoding
from trainer.model.hints import missing_tokens, model_hints
from trainer.model.loading import never_trained, read_model
from trainer.model.shape import ModelShape

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def quiet_settings(**more):
    return EvaluateSettings(rows=2, silence_clips=0, **more)


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model")


def edited(folder, name, **entries):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def cut(folder, *, source=1_500, target=448, layers=2):
    """The model of *folder* with fewer positions or decoder layers, saved in its place by transformers itself."""
    whole = WhisperForConditionalGeneration.from_pretrained(folder)
    changed = {"max_source_positions": source, "max_target_positions": target, "decoder_layers": layers}
    model = WhisperForConditionalGeneration(WhisperConfig.from_dict(whole.config.to_dict() | changed))
    kept = {}
    for name, value in whole.state_dict().items():
        positions = {"model.encoder.embed_positions.weight": source, "model.decoder.embed_positions.weight": target}
        if name in model.state_dict():
            kept[name] = value[: positions[name]] if name in positions else value
    model.load_state_dict(kept)
    model.generation_config = whole.generation_config
    model.generation_config.max_length = target
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    return training_store(root / "store", tiny_model(root / "model"), clips=8, test_clips=2, longest=120)


def test_a_model_of_fewer_places_is_evaluated_within_them(folder, store):
    facts = transcribed([store], [str(cut(folder, target=24))], quiet_settings(split="test"), Screen(stderr=True))
    assert len(facts.models[0].hypotheses) == 2


def test_a_model_of_a_shorter_window_sees_its_own_and_no_more(folder, store):
    cut(folder, source=100)
    facts = transcribed([store], [str(folder)], quiet_settings(split="test"), Screen(stderr=True))
    assert facts.decoding.endswith("2 s window")
    model = open_transcriber(str(folder), language="de", beam_size=1, device=CPU)
    seen = []
    handle = model.model.model.encoder.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    model(np.zeros((1, 200, 80), np.float32), max_length=8)
    handle.remove()
    assert seen == [(1, 100, 64)]


@pytest.mark.parametrize(("sizes", "window"), [({"target": 24}, "30 s"), ({"source": 100}, "2 s")], ids=str)
def test_an_export_is_evaluated_within_its_own_places_and_window(folder, store, tmp_path, sizes, window):
    """Of whoever's: CTranslate2's own config.json tells neither."""
    converted = tmp_path / "export"
    TransformersConverter(str(cut(folder, **sizes)), copy_files=["tokenizer.json"]).convert(str(converted))
    names = [str(folder), str(converted)]
    facts = transcribed([store], names, quiet_settings(split="test"), Screen(stderr=True))
    assert all(model.decoding.endswith(f"{window} window") for model in facts.models)
    assert facts.models[0].hypotheses == facts.models[1].hypotheses


def test_where_an_exports_weights_cannot_be_read_its_config_tells_how_long_they_are(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"another layout")
    assert export_limits(tmp_path) == ModelLimits()
    (tmp_path / "config.json").write_text('{"max_target_positions": 24, "max_source_positions": 100}')
    assert export_limits(tmp_path) == ModelLimits(24, 200)
    (tmp_path / "config.json").write_text('{"max_target_positions": "all"}')
    with pytest.raises(UsageError, match="max_target_positions = 'all'"):
        export_limits(tmp_path)


def test_a_decoder_without_a_place_for_a_word_is_refused(folder):
    with pytest.raises(UsageError, match="4 places, and 4 come before the first word"):
        open_transcriber(str(cut(folder, target=4)), language="de", beam_size=1, device=CPU)


def _weights_cut_off(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _exported(folder):
    """An export in its place, of more mel bins, for 8 bits."""
    wide = tiny_model(folder.parent / "wide", num_mel_bins=128)
    converter = TransformersConverter(str(wide), copy_files=["tokenizer.json"])
    shutil.rmtree(folder)
    converter.convert(str(folder), quantization="int8")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: tiny_model(folder, num_mel_bins=128), "takes 128 mel bins, the store has 80"),
        (_exported, "takes 128 mel bins, the store has 80"),
        (lambda folder: renamed(folder, "de", "nds"), r"has no <\|de\|>"),
        (lambda folder: cut(folder, target=4), "4 come before the first word"),
        (_weights_cut_off, "is cut off"),
        (lambda folder: (folder / "model.safetensors").unlink(), "has no weights"),
    ],
    ids=["mel bins", "an export's mel bins", "language", "places", "cut off", "no weights"],
)
def test_what_is_wrong_with_the_last_model_is_told_before_the_first_is_asked(
    folder, store, tmp_path, monkeypatch, *, spoil, words
):
    last = shutil.copytree(folder, tmp_path / "last")
    spoil(last)
    monkeypatch.setattr("trainer.evaluation.transcribe.open_transcriber", lambda *_, **__: pytest.fail("opened"))
    with pytest.raises(UsageError, match=words):
        transcribed([store], [str(folder), str(last)], quiet_settings(split="test"), Screen(stderr=True))


def test_several_stores_are_evaluated_within_a_shorter_window(folder, store, tmp_path):
    other = shutil.copytree(store, tmp_path / "other")
    for name in ("store.json", "COMPLETE"):
        edited(other, name, uuid="another")
    models = [str(folder), str(cut(shutil.copytree(folder, tmp_path / "cut"), source=100))]
    facts = transcribed([store, other], models, quiet_settings(split="test"), Screen(stderr=True))
    assert [model.decoding.split(", ")[-1] for model in facts.models] == ["30 s window", "2 s window"]
    assert facts.decoding == "each as stated beside it"
    assert {row.test_set for row in facts.rows} == {"store", "other"}


def reordered(folder):
    """The model with a tokenizer of its own: the same texts in other numbers."""
    value = json.loads((folder / "tokenizer.json").read_text())
    vocab = value["model"]["vocab"]
    ordinary = [token for token in vocab if not token.startswith("<|")]
    numbers = [vocab[token] for token in ordinary]
    value["model"]["vocab"] = vocab | dict(zip(reversed(ordinary), numbers, strict=True))
    (folder / "tokenizer.json").write_text(json.dumps(value))
    return folder


def test_each_stores_references_are_read_with_the_tokenizer_that_made_them(folder, store, tmp_path):
    other = reordered(shutil.copytree(folder, tmp_path / "reordered"))
    theirs = training_store(tmp_path / "theirs", other, clips=8, test_clips=2, longest=120)
    edited(theirs, "store.json", uuid="another")
    edited(theirs, "COMPLETE", uuid="another")
    for models in ([folder, other], [other, folder]):
        facts = transcribed([store, theirs], list(map(str, models)), quiet_settings(split="test"), Screen(stderr=True))
        said = {name: {row.reference for row in facts.rows if row.test_set == name} for name in ("store", "theirs")}
        # Both have the same sentences.
        assert said["store"] == said["theirs"] == set(sentences(2, seed=1))
    with pytest.raises(UsageError, match=r"theirs: its labels were made with another tokenizer than that of .*model"):
        transcribed([store, theirs], [str(folder)], quiet_settings(split="test"), Screen(stderr=True))
    # The same one, saved by other software.
    (folder / "tokenizer.json").write_text(json.dumps(json.loads((folder / "tokenizer.json").read_text()), indent=1))
    facts = transcribed([store], [str(folder)], quiet_settings(split="test"), Screen(stderr=True))
    assert {row.reference for row in facts.rows} == set(sentences(2, seed=1))


def test_an_audit_keeps_to_a_models_own_window_and_places_and_not_to_its_settings(folder, store, tmp_path, monkeypatch):
    edited(cut(folder, source=100, target=24), "generation_config.json", num_return_sequences=2, num_beams=2)
    seen = []

    def collated(*args, **options):
        batch = collate(*args, **options)
        seen.append(batch.features.shape[1])
        return batch

    monkeypatch.setattr(listener, "collate", collated)
    settings = AuditSettings(store=store, model=str(folder), output=tmp_path / "audit", decode=True, device="cpu")
    assert len(audit(settings).table) == 8
    assert set(seen) == {200}


def test_clips_beyond_a_models_window_or_places_are_an_error_before_anything_is_trained(folder, store):
    split, text = open_split(store, "train"), (folder / "tokenizer.json").read_text()
    shape = ModelShape.from_config(json.loads((folder / "config.json").read_text()) | {"max_source_positions": 20})
    with pytest.raises(UsageError, match=r"longer than the 0\.4 s that the model was made for"):
        check_split(split, shape, text, allow_long_context=False)
    shape = ModelShape.from_config(json.loads((folder / "config.json").read_text()) | {"max_target_positions": 5})
    with pytest.raises(UsageError, match="decoder takes 5"):
        check_split(split, shape, text, allow_long_context=False)


def test_an_export_for_another_window_than_30_s_is_refused_before_it_is_made(folder):
    with pytest.raises(UsageError, match=r"windows of 15 s; faster-whisper hands every model 30 s"):
        require_window(Checkpoint.read(cut(folder, source=750)))


def test_an_export_of_fewer_places_says_what_transcribe_must_be_given_and_that_works(folder, tmp_path):
    checkpoint = Checkpoint.read(cut(folder, target=64))
    convert(checkpoint, tmp_path / "export", "float32")
    (note,) = remarks(checkpoint)
    assert "64 places" in note
    assert "max_new_tokens=60" in note
    model = WhisperModel(str(tmp_path / "export"), device="cpu", cpu_threads=1)
    sound = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    given = {"temperature": 0.0, "language": "en", "condition_on_previous_text": False}
    list(model.transcribe(sound, max_new_tokens=60, **given)[0])
    with pytest.raises(RuntimeError, match="No position encodings"):
        list(model.transcribe(sound, **given)[0])


def test_a_distilled_model_of_fewer_decoder_layers_is_one_like_any_other(folder):
    read_model(str(cut(folder, layers=1)), print)
    edited(folder, "config.json", decoder_layers=2)
    with pytest.raises(UsageError, match=r"lacks 24 of .*decoder\.layers\.1"):
        read_model(str(folder), print)


def test_an_export_holds_the_weights_that_were_checked_whatever_they_are_called(folder, tmp_path):
    convert(Checkpoint.read(folder), tmp_path / "plain", "float32")
    path = folder / "model.safetensors"
    save_file({f"_orig_mod.{name}": value for name, value in load_file(path).items()}, path)
    convert(Checkpoint.read(folder), tmp_path / "compiled", "float32")
    assert (tmp_path / "compiled" / "model.bin").read_bytes() == (tmp_path / "plain" / "model.bin").read_bytes()


@pytest.mark.parametrize(
    "gone",
    [
        ("tokenizer.json",),
        ("generation_config.json",),
        ("preprocessor_config.json",),
        ("vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"),
        ("tokenizer.json", "generation_config.json", "preprocessor_config.json"),
    ],
)
def test_files_that_a_checkpoint_lacks_are_made_and_faster_whisper_loads_the_export(folder, tmp_path, gone):
    for name in gone:
        (folder / name).unlink()
    checkpoint = Checkpoint.read(folder)
    convert(checkpoint, tmp_path / "export", "float32")
    assert file_problems(tmp_path / "export", checkpoint) == []
    WhisperModel(str(tmp_path / "export"), device="cpu", cpu_threads=1)


def with_word(folder):
    """The model with one more word, embeddings resized as the tutorials have it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["Ibuprofen"])
    model = WhisperForConditionalGeneration.from_pretrained(folder)
    model.resize_token_embeddings(tokenizer.get_vocab_size(), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_that_faster_whisper_loses_added_words_is_told_by_the_export(folder):
    (note,) = remarks(Checkpoint.read(with_word(folder)))
    assert "leaves out 1 added word, numbered" in note
    assert "'Ibuprofen'" in note


def test_what_faster_whisper_will_not_do_is_told_by_the_export(folder):
    edited(folder, "generation_config.json", no_repeat_ngram_size=3, repetition_penalty=1.2)
    (note,) = remarks(Checkpoint.read(folder))
    assert "no_repeat_ngram_size 3, repetition_penalty 1.2" in note


def test_a_usual_model_has_no_notes(folder):
    assert remarks(Checkpoint.read(folder)) == []


def test_that_a_model_never_saw_training_is_told_and_not_of_one_that_did(folder):
    model = read_model(str(folder), print)
    assert never_trained(model)
    with torch.no_grad():
        model.model.encoder.layers[0].fc1.bias += 1e-6
    assert not never_trained(model)


def test_a_tokenizer_of_2022_without_timestamps_is_read_and_that_is_told(folder):
    value = json.loads((folder / "tokenizer.json").read_text())
    value["added_tokens"] = [token for token in value["added_tokens"] if "." not in token["content"]]
    (folder / "tokenizer.json").write_text(json.dumps(value))
    model = open_transcriber(str(folder), language="de", beam_size=1, device=CPU)
    assert any("no timestamp tokens" in remark for remark in model.remarks)
    assert any("never saw training" in remark for remark in model.remarks)


def test_an_export_has_no_generation_settings_of_its_own_to_use(folder, tmp_path):
    convert(Checkpoint.read(folder), tmp_path / "export", "float32")
    with pytest.raises(UsageError, match="no generation settings of its own"):
        open_transcriber(str(tmp_path / "export"), language="de", beam_size=1, device=CPU, own_settings=True)


def test_an_export_given_to_a_training_is_told_as_one(folder, tmp_path):
    convert(Checkpoint.read(folder), tmp_path / "export", "float32")
    with pytest.raises(UsageError, match="a CTranslate2 export"):
        ModelFiles.read(str(tmp_path / "export"))


def test_an_adapter_beside_a_copied_config_is_not_trained_from_its_base(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "openai/whisper-large-v3"}')
    shutil.move(folder / "model.safetensors", folder / "adapter_model.safetensors")
    with pytest.raises(UsageError, match="LoRA adapter"):
        read_model(str(folder), print)


@pytest.mark.parametrize("name", ["suppress_tokens", "begin_suppress_tokens"])
def test_numbers_that_no_token_has_are_no_part_of_an_export(folder, name):
    """CTranslate2 takes them for places in its memory, and ends in a segmentation fault or says something else."""
    edited(folder, "generation_config.json", **{name: [-1, 5, 3_401, 99_999]})
    config = expected_config(Checkpoint.read(folder))
    assert config["suppress_ids" if name == "suppress_tokens" else "suppress_ids_begin"] == [5]


@pytest.mark.parametrize("ids", [[-5], [5, 99_999], ["5"]], ids=str)
def test_an_export_that_ctranslate2_would_break_on_is_refused(folder, tmp_path, ids):
    convert(Checkpoint.read(folder), tmp_path / "export", "float32")
    edited(tmp_path / "export", "config.json", suppress_ids_begin=ids)
    with pytest.raises(UsageError, match="suppress_ids_begin"):
        open_transcriber(str(tmp_path / "export"), language="de", beam_size=1, device=CPU)


@pytest.mark.parametrize(
    "entries", [{"num_mel_bins": True}, {"max_target_positions": "448"}, {"d_model": 64.0}], ids=str
)
def test_a_size_that_is_none_is_told_with_its_model(folder, entries):
    edited(folder, "config.json", **entries)
    with pytest.raises(UsageError, match=rf"config\.json of {folder} has {next(iter(entries))} = "):
        ModelFiles.read(str(folder))


def renamed(folder, token, other):
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace(f"<|{token}|>", f"<|{other}|>"))
    return folder


@pytest.mark.parametrize("token", ["nospeech", "startofprev", "translate"])
def test_a_tokenizer_that_faster_whisper_breaks_on_is_refused_before_the_export_and_told_earlier(folder, token):
    checkpoint = Checkpoint.read(renamed(folder, token, "gone"))
    with pytest.raises(UsageError, match=rf"has no <\|{token}\|>, which faster-whisper asks for"):
        require_tokens(checkpoint)
    assert any(
        f"<|{token}|>" in hint for hint in model_hints(vocabulary(checkpoint.tokenizer_json), never_trained=False)
    )


def test_the_older_name_of_silence_is_one(folder):
    checkpoint = Checkpoint.read(renamed(folder, "nospeech", "nocaptions"))
    assert missing_tokens(vocabulary(checkpoint.tokenizer_json)) == []
    require_tokens(checkpoint)


def test_a_language_that_faster_whisper_does_not_know_is_refused_before_the_export(folder):
    checkpoint = Checkpoint.read(renamed(folder, "de", "nds"))
    with pytest.raises(UsageError, match="faster-whisper does not know the language 'nds'"):
        require_language(checkpoint, "nds")
    with pytest.raises(UsageError, match="model does not know the language 'de'"):
        require_language(checkpoint, "de")
    require_language(checkpoint, "en")


@pytest.mark.parametrize("kind", ["WordLevel", "no merges"])
def test_a_tokenizer_that_no_earlier_reader_could_have_is_refused_before_anything_is_trained(folder, kind):
    value = json.loads((folder / "tokenizer.json").read_text())
    vocab = value["model"]["vocab"]
    value["model"] = (
        {"type": "WordLevel", "vocab": vocab, "unk_token": "!"} if kind == "WordLevel" else {"vocab": vocab}
    )
    (folder / "tokenizer.json").write_text(json.dumps(value))
    with pytest.raises(UsageError, match=r"tokenizer\.json of .* is damaged: .*(WordLevel|merges)"):
        ModelFiles.read(str(folder))


def test_what_somebodys_batches_were_padded_with_is_no_blank(folder):
    plain = Decoding.of(open_tokenizer((folder / "tokenizer.json").read_text(), "plain"))
    value = json.loads((folder / "tokenizer.json").read_text())
    value["padding"] = {"strategy": {"Fixed": 12}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 1}
    value["padding"] |= {"pad_type_id": 0, "pad_token": "<|endoftext|>"}
    value["truncation"] = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    tokenizer = open_tokenizer(json.dumps(value), "padded")
    assert Decoding.of(tokenizer) == plain
    assert len(tokenizer.encode("eins zwei drei vier fünf").ids) > 2


def test_a_pickle_of_something_else_than_weights_is_told_as_one_without_advice_to_run_it(folder):
    (folder / "model.safetensors").unlink()
    torch.save({0: torch.zeros(2)}, folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="something other than weights by name"):
        read_model(str(folder), print)
    torch.save(torch.nn.Linear(2, 2), folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="or not plain weights") as error:
        read_model(str(folder), print)
    assert "weights_only" not in str(error.value)
    assert "\x1b" not in str(error.value)
    (folder / "pytorch_model.bin").unlink()
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "config.json"}}')
    with pytest.raises(UsageError, match="names no weight files"):
        read_model(str(folder), print)
