"""Opening a store for training: refused or waited for while incomplete, and checked against the model."""

import json

import pytest

from shared.errors import StoreError, UsageError
from shared.store import open_split
from shared.text import tokenizer_fingerprint
from tests.support.samples import feature_row, make_store
from tests.support.training import SPEC, tiny_model, training_store
from trainer.data import check_split, evaluation_split, model_config, model_file, open_for_training, require_rows
from trainer.shape import ModelShape


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("data") / "model")


@pytest.fixture
def store(model_folder, tmp_path):
    return training_store(tmp_path / "store", model_folder)


def shape_of(model_folder, **changed):
    return ModelShape.from_config(model_config(str(model_folder)) | changed)


def check(store, model_folder, split="train", *, tokenizer=None, allow_long_context=False, **changed):
    text = (model_folder / "tokenizer.json").read_text() if tokenizer is None else tokenizer
    check_split(
        open_split(store, split), shape_of(model_folder, **changed), text, allow_long_context=allow_long_context
    )


def test_an_incomplete_store_is_refused_with_its_progress(store):
    (store / "COMPLETE").unlink()
    with pytest.raises(StoreError, match="2 of 2 shards are committed"):
        open_for_training(store, "train", wait=False, tell=print)


def test_with_wait_it_is_waited_for_and_what_moved_is_told_once(store):
    complete = (store / "COMPLETE").read_bytes()
    shard = next((store / "data").glob("train-00001*"))
    hidden = shard.rename(store / "hidden")
    (store / "COMPLETE").unlink()
    told, slept = [], []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            hidden.rename(shard)
        if len(slept) == 5:
            (store / "COMPLETE").write_bytes(complete)

    split = open_for_training(store, "train", wait=True, tell=told.append, sleep=sleep)
    assert len(split) == 48
    assert [line.rpartition(": ")[2] for line in told] == ["1 of 2 shards of 'train'", "2 of 2 shards of 'train'"]


def test_a_store_that_is_not_there_yet_is_waited_for_and_a_split_that_never_comes_is_not(store):
    hidden = store.rename(store.with_name("elsewhere"))
    told = []
    split = open_for_training(store, "train", wait=True, tell=told.append, sleep=lambda _: hidden.rename(store))
    assert len(split) == 48
    assert "is not there yet" in told[0]
    with pytest.raises(StoreError, match="has no split 'dev'"):
        open_for_training(store, "dev", wait=True, tell=told.append, sleep=lambda _: pytest.fail("waited"))


def test_the_model_it_was_prepared_for_fits(store, model_folder):
    check(store, model_folder)


def test_the_same_tokenizer_saved_otherwise_fits(store, model_folder):
    text = json.dumps(json.loads((model_folder / "tokenizer.json").read_text()), indent=3)
    check(store, model_folder, tokenizer=text)


def test_other_mel_bins_do_not_fit(store, model_folder):
    with pytest.raises(UsageError, match="the store has 80 mel bins, the model takes 128"):
        check(store, model_folder, num_mel_bins=128)


def test_another_tokenizer_does_not_fit(store, model_folder):
    value = json.loads((model_folder / "tokenizer.json").read_text())
    value["model"]["merges"] = []
    with pytest.raises(UsageError, match="makes other labels of"):
        check(store, model_folder, tokenizer=json.dumps(value))


def test_a_smaller_vocabulary_does_not_fit(store, model_folder):
    with pytest.raises(UsageError, match="the model's vocabulary 1000 entries"):
        check(store, model_folder, vocab_size=1_000)


def test_too_many_labels_do_not_fit(store, model_folder):
    with pytest.raises(UsageError, match="the model's decoder takes 4"):
        check(store, model_folder, max_target_positions=4)


def test_clips_over_30_s_fit_only_when_they_are_asked_for(tmp_path, model_folder):
    text = (model_folder / "tokenizer.json").read_text()
    rows = [feature_row(number, frames, SPEC, labels=[1, 2, 3]) for number, frames in enumerate((3_000, 3_001))]
    make_store(tmp_path / "store", {"train": [rows]}, SPEC, tokenizer=tokenizer_fingerprint(text))
    with pytest.raises(UsageError, match=r"1 clips of 'train' are longer[\s\S]*--allow-long-context"):
        check(tmp_path / "store", model_folder)
    check(tmp_path / "store", model_folder, allow_long_context=True)


def test_test_is_evaluated_on_before_validation_and_what_is_named_before_both(store):
    record = open_split(store, "train").record
    assert evaluation_split(record, None) == "test"
    assert evaluation_split(record, "train") == "train"


def test_fewer_rows_than_a_step_takes_are_refused(store):
    with pytest.raises(StoreError, match="has 48 rows, one step takes 49"):
        require_rows(open_split(store, "train"), 49)


def test_a_folder_that_is_no_whisper_model_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read config\.json"):
        model_config(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UsageError, match="no Whisper model"):
        model_config(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UsageError, match="is damaged"):
        model_config(str(tmp_path))


def test_a_models_files_are_read_from_its_folder(model_folder):
    assert json.loads(model_file(str(model_folder), "config.json"))["model_type"] == "whisper"
