"""`python -m trainer.clean`: old checkpoints go; the best, the last and everything that is not its own stay."""

import subprocess
import sys
import tarfile
from dataclasses import asdict

import pytest

from shared.command.cli import run_command
from shared.errors import ExitCode
from shared.system.durable import DurableFile, json_bytes
from shared.system.locks import hold, readers
from tests.support.samples import feature_row, make_store
from trainer.checkpoints.checkpoint import TrainState, point_best_at
from trainer.checkpoints.output_folder import hold_output
from trainer.checkpoints.retention import checkpoint_tidyings, enact
from trainer.clean import main


@pytest.fixture
def output(tmp_path):
    """A training's folder with four checkpoints, the second one best, and things that are somebody else's."""
    folder = tmp_path / "out"
    for step in (1, 2, 3, 4):
        path = folder / f"checkpoint-{step:08d}"
        path.mkdir(parents=True)
        (path / "model.safetensors").write_bytes(bytes([step]) * 5_000)
    point_best_at(folder, folder / "checkpoint-00000002")
    (folder / ".partial-checkpoint-00000005").mkdir()
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events.out.tfevents.1").write_text("curves")
    (folder / "notes.txt").write_text("mine")
    (folder / "checkpoint-notes").mkdir()
    return folder


def names(folder):
    return {path.name for path in folder.iterdir()}


KEPT = {"checkpoint-00000002", "checkpoint-00000004", "best", "notes.txt", "checkpoint-notes", "tensorboard", ".lock"}


def test_all_go_but_the_best_and_the_last(output, capsys):
    assert run_command(main, [str(output)]) == 0
    assert names(output) == KEPT
    said = capsys.readouterr().out
    assert "checkpoint-00000001: an old checkpoint" in said
    assert "left by a killed run" in said


def test_a_best_one_that_a_killed_run_had_not_linked_yet_stays(output):
    training = output / "checkpoint-00000004" / "training"
    training.mkdir()
    (training / "state.json").write_bytes(json_bytes(asdict(TrainState(4, {}, 1, 1, 0.1, best_step=3))))
    assert run_command(main, [str(output)]) == 0
    assert names(output) == KEPT | {"checkpoint-00000003"}


def test_a_dry_run_lists_the_same_and_changes_nothing(output, capsys):
    before = names(output)
    assert run_command(main, [str(output), "--dry-run"]) == 0
    assert names(output) == before | {".lock"}
    assert "would remove" in capsys.readouterr().out


def test_what_is_archived_can_be_had_back(output, tmp_path):
    assert run_command(main, [str(output), "--archive", str(tmp_path / "attic")]) == 0
    assert names(tmp_path / "attic") == {"checkpoint-00000001.tar", "checkpoint-00000003.tar"}
    with tarfile.open(tmp_path / "attic" / "checkpoint-00000003.tar") as tar:
        assert tar.extractfile("checkpoint-00000003/model.safetensors").read() == b"\x03" * 5_000


def test_an_archive_that_another_training_is_packing_is_left_to_it(output, tmp_path, capsys):
    attic = tmp_path / "attic"
    attic.mkdir()
    with DurableFile(attic / ".partial-checkpoint-00000001.tar") as other:
        assert run_command(main, [str(output), "--archive", str(attic)]) == 1
        assert "another run is writing" in capsys.readouterr().err
        other.seal()
        assert other.partial.exists()


def test_an_archive_that_exists_is_not_overwritten_and_nothing_is_removed(output, tmp_path, capsys):
    (tmp_path / "attic").mkdir()
    (tmp_path / "attic" / "checkpoint-00000001.tar").write_text("older")
    assert run_command(main, [str(output), "--archive", str(tmp_path / "attic")]) == 1
    assert "exists already" in capsys.readouterr().err
    assert (output / "checkpoint-00000001").is_dir()
    assert (tmp_path / "attic" / "checkpoint-00000001.tar").read_text() == "older"


def test_curves_are_packed_with_the_date(output):
    assert run_command(main, [str(output), "--pack-logs"]) == 0
    (packed,) = output.glob("tensorboard-????????.tar.gz")
    with tarfile.open(packed) as tar:
        assert tar.extractfile("tensorboard/events.out.tfevents.1").read() == b"curves"
    assert not (output / "tensorboard").exists()


def test_beside_a_live_training_nothing_is_touched(output, capsys):
    with hold_output(output):
        assert run_command(main, [str(output)]) == 1
    assert "another run (process" in capsys.readouterr().err
    assert (output / "checkpoint-00000001").is_dir()


def test_a_link_in_a_checkpoints_place_leads_nowhere(output, tmp_path):
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "model.safetensors").write_text("precious")
    (output / "checkpoint-00000000").symlink_to(canary)
    (output / "checkpoint-00000001" / "inner").symlink_to(canary)
    assert run_command(main, [str(output)]) == 0
    assert (canary / "model.safetensors").read_text() == "precious"
    assert not (output / "checkpoint-00000001").exists()


def test_a_folder_that_became_a_link_meanwhile_leads_nowhere(output, tmp_path):
    (old, _) = checkpoint_tidyings(output, 1, None)
    elsewhere = output.rename(tmp_path / "elsewhere")
    output.symlink_to(elsewhere)
    with pytest.raises(OSError, match=str(output)):
        enact(old)
    assert (elsewhere / old.name).is_dir()


def test_a_store_goes_only_when_it_is_named_and_leaves_what_is_not_its_own(output, tmp_path):
    make_store(tmp_path / "store", {"train": [[feature_row(0)], [feature_row(1)]]})
    (tmp_path / "store" / "mine.txt").write_text("mine")
    (tmp_path / "store" / "data" / "mine.parquet").write_text("mine")
    (tmp_path / "store" / "provenance").mkdir()
    (tmp_path / "store" / "provenance" / "train-00000-of-00002.json").write_text("{}")
    assert run_command(main, [str(output)]) == 0
    assert (tmp_path / "store" / "COMPLETE").exists()
    assert run_command(main, [str(output), "--free-store", str(tmp_path / "store")]) == 0
    left = {str(path.relative_to(tmp_path / "store")) for path in (tmp_path / "store").rglob("*") if path.is_file()}
    assert left == {"mine.txt", "data/mine.parquet"}


def test_a_store_that_another_process_reads_stays(output, tmp_path, capsys):
    store = tmp_path / "a store"
    make_store(store, {"train": [[feature_row(0)]]})
    shard = next((store / "data").iterdir())
    reading = (
        "import sys; from pathlib import Path; from shared.store import open_split\n"
        "clip = open_split(Path(sys.argv[1]), 'train').log_mel(0); print(flush=True); input()"
    )
    command = [sys.executable, "-c", reading, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        reader.stdout.readline()
        assert run_command(main, [str(output), "--free-store", str(store)]) == ExitCode.FAILED
        assert f"is being read by process {reader.pid}" in capsys.readouterr().err
        assert shard.exists()
        assert (output / "checkpoint-00000001").exists()
        reader.communicate("\n")
    assert run_command(main, [str(output), "--free-store", str(store)]) == 0
    assert not shard.exists()


def test_a_reader_is_found_by_whatever_name_the_store_is_called(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store")
    (tmp_path / "processes" / "99999999").mkdir(parents=True)
    mapped = f"7f00-7f01 r--s 00000000 fe:00 1    {tmp_path}/store/data/train-00000-of-00001.parquet\n"
    (tmp_path / "processes" / "99999999" / "maps").write_text(mapped)
    assert readers(tmp_path / "link", tmp_path / "processes") == [99_999_999]


def test_a_store_that_is_being_prepared_stays(output, tmp_path, capsys):
    make_store(tmp_path / "store", {"train": [[feature_row(0)]]})
    with hold(tmp_path / "store", "--store"):
        assert run_command(main, [str(output), "--free-store", str(tmp_path / "store")]) == ExitCode.FAILED
    assert "another run (process" in capsys.readouterr().err
    assert (tmp_path / "store" / "COMPLETE").exists()


def test_a_folder_that_is_no_store_is_not_freed(output, tmp_path, capsys):
    (tmp_path / "README.md").write_text("mine")
    assert run_command(main, [str(output), "--free-store", str(tmp_path)]) == 1
    assert "is not a store" in capsys.readouterr().err
    assert (tmp_path / "README.md").exists()


def test_without_a_folder_nothing_happens(capsys, tmp_path):
    assert run_command(main, []) == 2
    assert run_command(main, [str(tmp_path / "nowhere")]) == 2
    assert "is not a folder" in capsys.readouterr().err


def test_of_a_log_folder_that_is_shared_only_its_own_curves_are_packed(output, tmp_path):
    for run in ("out", "other"):
        folder = tmp_path / "logs" / "tensorboard" / run
        folder.mkdir(parents=True)
        (folder / "run.txt").write_text(str(tmp_path / run))
        (folder / "events.out.tfevents.1").write_text(run)
    assert run_command(main, [str(output), "--log-dir", str(tmp_path / "logs"), "--pack-logs"]) == 0
    (packed,) = (tmp_path / "logs" / "tensorboard").glob("*.tar.gz")
    assert packed.name.startswith("out-")
    assert names(tmp_path / "logs" / "tensorboard") == {"other", packed.name}


def test_a_store_that_is_not_there_is_a_wrong_usage(output, tmp_path, capsys):
    assert run_command(main, [str(output), "--free-store", str(tmp_path / "nowhere")]) == 2
    assert "--free-store names a feature store" in capsys.readouterr().err
