"""Opening a store for training: refused or waited for while incomplete, and checked against the model."""

import json
import os
import signal
import threading

import pytest

from shared.errors import InterruptedRunError, StoreError, UsageError
from shared.models.model_files import model_config
from shared.store import open_split
from shared.system.stop_request import StopRequest
from shared.text import tokenizer_fingerprint
from tests.support.samples import feature_row, make_store
from tests.support.training import SPEC, tiny_model, training_store
from trainer.data.dataset import (
    WAIT_SECONDS,
    check_split,
    evaluation_split,
    open_for_training,
    require_rows,
)
from trainer.model.shape import ModelShape


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
    with pytest.raises(StoreError, match="2 of 2 shards committed"):
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
    with pytest.raises(UsageError, match="has no split 'dev'"):
        open_for_training(store, "dev", wait=True, tell=told.append, sleep=lambda _: pytest.fail("waited"))


def test_the_evaluated_split_is_waited_for_as_the_trained_one_is(store):
    complete = json.loads((store / "COMPLETE").read_text())
    evaluated = complete["splits"].pop("test")
    (store / "COMPLETE").write_text(json.dumps(complete))
    told = []

    def sleep(_):
        finished = complete | {"splits": complete["splits"] | {"test": evaluated}}
        (store / "COMPLETE").write_text(json.dumps(finished))

    for split, rows in (("train", 48), ("test", 8)):
        assert len(open_for_training(store, split, wait=True, tell=told.append, sleep=sleep)) == rows
    assert told == ["waiting for the store: 2 of 2 shards of 'test'"]


def test_a_stop_ends_the_waiting_within_a_second(store):
    (store / "COMPLETE").unlink()
    slept = []
    with pytest.raises(InterruptedRunError, match=r"waiting for the store: 2 of 2 shards[\s\S]*the same command"):
        open_for_training(store, "train", wait=True, tell=print, stop=lambda: len(slept) == 3, sleep=slept.append)
    assert slept == [WAIT_SECONDS] * 3
    assert WAIT_SECONDS <= 1


def test_one_signal_is_enough_to_end_the_waiting(store):
    (store / "COMPLETE").unlink()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with StopRequest() as stop, pytest.raises(InterruptedRunError):
        open_for_training(store, "train", wait=True, tell=print, stop=stop)


def test_a_stop_does_not_matter_to_a_store_that_is_complete(store):
    assert len(open_for_training(store, "train", wait=True, tell=print, stop=lambda: True)) == 48


@pytest.mark.parametrize("wait", [False, True])
def test_a_missing_shard_is_found_before_anything_is_trained(store, wait):
    shard = next((store / "data").glob("train-00001*"))
    shard.unlink()
    with pytest.raises(StoreError, match=shard.name):
        open_for_training(store, "train", wait=wait, tell=print)


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
    with pytest.raises(UsageError, match="the model's vocabulary ends at 999"):
        check(store, model_folder, vocab_size=1_000)


@pytest.mark.parametrize("label", [999_999, -1])
def test_a_label_outside_the_vocabulary_is_named_in_whatever_row_it_stands(tmp_path, model_folder, label):
    text = (model_folder / "tokenizer.json").read_text()
    labels = [[1, 2, 3]] * 121 + [[1, label, 3]] + [[1, 2, 3]]
    rows = [feature_row(number, 5, SPEC, labels=ids) for number, ids in enumerate(labels)]
    make_store(tmp_path / "store", {"train": [rows]}, SPEC, tokenizer=tokenizer_fingerprint(text))
    with pytest.raises(UsageError, match=rf"row 121 of 'train' has the label {label},[\s\S]*choose the model"):
        check(tmp_path / "store", model_folder)


def test_the_last_entry_of_the_vocabulary_fits_and_one_more_does_not(tmp_path, model_folder):
    text, size = (model_folder / "tokenizer.json").read_text(), shape_of(model_folder).vocab_size
    rows = [feature_row(0, 5, SPEC, labels=[0, size - 1])]
    make_store(tmp_path / "store", {"train": [rows]}, SPEC, tokenizer=tokenizer_fingerprint(text))
    check(tmp_path / "store", model_folder)
    with pytest.raises(UsageError, match=rf"has the label {size - 1}"):
        check(tmp_path / "store", model_folder, vocab_size=size - 1)


def test_too_many_labels_do_not_fit(store, model_folder):
    with pytest.raises(UsageError, match="the model's decoder takes 4"):
        check(store, model_folder, max_target_positions=4)


def test_clips_over_30_s_fit_only_when_they_are_asked_for(tmp_path, model_folder):
    text = (model_folder / "tokenizer.json").read_text()
    rows = [feature_row(number, frames, SPEC, labels=[1, 2, 3]) for number, frames in enumerate((3_000, 3_001))]
    make_store(tmp_path / "store", {"train": [rows]}, SPEC, tokenizer=tokenizer_fingerprint(text))
    with pytest.raises(UsageError, match=r"'train' has 1 clip of up to 30\.0 s, longer[\s\S]*--allow-long-context"):
        check(tmp_path / "store", model_folder)
    check(tmp_path / "store", model_folder, allow_long_context=True)


def test_test_is_evaluated_on_before_validation_and_what_is_named_before_both(store):
    record = open_split(store, "train").record
    assert evaluation_split(record, None) == "test"
    assert evaluation_split(record, "train") == "train"


def test_fewer_rows_than_a_step_takes_are_refused(store):
    with pytest.raises(UsageError, match="has 48 rows, one step takes 49"):
        require_rows(open_split(store, "train"), 49)
