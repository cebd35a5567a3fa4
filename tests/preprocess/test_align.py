"""`python -m preprocess.align`: cuts are made once, durably, and a command that is killed goes on."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import preprocess.align
from preprocess.alignment.cut_plan import read_cut_plan
from preprocess.alignment.cuts import pieces_of
from preprocess.alignment.journal import Journal
from shared.command.cli import run_command
from tests.support.long_speech import WORDS, hear, write_long_source, write_stub_model

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def align(tmp_path):
    source, model = write_long_source(tmp_path / "source"), write_stub_model(tmp_path / "model")

    def run(*options, decode=hear):
        fixed = ("--source", source, "--store", tmp_path / "store", "--model", model)
        return run_command(lambda argv: preprocess.align.main(argv, lambda _: decode), [*map(str, (*fixed, *options))])

    return run


def plan(tmp_path):
    return read_cut_plan(tmp_path / "store" / "cuts" / "train.parquet")


def test_long_recordings_are_cut_into_one_file_and_a_foreign_text_is_refused_with_its_figure(align, tmp_path, capsys):
    assert align() == 0
    rows = plan(tmp_path).rows
    assert list(rows) == [1, 2, 4]
    assert " ".join(rows[1].texts) == " ".join(WORDS[:9])
    assert " ".join(rows[4].texts) == " ".join(WORDS)
    assert [len(rows[row].texts) for row in (1, 4)] == [2, 3]
    assert rows[2].problem.startswith("its text is not what is heard: CER ")
    assert rows[2].texts == ()
    assert [path.name for path in (tmp_path / "store" / "cuts").iterdir()] == ["train.parquet"]
    said = capsys.readouterr().out
    assert "3 long recordings, 2 of them split" in said
    assert "--long-audio split" in said


def test_what_was_cut_before_a_kill_is_not_cut_again(align, tmp_path):
    heard = []

    def dying(pieces):
        heard.append(len(pieces))
        if len(heard) > 1:
            raise KeyboardInterrupt
        return hear(pieces)

    assert align(decode=dying) == 130
    assert plan(tmp_path) is None
    journal = tmp_path / "store" / "cuts" / "train.journal"
    # Half a line is what a kill in the middle of writing leaves.
    journal.write_bytes(journal.read_bytes() + b'{"next_row": 3, "ro')
    again = []
    assert align(decode=lambda pieces: again.append(len(pieces)) or hear(pieces)) == 0
    assert (heard, list(plan(tmp_path).rows)) == ([2, 2], [1, 2, 4])
    assert len(again) == 2
    assert not journal.exists()


def test_killed_before_any_of_its_syncs_it_goes_on_to_the_same_cuts_and_leaves_nothing_else(tmp_path):
    command = [sys.executable, "-m", "tests.support.killed_align", str(tmp_path)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
    attempts = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [ended for ended, *_ in attempts[:-1]] == [-signal.SIGKILL] * (len(attempts) - 1), ran.stderr
    assert len(attempts) > 6
    assert attempts[-1][0] == 0
    assert {(again, *left) for _, again, left, _ in attempts} == {(0, "train.parquet")}
    assert len({content for *_, content in attempts}) == 1


def test_the_next_command_has_the_options_that_cuts_and_run_share(align, capsys):
    assert align("--limit", "2", "--strip-timestamps", "--split", "train", "--threads", "1") == 0
    told = capsys.readouterr().out.split("Next:")[1].replace("\\\n", " ").split()
    assert " ".join(told[told.index("--store") + 2 :]) == (
        "--split train --limit 2 --strip-timestamps --long-audio split --model WHISPER"
    )


def test_no_piece_is_longer_than_a_clip_that_is_left_whole(align, tmp_path):
    assert align("--max-duration", "30.5") == 2
    assert align("--max-duration", "15") == 0
    pieces = [piece for cuts in plan(tmp_path).rows.values() if not cuts.problem for piece in pieces_of(cuts.stops)]
    assert len(pieces) > 5
    assert max(stop - start for start, stop in pieces) <= 14.5 * 16_000


def test_a_plan_that_is_there_is_never_replaced(align, tmp_path, capsys):
    assert align() == 0
    before = (tmp_path / "store" / "cuts" / "train.parquet").read_bytes()
    assert align(decode=None) == 0
    assert align("--max-duration", "29", decode=lambda pieces: ["etwas anderes"] * len(pieces)) == 2
    assert "was made otherwise, and stays: max_duration" in capsys.readouterr().err
    assert (tmp_path / "store" / "cuts" / "train.parquet").read_bytes() == before


def test_a_journal_of_other_settings_is_not_gone_on_with(tmp_path):
    path = tmp_path / "train.journal"
    with Journal.open(path, {"model": "one"}) as journal:
        journal.passed(1_000)
    with Journal.open(path, {"model": "one"}) as journal:
        assert journal.next_row == 1_000
    with pytest.raises(Exception, match="was begun otherwise: model"):
        Journal.open(path, {"model": "other"})


def test_no_recording_is_begun_where_a_budget_has_no_room_for_its_cuts(align, tmp_path, capsys):
    assert align("--disk-budget", "10kB") == 3
    assert align("--ram-budget", "1MB") == 3
    said = capsys.readouterr().err
    assert "the disk budget of 10" in said
    assert "--ram-budget is 1" in said
    assert plan(tmp_path) is None
    assert align() == 0


def test_what_is_no_model_is_named_with_a_way_to_have_one(align, tmp_path, capsys):
    (tmp_path / "model" / "model.bin").unlink()
    assert align() == 2
    assert "hf download" in capsys.readouterr().err
