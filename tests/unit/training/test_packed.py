"""Trainings as a user starts them, on packed windows and on long clips: they go round, and go on as they were."""

import json
import shutil

from shared.errors import ExitCode
from tests.support.training import small_training, train_here, training_store

STEPS = ("--global-batch-size", "8", "--eval-steps", "9")


def losses_of(output):
    """The loss of every step, by step."""
    records = json.loads((output / "metrics.json").read_text())["steps"]
    return {record["step"]: record["loss"] for record in records}


def test_a_training_on_packed_windows_goes_on_where_it_was_ended_and_asks_for_the_same_share(tmp_path, capsys):
    folder = small_training(tmp_path)
    shares = ("--pack-share", "0.5", "--previous-text-share", "0.5", "--timestamp-share", "0.5", "--spec-augment")
    options = (*shares, *STEPS, "--save-steps", "2", "--max-steps", "4")
    assert train_here(folder, tmp_path / "whole", *options) == ExitCode.DONE
    shutil.copytree(tmp_path / "whole" / "checkpoint-00000002", tmp_path / "ended" / "checkpoint-00000002")
    assert train_here(folder, tmp_path / "ended", *options) == ExitCode.DONE
    whole, ended = losses_of(tmp_path / "whole"), losses_of(tmp_path / "ended")
    assert sorted(whole) == [1, 2, 3, 4]
    assert ended == {step: whole[step] for step in (3, 4)}
    assert train_here(folder, tmp_path / "whole", *STEPS, "--max-steps", "6") == ExitCode.USAGE
    assert "pack_share 0.5 before, None now" in capsys.readouterr().err


def test_a_store_with_clips_over_30_s_is_refused_and_trained_on_with_the_option_that_is_named(tmp_path, capsys):
    folder = small_training(tmp_path)
    shutil.rmtree(folder / "store")
    training_store(folder / "store", folder / "model", clips=4, test_clips=1, longest=4_300)
    options = ("--global-batch-size", "2", "--eval-steps", "9", "--max-steps", "2")
    assert train_here(folder, tmp_path / "out", *options) == ExitCode.USAGE
    assert "--allow-long-context trains on them" in capsys.readouterr().err
    assert train_here(folder, tmp_path / "out", *options, "--allow-long-context") == ExitCode.DONE
    assert sorted(losses_of(tmp_path / "out")) == [1, 2]
