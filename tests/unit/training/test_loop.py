"""The training loop when something goes wrong: too little memory, a loss that is no number, no room on the disk."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
import torch

from shared.command.cli import parse_settings
from shared.errors import ResourceLimitError, SpeechPrepError
from tests.support.ext4 import Ext4Disk
from tests.support.training import tiny_model, training_store
from trainer.checkpoints.checkpoint import TrainState, checkpoints, latest, load_training
from trainer.checkpoints.writer import Checkpoints
from trainer.data.loader import Loader
from trainer.distributed.ranks import Ranks
from trainer.model.whisper import load_model
from trainer.settings import TrainSettings
from trainer.telemetry.records import EvaluationRecord, WordErrors
from trainer.telemetry.sink import Sink
from trainer.telemetry.telemetry import Telemetry
from trainer.training.components import Setup, make_stepper, max_steps, open_data, planner
from trainer.training.frame_budget import find_budget
from trainer.training.loop import TrainingLoop
from trainer.training.meter import Meter
from trainer.training.nonfinite import MOST_SKIPPED
from trainer.training.resume import identity

ALONE = Ranks(0, 1, torch.device("cpu"))


class Ears(Sink):
    """Remembers what it is told."""

    def __init__(self):
        self.records, self.events, self.evaluations = [], [], []

    def step(self, record):
        self.records.append(record)

    def event(self, text):
        self.events.append(text)

    def evaluated(self, record, *, best):
        self.evaluations.append((record.step, best))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loop")
    training_store(folder / "store", tiny_model(folder / "model"))
    return folder


class Workshop:
    """A loop with everything in it, not yet run."""

    def __init__(self, folder, output, *options, checkpointing=False):
        plain = ["--store", str(folder / "store"), "--model", str(folder / "model"), "--output", str(output)]
        own = ["--global-batch-size", "8", "--max-steps", "4", "--logging-steps", "1", "--eval-steps", "99"]
        # In contexts of 30 s the same would take minutes.
        own += ["--full-context-share", "0"]
        settings = parse_settings(TrainSettings, [*plain, *own, *options], prog="t", about="t")
        output.mkdir(exist_ok=True)
        data = open_data(settings, print)
        setup = Setup.of(settings, ALONE)
        self.stepper = make_stepper(setup, load_model(settings.model))
        budget = find_budget(setup, data, self.stepper, None)
        plans = planner(setup, data, budget)
        last = max_steps(settings, plans.steps_per_epoch)
        self.loader = Loader(data.train, plans, 0, ALONE.device, last)
        self.ears = Ears()
        kept = Checkpoints(output, {"config.json": b"{}"}, 9) if checkpointing else None
        state = TrainState(0, identity(settings, data), budget.frames, budget.plain_frames)
        meter = Meter(ALONE, self.loader, data.shape, freeze_encoder=False)
        self.loop = TrainingLoop(
            settings, last, state, self.stepper, self.loader, meter, None, kept, Telemetry([self.ears]), lambda: False
        )

    def run(self):
        with self.loader:
            return self.loop.run()

    def weights(self):
        return [parameter.detach().clone() for parameter in self.stepper.model.parameters()]


def test_a_step_that_runs_out_of_memory_is_repeated_with_smaller_micro_batches(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out")

    def too_large(_module, arguments):
        if arguments[0].shape[0] * arguments[0].shape[1] > 500:
            raise torch.OutOfMemoryError

    shop.stepper.model.register_forward_pre_hook(too_large)
    state = shop.run()
    assert state.step == 4
    assert [record.step for record in shop.ears.records] == [1, 2, 3, 4]
    assert state.frames < 600
    assert any("memory ran out" in event for event in shop.ears.events)


def test_the_repeated_step_is_the_same_step(folder, tmp_path):
    """Memory that ran out once leaves no trace in the gradients."""
    one, other = (Workshop(folder, tmp_path / name, "--frame-budget", "700") for name in ("one", "other"))
    failures = iter([False, True])

    def once(_module, _arguments):
        if next(failures, False):
            raise torch.OutOfMemoryError

    other.stepper.model.register_forward_pre_hook(once)
    one.run()
    other.run()
    losses = [[record.loss for record in shop.ears.records] for shop in (one, other)]
    # The budget is a fifth smaller from then on, so clips are padded to other lengths.
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


def test_where_not_even_one_clip_fits_the_run_ends_and_says_so(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out")

    def never(_module, _arguments):
        raise torch.OutOfMemoryError

    shop.stepper.model.register_forward_pre_hook(never)
    with pytest.raises(ResourceLimitError, match="not even a single clip"):
        shop.run()


def break_rows(shop, rows):
    """From now on the loss of micro-batches with as many clips as *rows* is no number."""

    def forward(_module, arguments, output):
        return output * float("nan") if rows(arguments[0]) else output

    shop.stepper.model.register_forward_hook(forward)


def test_a_loss_that_is_no_number_changes_nothing_and_its_rows_are_kept(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out")
    before = shop.weights()
    break_rows(shop, lambda _features: True)
    with pytest.raises(SpeechPrepError, match=r"4 steps in a row[\s\S]*lower --learning-rate"):
        shop.run()
    assert all(torch.equal(old, new) for old, new in zip(before, shop.weights(), strict=True))
    assert [record.skipped_steps for record in shop.ears.records] == [1, 1, 1, 1]
    found = sorted((tmp_path / "out" / "nonfinite").iterdir())
    assert [path.name for path in found] == [f"step-{step:08d}-rank-0.json" for step in range(1, 5)]
    assert sum("its rows are in" in event for event in shop.ears.events) == 4
    value = json.loads(found[0].read_text())
    planned = {clip.row for batch in shop.loader.planner.plan(0).ranks[0] for clip in batch.clips}
    assert {row["row_id"] for row in value["rows"]} == planned
    assert value["split"] == "train"


def test_a_run_that_never_recovers_ends_and_says_what_to_do(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out", "--max-steps", "80")
    break_rows(shop, lambda _features: True)
    with pytest.raises(SpeechPrepError, match=rf"{MOST_SKIPPED} steps in a row[\s\S]*lower --learning-rate"):
        shop.run()


def test_a_run_that_goes_on_after_it_diverged_counts_on(folder, tmp_path):
    """Otherwise the same command would train on as many steps again, each time, and end as if it had learnt."""
    shop = Workshop(folder, tmp_path / "out", "--max-steps", "80")
    shop.loop.state = replace(shop.loop.state, step=30, skipped=MOST_SKIPPED - 2)
    break_rows(shop, lambda _features: True)
    with pytest.raises(SpeechPrepError, match=f"{MOST_SKIPPED} steps in a row gave no finite gradient, up to step 32"):
        shop.run()


def evaluated(shop, wers):
    """Has *shop*'s evaluations find *wers*, one after the other."""
    rest = iter(wers)

    def evaluator(_model, step):
        overall = {name: WordErrors(next(rest) if name == "raw" else 0.0, 0.0, 9) for name in ("raw", "basic")}
        return EvaluationRecord(step, 1, "own", overall, {}, 0.0)

    shop.loop.evaluator = evaluator


def test_a_best_model_that_found_no_room_is_not_the_best(folder, tmp_path):
    """The one before it stays, and a later one has to be better than that one only."""
    with Ext4Disk(tmp_path, 128 << 20) as disk:
        output = disk.folder / "out"
        shop = Workshop(folder, output, "--eval-steps", "1", "--save-steps", "1", checkpointing=True)
        shop.loop.checkpoints.keep_latest = 1
        evaluated(shop, [0.5, 0.2, 0.4, 0.6])
        done = []

        def fill(*_arguments):
            done.append(len(shop.ears.records))
            if done[-1] == 1 and 1 not in done[:-1]:
                shop.loop.checkpoints.wait()
                disk.fill(leave_bytes=1 << 20)
            if done[-1] == 2 and 2 not in done[:-1]:
                with suppress(ResourceLimitError):
                    shop.loop.checkpoints._writing.result()
                disk.free()

        shop.stepper.model.register_forward_pre_hook(fill)
        state = shop.run()
        assert (state.best_wer, state.best_step) == (0.4, 3)
        assert (output / "best").resolve().name == "checkpoint-00000003"
        assert [step for step, _ in checkpoints(output)] == [3, 4]
        assert sum("has no room for" in event for event in shop.ears.events) == 1


def test_the_best_is_the_evaluation_with_the_lowest_wer_of_all(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out", "--eval-steps", "1")
    evaluated(shop, [0.5, 0.7, 0.4, 0.6])
    state = shop.run()
    assert (state.best_wer, state.best_step) == (0.4, 3)


def test_an_evaluation_that_fails_costs_no_step_and_is_made_up_for(folder, tmp_path):
    options = ("--eval-steps", "2", "--save-steps", "2")
    broken = Workshop(folder, tmp_path / "out", *options, checkpointing=True)

    def fails(_model, _step):
        raise OSError("the disk of the store is gone")

    broken.loop.evaluator = fails
    with pytest.raises(OSError, match="is gone"):
        broken.run()
    broken.loop.checkpoints.close()
    again = Workshop(folder, tmp_path / "out", *options, checkpointing=True)
    evaluated(again, [0.3, 0.5])
    again.loop.state, _ = load_training(latest(tmp_path / "out"))
    assert again.loop.state.step == 2
    again.run()
    assert again.ears.evaluations == [(2, True), (4, False)]
    assert (tmp_path / "out" / "best").resolve().name == "checkpoint-00000002"


def test_a_checkpoint_tells_what_was_found_after_it_was_saved(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out", "--eval-steps", "2", "--save-steps", "1", checkpointing=True)
    evaluated(shop, [0.5, 0.3])
    shop.run()
    states = [load_training(path)[0] for _, path in checkpoints(tmp_path / "out")]
    assert [(state.best_wer, state.best_step, state.evaluated_step) for state in states] == [
        (None, None, 0),
        (0.5, 2, 2),
        (0.5, 2, 2),
        (0.3, 4, 4),
    ]
    assert (tmp_path / "out" / "best").resolve().name == "checkpoint-00000004"


def test_a_disk_without_room_loses_checkpoints_and_not_the_training(folder, tmp_path):
    with Ext4Disk(tmp_path, 64 << 20) as disk:
        shop = Workshop(folder, disk.folder / "out", "--save-steps", "1", checkpointing=True)
        disk.fill(leave_bytes=1 << 20)
        freed = []

        def free(*_arguments):
            if len(shop.ears.records) == 3 and not freed:
                freed.append(disk.free())

        shop.stepper.model.register_forward_pre_hook(free)
        assert shop.run().step == 4
        # The third is written while room is made: it may find it or not.
        assert [step for step, _ in checkpoints(disk.folder / "out") if step != 3] == [4]
        assert sum("has no room for" in event for event in shop.ears.events) >= 2


def test_the_last_checkpoint_without_room_is_an_error(folder, tmp_path):
    with Ext4Disk(tmp_path, 64 << 20) as disk:
        shop = Workshop(folder, disk.folder / "out", checkpointing=True)
        disk.fill(leave_bytes=1 << 20)
        with pytest.raises(ResourceLimitError, match="the same command goes on"):
            shop.run()


def test_every_step_is_told_and_every_phase_named(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out", "--eval-steps", "2", "--logging-steps", "4", checkpointing=True)
    evaluated(shop, [0.5, 0.3])
    told = []
    shop.ears.progress = told.append
    shop.ears.phase = lambda phase, _done=0, _total=0: told.append(str(phase))
    shop.ears.saved = lambda record: told.append(f"saved {record.step}")
    shop.run()
    assert [step for step in told if isinstance(step, int)] == [1, 2, 3, 4]
    first = told[: told.index(3)]
    assert first == ["training", 1, 2, "evaluating", "training", "saving", "training"] + ["saved 2"] * (
        "saved 2" in first
    )
    assert told[-2:] == ["saving", "saved 4"]


def test_a_checkpoint_is_told_of_with_its_bytes_and_one_without_room_as_a_failure(folder, tmp_path):
    with Ext4Disk(tmp_path, 64 << 20) as disk:
        shop = Workshop(folder, disk.folder / "out", "--save-steps", "2", checkpointing=True)
        saved, failed = [], []
        shop.ears.saved, shop.ears.save_failed = saved.append, failed.append
        disk.fill(leave_bytes=1 << 20)

        def free(*_arguments):
            if len(shop.ears.records) == 3:
                with suppress(ResourceLimitError):
                    shop.loop.checkpoints.wait()
                disk.free()

        shop.stepper.model.register_forward_pre_hook(free)
        shop.run()
        (record,) = saved
        path = disk.folder / "out" / "checkpoint-00000004"
        assert (record.step, record.num_bytes) == (4, sum(f.stat().st_size for f in path.rglob("*") if f.is_file()))


def test_a_record_tells_what_was_measured(folder, tmp_path):
    shop = Workshop(folder, tmp_path / "out")
    shop.run()
    for record in shop.ears.records:
        assert record.samples_per_second == pytest.approx(8 / record.seconds_per_step)
        assert 0 <= record.data_wait_share <= 1
        assert 0 <= record.padding_waste < 0.6
        assert (record.mfu, record.vram_bytes, record.gpu_utilisation) == (None, None, None)
        plan = shop.loader.planner.plan(record.step - 1)
        assert record.audio_seconds_per_second == pytest.approx(plan.audio_seconds / record.seconds_per_step)
