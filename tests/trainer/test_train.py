"""`trainer.train` as a user runs it: it learns, stops and goes on, on one process or two."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress

import psutil
import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperForConditionalGeneration

from shared.command.cli import run_command
from shared.errors import (
    InterruptedRunError,
    RankLostError,
    ResourceLimitError,
    SpeechPrepError,
    StoreError,
    UnreadableError,
    UsageError,
)
from shared.store import open_split
from tests.support.training import Training, sentences, tiny_model, training_store
from trainer.checkpoints.checkpoint import checkpoints, latest, load_training
from trainer.checkpoints.output_folder import hold_logs, hold_output
from trainer.data.dataset import monitored_rows
from trainer.distributed.place import Place
from trainer.distributed.ranks import Ranks
from trainer.train import main
from trainer.training.run import told

STEPS = 6
SHORT = ("--full-context-share", "0")
"""For what contexts of 30 s make no difference to but time."""
CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the runs of their own: sums in another order are other sums."""
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)
        yield
    torch.set_num_threads(before)


def on(options, store):
    """The same on *store* alone: a second one would be trained on as well."""
    assert options[0] == "--store"
    return ("--store", str(store), *options[2:])


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("train") / "model")


@pytest.fixture(scope="module")
def store(model_folder, tmp_path_factory):
    return training_store(tmp_path_factory.mktemp("train") / "store", model_folder)


@pytest.fixture(scope="module")
def options(model_folder, store):
    return (
        *("--store", str(store), "--model", str(model_folder), "--max-steps", str(STEPS), "--global-batch-size", "8"),
        *("--logging-steps", "1", "--save-steps", "1", "--eval-steps", "3", "--eval-rows", "4", "--keep-latest", "99"),
        *("--eval-padding", "own", "--learning-rate", "1e-3", "--warmup-steps", "2", "--frame-budget", "400"),
        *("--report-to", "none"),
    )


@pytest.fixture(scope="module")
def straight(options, tmp_path_factory):
    """A run that nobody disturbed."""
    training = Training(tmp_path_factory.mktemp("straight") / "out", options)
    assert main(["--output", str(training.output), *options]) == 0
    return training


def going_on(source, step, folder, options, ranks=1):
    """A training that has only the checkpoint of *step* of *source* to go on from."""
    name = f"checkpoint-{step:08d}"
    shutil.copytree(source.output / name, folder / name)
    return Training(folder, options, ranks)


def weights(output, step=STEPS):
    return load_file(output / f"checkpoint-{step:08d}" / "model.safetensors")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def wait_until(happened, seconds=300):
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def losses(training):
    return {record["step"]: record["loss"] for record in training.records()}


def test_every_checkpoint_opens_with_transformers_and_in_float32(straight):
    assert [step for step, _ in checkpoints(straight.output)] == list(range(1, STEPS + 1))
    for _, path in checkpoints(straight.output):
        model = WhisperForConditionalGeneration.from_pretrained(path)
        assert model.dtype is torch.float32
        assert torch.equal(model.proj_out.weight, model.model.decoder.embed_tokens.weight)


def test_the_best_checkpoint_is_that_of_the_lowest_raw_wer(straight):
    found = {record["step"]: record["overall"]["raw"]["wer"] for record in straight.records("evaluations")}
    best = min(found, key=lambda step: (found[step], step))
    assert sorted(found) == [3, 6]
    assert (straight.output / "best").resolve().name == f"checkpoint-{best:08d}"
    assert f"{100 * found[best]:.2f}" in (straight.output / "best_wer.txt").read_text()


def test_an_evaluation_counts_the_words_that_were_said(straight, store):
    """This model says nothing yet: all of them are errors, and none would be counted in its own words."""
    said = " ".join(sentences(8, seed=1)[row] for row in monitored_rows(open_split(store, "test"), 4)).split()
    for record in straight.records("evaluations"):
        overall, *others = (scores["raw"] for scores in (record["overall"], *record["by_source"].values()))
        assert overall["words"] == sum(other["words"] for other in others) == len(said)


@pytest.mark.parametrize(
    "step",
    # Before, at and after an evaluation.
    [pytest.param(step, marks=[] if step in {2, 3, 5} else pytest.mark.campaign) for step in range(1, STEPS)],
)
def test_a_run_that_goes_on_at_any_step_ends_as_the_straight_one_bit_for_bit(straight, options, tmp_path, step):
    again = going_on(straight, step, tmp_path / "out", options)
    assert main(["--output", str(again.output), *options]) == 0
    assert same(weights(again.output), weights(straight.output))
    assert losses(again) == {number: loss for number, loss in losses(straight).items() if number > step}


@pytest.mark.parametrize("optim", ["adamw-8bit", "adafactor"])
def test_the_other_optimisers_go_on_as_well(options, tmp_path, optim):
    arguments = (*options, *SHORT, "--optim", optim)
    assert main(["--output", str(tmp_path / "straight"), *arguments]) == 0
    (tmp_path / "again").mkdir()
    shutil.copytree(tmp_path / "straight" / "checkpoint-00000003", tmp_path / "again" / "checkpoint-00000003")
    assert main(["--output", str(tmp_path / "again"), *arguments]) == 0
    assert same(weights(tmp_path / "again"), weights(tmp_path / "straight"))


@pytest.mark.parametrize(("before", "now"), [("adamw", "adamw-8bit"), ("adamw-8bit", "adafactor")])
def test_another_optimiser_goes_on_with_the_model_and_says_that_it_begins_afresh(options, tmp_path, before, now):
    output, arguments = tmp_path / "out", ("--output", str(tmp_path / "out"), *options, *SHORT)
    assert main([*arguments, "--max-steps", "3", "--optim", before]) == 0
    assert main([*arguments, "--max-steps", "4", "--optim", now]) == 0
    assert "checkpoint-00000003 was made with another --optim" in (output / "training.log").read_text()
    assert [step for step, _ in checkpoints(output)][-1] == 4


def test_a_killed_run_goes_on_at_its_last_checkpoint_and_ends_the_same(straight, options, tmp_path):
    training = Training(tmp_path / "out", options)
    process = training.start()
    while process.poll() is None and len(checkpoints(training.output)) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert main(["--output", str(training.output), *options]) == 0
    assert "goes on after step" in _log(training)
    assert same(weights(training.output), weights(straight.output))
    assert not list(training.output.glob(".partial-*"))
    assert losses(training) == losses(straight)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(40))
def test_a_run_killed_at_any_moment_goes_on_and_ends_the_same(straight, options, tmp_path, seed):
    """Again and again, at random times, until one run gets through."""
    chance = random.Random(seed)
    training = Training(tmp_path / "out", options)
    kills = 0
    while not (training.output / f"checkpoint-{STEPS:08d}").exists():
        process = training.start()
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=chance.uniform(3, 12))
        process.kill()
        process.communicate()
        kills += 1
        assert kills < 60
    assert main(["--output", str(training.output), *options]) == 0
    assert same(weights(training.output), weights(straight.output))
    assert losses(training) == losses(straight)


def test_a_polite_stop_saves_what_was_done(straight, options, tmp_path):
    # Nothing else saves: an evaluation would, that is the best so far.
    training = Training(tmp_path / "out", (*options, "--save-steps", "100", "--eval-steps", "100"), cold=True)
    process = training.start()
    while process.poll() is None and "step 2/" not in _log(training):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    stopped = int(said.partition("stopped after step ")[2].partition(";")[0])
    assert checkpoints(training.output)[-1][0] == stopped
    assert main(["--output", str(training.output), *options]) == 0
    assert same(weights(training.output), weights(straight.output))


def _log(training):
    path = training.output / "training.log"
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="module")
def two(options, tmp_path_factory):
    """The same on two ranks, which share the optimiser out."""
    training = Training(tmp_path_factory.mktemp("two") / "out", (*options, "--optim", "adamw-zero1"), ranks=2)
    training.run()
    return training


def test_two_ranks_learn_what_one_does(straight, two):
    """Nearly: other micro-batches are padded to other lengths, which an encoder without a mask sees."""
    assert losses(two) == pytest.approx(losses(straight), rel=1e-3)


def test_two_ranks_go_on_bit_for_bit_each_with_its_share_of_the_optimiser(two, options, tmp_path):
    training = going_on(two, 3, tmp_path / "out", (*options, "--optim", "adamw-zero1"), ranks=2)
    training.run()
    assert same(weights(training.output), weights(two.output))


def test_one_rank_goes_on_where_two_stopped_with_the_whole_optimiser(straight, two, options, tmp_path):
    training = going_on(two, 3, tmp_path / "out", options)
    assert main(["--output", str(training.output), *options]) == 0
    expected = {step: loss for step, loss in losses(straight).items() if step > 3}
    assert losses(training) == pytest.approx(expected, rel=1e-3)


def test_two_ranks_go_on_where_one_stopped(straight, options, tmp_path):
    training = going_on(straight, 2, tmp_path / "out", options, ranks=2)
    training.run()
    expected = {step: loss for step, loss in losses(straight).items() if step > 2}
    assert losses(training) == pytest.approx(expected, rel=1e-3)


def test_checkpoints_are_rotated_and_the_best_keeps_its_model(options, tmp_path):
    output = tmp_path / "out"
    assert main(["--output", str(output), *options, *SHORT, "--keep-latest", "2"]) == 0
    whole = {step for step, path in checkpoints(output) if (path / "training").is_dir()}
    assert whole == {STEPS - 1, STEPS}
    best = (output / "best").resolve()
    assert {step for step, _ in checkpoints(output)} == whole | {int(best.name[-8:])}
    WhisperForConditionalGeneration.from_pretrained(best)


def test_other_settings_that_change_the_order_of_clips_are_refused(straight, options, capsys):
    code = run_command(main, ["--output", str(straight.output), *options, "--seed", "7", "--global-batch-size", "4"])
    said = capsys.readouterr().err
    assert code == 2
    assert "seed 42 before, 7 now" in said
    assert "global_batch_size 8 before, 4 now" in said


@pytest.mark.parametrize("mistake", [("--max-steps", "some"), ("--split", "holdout"), ("--stpes", "9")])
def test_what_all_ranks_find_wrong_is_said_by_the_first(options, tmp_path, capsys, monkeypatch, mistake):
    @contextmanager
    def alone_as(rank):
        yield Ranks(rank, 1, CPU)

    def told(rank):
        for name, value in {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": 2,
            "MASTER_ADDR": "here",
            "MASTER_PORT": 1,
        }.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setattr("trainer.training.run.join_ranks", lambda: alone_as(rank))
        # argparse leaves by itself.
        with suppress(SystemExit):
            assert run_command(main, ["--output", str(tmp_path), *options, *mistake]) != 0
        return capsys.readouterr().err

    assert told(0).count("error:") == 1
    assert "error:" not in told(1)


def test_another_model_is_refused_with_both_names(straight, options, model_folder, tmp_path, capsys):
    """It would train the old weights and save them beside the new one's configuration."""
    other = shutil.copytree(model_folder, tmp_path / "another")
    assert run_command(main, ["--output", str(straight.output), *options, "--model", str(other)]) == 2
    said = capsys.readouterr().err
    assert str(other) in said
    assert str(model_folder) in said


def test_a_shard_that_is_gone_is_named_before_anything_is_trained(store, options, tmp_path):
    shards = sorted((shutil.copytree(store, tmp_path / "store") / "data").glob("train-*.parquet"))
    shards[-1].unlink()
    said = Training(tmp_path / "out", on(options, tmp_path / "store"), ranks=2).run(code=1)
    assert said.count("error: ") == 1
    assert shards[-1].name in said
    assert "step 1/" not in said


def test_a_byte_that_changed_ends_the_training_on_every_rank_with_the_row_named(store, options, tmp_path):
    """Only one rank has the row; the other neither waits for it nor trains on alone."""
    copy = shutil.copytree(store, tmp_path / "store")
    split = open_split(copy, "train")
    path = split.shard_path(split.shard_of(0))
    data = bytearray(path.read_bytes())
    data[data.index(split.log_mel(0).tobytes())] ^= 1
    path.write_bytes(data)
    said = Training(tmp_path / "out", on(options, copy), ranks=2).run(code=1)
    assert said.count("row 0 of 'train' ('clip0.wav') fails its checksum") == 1
    assert f"{path} has changed" in said
    assert "preprocess.verify" in said
    assert not latest(tmp_path / "out") or load_training(latest(tmp_path / "out"))[0].step < STEPS


def test_what_one_rank_finds_wrong_while_all_train_is_told_by_that_rank():
    """What all find wrong is told by the first alone."""
    with pytest.raises(SpeechPrepError, match=r"rank 1: x\.parquet is gone") as caught, told(Ranks(1, 2, CPU)):
        raise StoreError("x.parquet is gone", "put it back")
    assert not isinstance(caught.value, StoreError)
    assert caught.value.remedy == "put it back"


def listening(pids):
    """Where processes *pids* wait for connections."""
    ss = shutil.which("ss", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    said = subprocess.run([ss, "-ltnpH"], capture_output=True, text=True, check=True).stdout
    return [line.split()[3] for line in said.splitlines() if any(f"pid={pid}," in line for pid in pids)]


@pytest.mark.parametrize(
    ("error", "launcher", "aloud"),
    [
        (InterruptedRunError("stopped", "go on"), 7, (True, False)),
        (RankLostError("gone", "go on"), None, (True, True)),
        (RankLostError("gone", "go on"), 7, (False, False)),
        (ResourceLimitError("no room", "make some"), 7, (True, True)),
    ],
)
def test_what_ends_all_ranks_is_said_once(error, launcher, aloud, monkeypatch, capsys):
    def fails(*_arguments):
        raise error

    monkeypatch.setattr("trainer.training.run.open_training", fails)
    monkeypatch.setattr("trainer.train.end_with_launcher", lambda _place: None)
    for rank in (0, 1):
        place = Place(rank, 2, rank, 2, "file:///x", launcher)
        monkeypatch.setattr("trainer.train.read_place", lambda _environment, place=place: place)
        assert run_command(main, ["--store", "x"]) == error.exit_code
        assert (error.message in capsys.readouterr().err) == aloud[rank]


def test_a_training_that_ends_leaves_signals_as_it_found_them(options, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    absent = on(options, tmp_path / "no-store")
    assert run_command(main, ["--output", str(tmp_path / "out"), *absent]) != 0
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_ranks_listen_on_loopback_alone_and_save_and_end_when_their_launcher_is_killed(options, tmp_path):
    endless = (*options, *SHORT, "--max-steps", "9999", "--save-steps", "9999", "--eval-steps", "9999")
    training = Training(tmp_path / "out", endless, ranks=2, cold=True)
    process = training.start()
    wait_until(lambda: "step 2/" in _log(training))
    ranks = psutil.Process(process.pid).children()
    assert len(ranks) == 2
    # gloo's ports; torch's rendezvous would listen on all networks.
    addresses = listening({process.pid, *(rank.pid for rank in ranks)})
    assert addresses
    assert all(address.startswith("127.0.0.1:") for address in addresses), addresses
    process.kill()
    wait_until(lambda: not any(rank.is_running() for rank in ranks))
    assert len(checkpoints(training.output)) == 1, process.stdout.read()


@pytest.mark.parametrize("rows", [1, 2])
def test_fewer_clips_to_evaluate_than_ranks_are_evaluated(model_folder, options, tmp_path, rows):
    store = training_store(tmp_path / "store", model_folder, test_clips=rows)
    arguments = (*on(options, store), *SHORT, "--max-steps", "3", "--eval-full")
    training = Training(tmp_path / "out", arguments, ranks=2)
    training.run()
    assert [record["rows"] for record in training.records("evaluations")] == [rows]


def test_rates_of_another_evaluation_are_not_compared(straight, options, tmp_path):
    """In the whole window this model says other nonsense: what was saved is scored anew, and compared with that."""
    training = going_on(straight, 3, tmp_path / "out", (*options, "--eval-padding", "window"))
    assert main(["--output", str(training.output), *training.options]) == 0
    found = [record for record in training.records("evaluations") if record["padding"] == "window"]
    rates = {record["step"]: record["overall"]["raw"]["wer"] for record in found}
    assert list(rates) == [3, STEPS]
    state, _ = load_training(latest(training.output))
    assert (state.best_wer, state.best_step) == min((rate, step) for step, rate in rates.items())


def test_a_model_that_finds_no_room_ends_with_what_to_do_and_no_traceback(options, tmp_path, monkeypatch, capsys):
    def no_room(*_arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 254.00 MiB.\nMore of it.")

    monkeypatch.setattr("trainer.training.resume.make_stepper", no_room)
    assert run_command(main, ["--output", str(tmp_path / "out"), *options]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "GPU memory ran out: CUDA out of memory. Tried to allocate 254.00 MiB. " in said
    assert "trainer.estimate" in said
    assert "Traceback" not in said


def test_a_second_run_on_the_same_output_is_refused(straight, options, capsys):
    with hold_output(straight.output):
        assert run_command(main, ["--output", str(straight.output), *options]) == 1
    assert f"another run (process {os.getpid()}) works on {straight.output}" in capsys.readouterr().err


def test_a_second_run_with_the_same_log_folder_at_the_same_time_is_refused(tmp_path, options, capsys):
    with hold_logs(tmp_path / "logs"):
        arguments = ["--output", str(tmp_path / "out"), "--log-dir", str(tmp_path / "logs"), *options]
        assert run_command(main, arguments) == 1
    said = capsys.readouterr().err
    assert f"another run (process {os.getpid()}) works on {tmp_path / 'logs'}" in said
    assert "name another LOG_DIR" in " ".join(said.split())


def test_the_effective_settings_stand_beside_the_results(straight):
    value = json.loads((straight.output / "settings.json").read_text())
    assert value["learning_rate"] == 1e-3
    assert value["global_batch_size"] == 8


def test_a_wrong_setting_is_not_taken_for_a_damaged_checkpoint(straight, options, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim.adamw", None)
    training = going_on(straight, 3, tmp_path / "out", (*options, "--optim", "adamw-8bit"))
    assert run_command(main, ["--output", str(training.output), *training.options]) == 2
    said = capsys.readouterr().err
    assert "--optim adamw-8bit needs bitsandbytes" in said
    assert "remove" not in said


def test_models_without_their_training_are_not_begun_anew_over(straight, options, tmp_path, capsys):
    training = going_on(straight, 3, tmp_path / "out", options)
    for path in training.output.glob("checkpoint-*/training"):
        shutil.rmtree(path)
    assert run_command(main, ["--output", str(training.output), *training.options]) == 2
    assert "without the state that training goes on from" in " ".join(capsys.readouterr().err.split())
    assert checkpoints(training.output)


@pytest.mark.parametrize("option", [("--num-epochs", "inf"), ("--num-epochs", "1e308"), ("--weight-decay", "inf")])
def test_numbers_without_an_end_are_refused(option, options, tmp_path, capsys):
    assert run_command(main, ["--output", str(tmp_path / "out"), *options, *option]) == 2
    assert option[0] in capsys.readouterr().err


def test_a_warm_up_that_is_longer_than_the_run_is_cut_and_said(options, tmp_path, capsys):
    arguments = ["--output", str(tmp_path / "out"), *options, *SHORT, "--max-steps", "1", "--warmup-steps", "500"]
    assert run_command(main, arguments) == 0
    assert "--warmup-steps 500 is more than the run has: 0 warm-up steps instead" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_finished_training_says_that_nothing_is_left(straight, options, tmp_path, capsys):
    training = going_on(straight, STEPS, tmp_path / "out", (*options, "--max-steps", "2"))
    assert run_command(main, ["--output", str(training.output), *training.options]) == 0
    assert f"{STEPS} steps done, 2 asked for" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("error", "place", "said"),
    [
        (StoreError("no store here", "mount it"), Place(0, 4, 0, 2, "env://"), True),
        (StoreError("no store here", "mount it"), Place(1, 4, 1, 2, "env://"), False),
        # The first rank of another machine, which has a store of its own, or none.
        (StoreError("no store here", "mount it"), Place(2, 4, 0, 2, "env://"), True),
        (StoreError("no store here", "mount it"), Place(3, 4, 1, 2, "env://"), False),
        (UsageError("no such model", "copy it"), Place(2, 4, 0, 2, "env://"), True),
        (InterruptedRunError("stopped", "goes on"), Place(2, 4, 0, 2, "env://"), True),
        # One process has too many files open, the other not.
        (UnreadableError("too many open files", "raise the limit"), Place(3, 4, 1, 2, "env://"), True),
        (RankLostError("another rank has ended"), Place(3, 4, 1, 2, "env://"), True),
    ],
)
def test_what_ends_the_ranks_of_a_machine_is_said_once_on_it(monkeypatch, capsys, error, place, said):
    @contextmanager
    def fail(_settings):
        raise error
        yield

    monkeypatch.setattr("trainer.train.read_place", lambda _: place)
    monkeypatch.setattr("trainer.train.end_with_launcher", lambda _: None)
    monkeypatch.setattr("trainer.training.run.open_training", fail)
    assert run_command(main, ["--store", "store", "--output", "output"]) == error.exit_code
    assert (error.message in capsys.readouterr().err) == said


@pytest.mark.parametrize(("rank", "local_rank", "said"), [(0, 0, True), (2, 0, True), (3, 1, False)])
def test_a_wrong_option_is_said_once_on_each_machine(monkeypatch, capsys, rank, local_rank, said):
    monkeypatch.setattr("trainer.train.read_place", lambda _: Place(rank, 4, local_rank, 2, "env://"))
    monkeypatch.setattr("trainer.train.end_with_launcher", lambda _: None)
    with pytest.raises(SystemExit):
        run_command(main, ["--no-such-option"])
    assert ("no-such-option" in capsys.readouterr().err) == said
