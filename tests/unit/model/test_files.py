"""What a model was saved with, this year or earlier, is read; what other readers want is written."""

import json

import pytest
from tokenizers import Tokenizer
from transformers import WhisperProcessor

from shared.errors import UsageError
from shared.models.assembled import for_old_readers
from shared.models.model_files import model_facts, tokenizer_json
from shared.text import Labeller
from tests.support.training import tiny_model
from trainer.checkpoints.output_folder import small_files
from trainer.model.files import ModelFiles

TEXTS = ("Guten Tag, wie geht es Ihnen?", "Straße <|de|> 12,50 €", "Sagte er „nein“?")


@pytest.fixture
def folder(tmp_path):
    return tiny_model(tmp_path / "model")


def edited(folder, name, **entries):
    path = folder / name
    value = json.loads(path.read_text()) | entries
    path.write_text(json.dumps({key: entry for key, entry in value.items() if entry is not None}))


def labels(text):
    labeller = Labeller(text)
    return [labeller(said) for said in TEXTS]


def test_transformers_5_saves_one_processor_config_and_it_is_enough(folder, tmp_path):
    WhisperProcessor.from_pretrained(folder).save_pretrained(tmp_path / "new")
    for path in folder.glob("*"):
        if path.name in {"config.json", "generation_config.json", "model.safetensors"}:
            path.rename(tmp_path / "new" / path.name)
    assert not (tmp_path / "new" / "preprocessor_config.json").exists()
    files = small_files(str(tmp_path / "new"))
    assert json.loads(files["preprocessor_config.json"])["feature_size"] == 80
    assert json.loads(files["processor_config.json"])
    assert {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"} <= files.keys()
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    processor = WhisperProcessor.from_pretrained(tmp_path)
    assert processor.feature_extractor.feature_size == 80
    de = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).token_to_id("<|de|>")
    assert processor.tokenizer.convert_tokens_to_ids("<|de|>") == de


def test_vocab_and_merges_alone_make_the_same_labels_and_ids(folder):
    before = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").unlink()
    found = tokenizer_json(str(folder))
    assert labels(found) == labels(before)
    assert Tokenizer.from_str(found).get_vocab() == Tokenizer.from_str(before).get_vocab()
    assert model_facts(str(folder), None, None).tokenizer_json == found


@pytest.mark.parametrize("gone", ["added_tokens.json", "tokenizer_config.json"])
def test_where_added_tokens_are_written_twice_one_of_them_is_enough(folder, gone):
    before = labels((folder / "tokenizer.json").read_text())
    for name in ("tokenizer.json", gone):
        (folder / name).unlink()
    assert labels(tokenizer_json(str(folder))) == before


def test_a_checkpoint_of_a_trainer_has_its_tokenizer_where_the_run_saved_it(folder):
    checkpoint = folder / "checkpoint-500"
    checkpoint.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / name).rename(checkpoint / name)
    with pytest.raises(UsageError, match=r"saved without its processor\n.*WhisperProcessor"):
        ModelFiles.read(str(checkpoint))
    (checkpoint / "trainer_state.json").write_text("{}")
    files = ModelFiles.read(str(checkpoint))
    assert files.tokenizer_json == (folder / "tokenizer.json").read_text()
    assert files.preprocessor["feature_size"] == 80


def test_without_generation_settings_they_follow_from_the_tokenizer_and_the_old_config(folder):
    expected = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").unlink()
    edited(folder, "config.json", suppress_tokens=[7, 8])
    found = ModelFiles.read(str(folder)).generation
    assert found["suppress_tokens"] == [7, 8]
    same = ("begin_suppress_tokens", "lang_to_id", "task_to_id", "no_timestamps_token_id", "prev_sot_token_id")
    assert {name: found[name] for name in same} == {name: expected[name] for name in same}


def test_log_mel_of_other_figures_than_the_stores_is_refused(folder):
    edited(folder, "preprocessor_config.json", hop_length=320)
    with pytest.raises(UsageError, match="hop_length 320"):
        ModelFiles.read(str(folder))


def test_a_preprocessor_of_another_model_gets_the_mel_bins_of_this_one(folder):
    edited(folder, "preprocessor_config.json", feature_size=128, dither=0.0)
    found = ModelFiles.read(str(folder)).preprocessor
    assert (found["feature_size"], found["dither"]) == (80, 0.0)


def test_a_feature_extractor_that_is_but_a_name_states_no_figures(folder):
    expected = ModelFiles.read(str(folder)).preprocessor
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text('{"feature_extractor": "WhisperFeatureExtractor"}')
    found = ModelFiles.read(str(folder)).preprocessor
    same = ("feature_size", "sampling_rate", "hop_length", "n_fft")
    assert {name: found[name] for name in same} == {name: expected[name] for name in same}


def test_no_file_that_git_lfs_has_not_fetched_goes_into_a_checkpoint(folder):
    (folder / "vocab.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n")
    with pytest.raises(UsageError, match=r"vocab\.json is a Git LFS pointer"):
        small_files(str(folder))


@pytest.mark.parametrize("name", ["vocab.json", "special_tokens_map.json", "tokenizer_config.json"])
def test_no_damaged_file_that_nobody_else_reads_goes_into_a_checkpoint(folder, name):
    (folder / name).write_text('{"cut o')
    with pytest.raises(UsageError, match=rf"{name} is damaged"):
        small_files(str(folder))


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_before_anything_is_trained(folder):
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_tokens(["Ibuprofen"])
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(UsageError, match=r"tokens up to 3401, its config\.json a vocab_size of 3401"):
        ModelFiles.read(str(folder))


def test_embeddings_that_were_rounded_up_to_a_multiple_are_no_trouble(folder):
    edited(folder, "config.json", vocab_size=3_408)
    assert ModelFiles.read(str(folder)).config["vocab_size"] == 3_408


def test_merges_are_written_as_old_readers_want_them_and_mean_the_same(folder):
    text = (folder / "tokenizer.json").read_text()
    value = json.loads(for_old_readers(text))
    assert all(isinstance(rule, str) for rule in value["model"]["merges"])
    assert labels(json.dumps(value)) == labels(text)
    assert for_old_readers(json.dumps(value)) == json.dumps(value)


@pytest.mark.parametrize("content", ["[]", "{", '{"a": "b"}'])
def test_damaged_files_are_errors_with_the_models_name(folder, content):
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(UsageError, match=str(folder)):
        ModelFiles.read(str(folder))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(content)
    with pytest.raises(UsageError):
        ModelFiles.read(str(folder))
