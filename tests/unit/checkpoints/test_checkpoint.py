"""Checkpoints: whole or not there, whatever happens while one is written."""

import errno
import json
import os
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from shared.errors import ResourceLimitError, SpeechPrepError, UnreadableError
from tests.support.ext4 import Cut, Ext4Disk
from trainer.checkpoints.checkpoint import PARTIAL, TrainState, checkpoints, latest, load_training, point_best_at
from trainer.checkpoints.files import CheckpointContent, copy_to_cpu
from trainer.checkpoints.writer import Checkpoints, still_to_come


def snapshot(step, best_step=None, values=1_000):
    state = TrainState(step, {"seed": 1}, 100, 50, None if best_step is None else 0.5, best_step)
    optimiser = {"state": {0: {"exp_avg": torch.full((values,), float(step))}}, "param_groups": [{"lr": 0.1}]}
    return CheckpointContent(state, {"weight": torch.full((values,), float(step))}, optimiser, {"scale": 2.0})


def keeper(folder, keep=2):
    return Checkpoints(folder, {"config.json": b"{}"}, keep)


def save(folder, *snapshots, keep=2):
    made = keeper(folder, keep)
    try:
        for one in snapshots:
            made.save(one)
        made.wait()
    finally:
        made.close()


def test_what_was_saved_is_what_is_loaded(tmp_path):
    save(tmp_path, snapshot(7, best_step=7))
    state, training = load_training(latest(tmp_path))
    assert state == snapshot(7, best_step=7).state
    assert torch.equal(training["optimiser"]["state"][0]["exp_avg"], torch.full((1_000,), 7.0))
    assert training["scaler"] == {"scale": 2.0}


def test_the_last_ones_stay_and_the_best_keeps_its_model(tmp_path):
    save(tmp_path, *(snapshot(step, best_step=2) for step in range(1, 6)))
    assert [step for step, _ in checkpoints(tmp_path)] == [2, 4, 5]
    assert (tmp_path / "best").resolve() == tmp_path / "checkpoint-00000002"
    assert not (tmp_path / "best" / "training").exists()
    assert latest(tmp_path).name == "checkpoint-00000005"


def test_a_half_written_one_is_no_checkpoint_and_goes_at_the_next_start(tmp_path):
    save(tmp_path, snapshot(1))
    (tmp_path / f"{PARTIAL}checkpoint-00000002" / "training").mkdir(parents=True)
    assert latest(tmp_path).name == "checkpoint-00000001"
    keeper(tmp_path).clear_partial()
    assert not list(tmp_path.glob(f"{PARTIAL}*"))


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("checkpoint-00000001"), lambda path: path.touch()])
def test_whatever_was_left_half_made_goes_at_the_next_start(tmp_path, make):
    """Also the link of a run that was killed before it took the name `best`; what it points at stays."""
    save(tmp_path, snapshot(1))
    make(tmp_path / f"{PARTIAL}best-link")
    keeper(tmp_path).clear_partial()
    assert not list(tmp_path.glob(f"{PARTIAL}*"))
    assert latest(tmp_path).name == "checkpoint-00000001"


def test_a_best_one_whose_link_was_never_made_is_linked_at_the_next_start(tmp_path):
    save(tmp_path, snapshot(1, best_step=1), snapshot(2, best_step=2))
    point_best_at(tmp_path, tmp_path / "checkpoint-00000001")
    state, _ = load_training(latest(tmp_path))
    made = keeper(tmp_path)
    assert made.mend_best(state) == state
    assert (tmp_path / "best").resolve().name == "checkpoint-00000002"
    assert made.best == (0.5, 2)


def test_a_best_one_that_is_gone_is_forgotten(tmp_path):
    save(tmp_path, snapshot(1), snapshot(2, best_step=9))
    state = keeper(tmp_path).mend_best(load_training(latest(tmp_path))[0])
    assert (state.best_wer, state.best_step) == (None, None)


def test_what_best_points_at_stays_whatever_a_state_says(tmp_path):
    """Of step 3 the evaluation was better, but it could not be written."""
    save(tmp_path, snapshot(1, best_step=1), *(snapshot(step, best_step=3) for step in (2, 4, 5)))
    assert (tmp_path / "best").resolve().is_dir()
    assert [step for step, _ in checkpoints(tmp_path)] == [1, 4, 5]


def test_others_may_read_the_weights_as_they_may_the_rest(tmp_path):
    save(tmp_path, snapshot(1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in latest(tmp_path).rglob("*") if path.is_file()}
    assert len(set(modes.values())) == 1, modes


def test_a_failure_is_known_without_waiting_for_the_next_one(tmp_path):
    with Ext4Disk(tmp_path, 32 << 20) as disk:
        made = keeper(disk.folder)
        made.poll()
        made.save(snapshot(1, values=20_000_000))
        made.close()
        with pytest.raises(ResourceLimitError, match="has no room for"):
            made.poll()
        made.poll()


@given(st.integers(0, 9), st.integers(0, 20), st.integers(1, 5))
def test_room_is_asked_for_as_many_as_will_lie_there_at_once(existing, to_write, keep):
    """With those that are there: the last ones, the best, and one being written; never for more than there will be."""
    count = still_to_come(existing, to_write, keep)
    assert 0 <= count <= to_write
    assert count == to_write or count + existing >= keep + 2


def test_a_disk_too_full_is_said_before_anything_is_written_and_harms_nothing(tmp_path):
    with Ext4Disk(tmp_path, 32 << 20) as disk:
        folder = disk.folder / "out"
        folder.mkdir()
        with pytest.raises(ResourceLimitError, match=r"has no room for[\s\S]*the same command goes on"):
            save(folder, snapshot(1, values=20_000_000))
        assert list(folder.iterdir()) == []


def test_a_disk_that_fills_up_while_one_is_written_is_said_and_the_one_before_it_stays(tmp_path):
    with Ext4Disk(tmp_path, 48 << 20) as disk:
        folder = disk.folder / "out"
        folder.mkdir()
        save(folder, snapshot(1))
        made = Checkpoints(folder, {"tokenizer.json": bytes(40 << 20)}, 2)
        made.save(snapshot(2))
        with pytest.raises(ResourceLimitError, match=r"step 2 cannot be written[\s\S]*the same command goes on"):
            made.wait()
        made.close()
        assert [path.name for path in folder.iterdir()] == ["checkpoint-00000001"]


@pytest.mark.parametrize("cut", list(Cut))
def test_a_checkpoint_that_was_waited_for_outlives_a_power_cut(tmp_path, cut):
    with Ext4Disk(tmp_path, 32 << 20) as disk:
        folder = disk.folder / "out"
        folder.mkdir()
        disk.sync()
        save(folder, snapshot(1, best_step=1), snapshot(2, best_step=2))
        disk.power_cut(cut)
        disk.remount()
        assert (folder / "best").resolve() == latest(folder)
        state, training = load_training(latest(folder))
        assert state.step == 2
        assert torch.equal(training["optimiser"]["state"][0]["exp_avg"], torch.full((1_000,), 2.0))
        assert load_file(latest(folder) / "model.safetensors")["weight"].tolist() == [2.0] * 1_000


def test_one_that_is_not_the_best_outlives_a_power_cut_too(tmp_path):
    with Ext4Disk(tmp_path, 32 << 20) as disk:
        folder = disk.folder / "out"
        folder.mkdir()
        save(folder, snapshot(1, best_step=1), snapshot(2, best_step=1))
        disk.power_cut()
        disk.remount()
        assert latest(folder).name == "checkpoint-00000002"


def test_training_goes_on_changing_its_tensors_while_a_copy_is_written():
    live = {"state": {0: {"exp_avg": torch.zeros(3)}}, "list": [torch.zeros(2)], "lr": 0.1}
    copied = copy_to_cpu(live)
    live["state"][0]["exp_avg"] += 1
    live["list"][0] += 1
    assert copied["state"][0]["exp_avg"].tolist() == [0, 0, 0]
    assert copied["list"][0].tolist() == [0, 0]
    assert copied["lr"] == 0.1


def test_best_points_at_one_checkpoint_or_the_other_at_any_moment(tmp_path):
    save(tmp_path, snapshot(1), snapshot(2))
    for step in (1, 2, 1):
        point_best_at(tmp_path, tmp_path / f"checkpoint-{step:08d}")
        assert str((tmp_path / "best").readlink()) == f"checkpoint-{step:08d}"


@pytest.mark.parametrize("name", ["state.json", "optimiser.pt"])
def test_a_damaged_one_is_named_with_what_to_do(tmp_path, name):
    save(tmp_path, snapshot(1))
    (latest(tmp_path) / "training" / name).write_bytes(b"{")
    with pytest.raises(SpeechPrepError, match=rf"{name} cannot be read[\s\S]*the one before it is then used"):
        load_training(latest(tmp_path))


def test_without_its_state_a_checkpoint_is_a_model_and_nothing_to_go_on_from(tmp_path):
    save(tmp_path, snapshot(1), snapshot(2))
    (tmp_path / "checkpoint-00000002" / "training" / "state.json").unlink()
    assert latest(tmp_path).name == "checkpoint-00000001"


def test_the_state_is_readable_by_people(tmp_path):
    save(tmp_path, snapshot(3))
    assert json.loads((latest(tmp_path) / "training" / "state.json").read_text())["step"] == 3


def test_what_was_just_written_stays_beside_a_best_one_of_a_later_step(tmp_path):
    """Whose run was thrown away: that model is the best until a better one, and takes nobody's place."""
    save(tmp_path, snapshot(8, best_step=8))
    shutil.rmtree(tmp_path / "checkpoint-00000008" / "training")
    save(tmp_path, snapshot(2), snapshot(4), keep=1)
    assert [step for step, _ in checkpoints(tmp_path)] == [4, 8]
    assert latest(tmp_path).name == "checkpoint-00000004"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_checkpoint_that_the_system_does_not_let_us_read_is_not_to_be_removed(tmp_path, monkeypatch, number):
    (tmp_path / "training").mkdir()
    (tmp_path / "training" / "state.json").write_text("{}")

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(UnreadableError, match=os.strerror(number)) as told:
        load_training(tmp_path)
    assert "remove" not in str(told.value)
