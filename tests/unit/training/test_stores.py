"""Several stores in one training, and rows left out: one order however it is typed, told apart on resuming."""

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from shared.errors import UsageError
from tests.support.training import tiny_model, training_store
from trainer.checkpoints.checkpoint import TrainState
from trainer.data.micro_batches import Budget
from trainer.distributed.ranks import Ranks
from trainer.settings import TrainSettings
from trainer.training import resume
from trainer.training.components import Setup, open_data, planner


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two stores, of which only the first has a split `test`, and the model that both were prepared for."""
    folder = tmp_path_factory.mktemp("stores")
    tiny_model(folder / "model")
    for name, clips in (("b", 16), ("a", 24)):
        training_store(folder / name, folder / "model", clips=clips)
        rename(folder / name, name * 8)
    record = json.loads((folder / "b" / "store.json").read_text())
    del record["splits"]["test"]
    (folder / "b" / "store.json").write_text(json.dumps(record))
    return folder


def rename(store, uuid):
    for name in ("store.json", "COMPLETE"):
        path = store / name
        path.write_text(json.dumps(json.loads(path.read_text()) | {"uuid": uuid}))


def settings(folder, *stores, **more):
    named = tuple(folder / store for store in stores)
    return TrainSettings(
        store=named, model=str(folder / "model"), output=folder / "out", global_batch_size=4, _env_file=None, **more
    )


def steps(made):
    """Which rows of which store every step of an epoch has."""
    data = open_data(made, print)
    plans = planner(Setup.of(made, Ranks(0, 1, torch.device("cpu"))), data, Budget(4_000, 4_000))
    return [
        [
            (data.train.root_of(clip.row).name, int(data.train.row_id[clip.row]))
            for batch in rank
            for clip in batch.clips
        ]
        for number in range(plans.steps_per_epoch)
        for rank in plans.plan(number).ranks
    ]


def excluding(folder, **columns):
    path = folder / "out.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_every_row_of_both_stores_comes_once_an_epoch_in_the_same_order_for_either_order_of_the_options(folder):
    one = steps(settings(folder, "a", "b"))
    assert one == steps(settings(folder, "b", "a"))
    rows = [row for step in one for row in step]
    assert len(rows) == len(set(rows)) == 40
    assert any(len({store for store, _ in step}) == 2 for step in one)


def test_the_order_is_that_of_one_store_where_there_is_one(folder):
    assert steps(settings(folder, "a")) == steps(settings(folder, "a", exclude_rows=None))
    assert {store for step in steps(settings(folder, "a")) for store, _ in step} == {"a"}


def test_left_out_rows_come_in_no_step_and_evaluation_keeps_all(folder):
    named = excluding(folder, store=["a" * 8, "b" * 8], row_id=[3, 0], piece=[0, 0])
    made = settings(folder, "a", "b", exclude_rows=named)
    rows = {row for step in steps(made) for row in step}
    assert not rows & {("a", 3), ("b", 0)}
    data = open_data(made, print)
    assert (len(data.train), len(data.evaluated), len(data.evaluated.splits)) == (38, 8, 1)


def test_rows_that_leave_too_few_for_a_step_are_refused(folder):
    named = excluding(folder, row_id=list(range(22)))
    with pytest.raises(UsageError, match="'train' has 2 rows, one step takes 4"):
        open_data(settings(folder, "a", exclude_rows=named), print)


def test_a_store_of_another_tokenizer_is_refused_by_its_name(folder, tmp_path):
    other = shutil.copytree(folder / "model", tmp_path / "model")
    value = json.loads((other / "tokenizer.json").read_text())
    value["model"]["merges"] = []
    (other / "tokenizer.json").write_text(json.dumps(value))
    training_store(tmp_path / "c", other, clips=8)
    rename(tmp_path / "c", "cccc")
    made = settings(folder, "a", tmp_path / "c")
    with pytest.raises(UsageError, match=r"/c: the model's tokenizer makes other labels"):
        open_data(made, print)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (("a",), ("a", "b"), "store 'aaaaaaaa' before, .*'bbbbbbbb'. now"),
        (("a", "b"), ("b",), "store .*'bbbbbbbb'. before, 'bbbbbbbb' now"),
    ],
)
def test_a_run_goes_on_with_the_same_stores_alone(folder, monkeypatch, before, now, said):
    with pytest.raises(UsageError, match=said):
        found(folder, monkeypatch, settings(folder, *before), settings(folder, *now))


def found(folder, monkeypatch, before, now):
    """The checkpoint that *now* goes on from, where *before* left one."""
    # Through JSON, as a checkpoint's own record goes.
    saved = json.loads(json.dumps(resume.identity(before, open_data(before, print))))
    monkeypatch.setattr(resume, "latest", lambda _: folder / "checkpoint-3")
    monkeypatch.setattr(resume, "load_training", lambda _: (TrainState(3, saved, 0, 0), {}))
    return resume.find_checkpoint(now, resume.identity(now, open_data(now, print)))


def test_a_run_goes_on_with_the_same_rows_left_out_however_they_are_named(folder, monkeypatch):
    one = folder / "one.csv"
    one.write_text("row_id\n5\n3\n")
    before = settings(folder, "a", exclude_rows=one)
    again = settings(folder, "a", exclude_rows=excluding(folder, row_id=[3, 5, 5], piece=[0, 0, 0], loss=[9.0, 8, 7]))
    assert found(folder, monkeypatch, before, again)[1].step == 3
    assert found(folder, monkeypatch, settings(folder, "a", "b"), settings(folder, "b", "a"))[1].step == 3


@pytest.mark.parametrize("now", ["row_id\n5\n4\n", None])
def test_a_run_with_other_rows_left_out_is_another_run(folder, monkeypatch, now, tmp_path):
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    one.write_text("row_id\n5\n3\n")
    other.write_text(now or "")
    after = settings(folder, "a", exclude_rows=other if now else None)
    with pytest.raises(UsageError, match=r"excluded '\w+' before, .* now[\s\S]*another --output"):
        found(folder, monkeypatch, settings(folder, "a", exclude_rows=one), after)


def test_stores_are_read_from_a_variable_as_a_list_and_a_folders_own_comma_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAINER_STORE", "one, two")
    assert [path.name for path in TrainSettings(_env_file=None).store_folders] == ["one", "two"]
    (tmp_path / "one, two").mkdir()
    monkeypatch.setenv("TRAINER_STORE", str(tmp_path / "one, two"))
    assert TrainSettings(_env_file=None).store_folders == [tmp_path / "one, two"]
    assert TrainSettings(store=("x/a", "b"), model="m", _env_file=None).output_folder.name == "m-a+b"
