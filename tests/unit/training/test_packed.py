"""A training on packed windows as a user starts it: it goes round, goes on, and asks for the same shares."""

import json

from shared.errors import ExitCode
from tests.support.training import small_training, train_here


def test_a_training_on_packed_windows_goes_on_where_it_was_ended_and_asks_for_the_same_share(tmp_path, capsys):
    folder = small_training(tmp_path)
    shares = ("--pack-share", "0.5", "--previous-text-share", "0.5", "--timestamp-share", "0.5", "--spec-augment")
    steps = ("--global-batch-size", "8", "--save-steps", "2", "--eval-steps", "9")
    assert train_here(folder, tmp_path / "whole", *shares, *steps, "--max-steps", "4") == ExitCode.DONE
    records = json.loads((tmp_path / "whole" / "metrics.json").read_text())["steps"]
    assert [record["step"] for record in records] == [1, 2, 3, 4]
    assert train_here(folder, tmp_path / "whole", *shares, *steps, "--max-steps", "5") == ExitCode.DONE
    assert train_here(folder, tmp_path / "whole", *steps, "--max-steps", "6") == ExitCode.USAGE
    assert "pack_share 0.5 before, None now" in capsys.readouterr().err
