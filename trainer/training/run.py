"""A training from its settings to its last checkpoint, on every rank."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import torch

from shared.command.cli import python_command
from shared.command.terminal import Screen
from shared.errors import RankLostError, ResourceLimitError, SpeechPrepError, StoreError, first_line
from shared.system.durable import json_bytes
from shared.system.stop_request import StopRequest
from trainer.checkpoints.checkpoint import BEST, TRAINING, TrainState, latest, point_best_at
from trainer.checkpoints.hub_upload import upload
from trainer.checkpoints.output_folder import hold_logs, hold_output, log_folder
from trainer.checkpoints.writer import described
from trainer.data.loader import Loader
from trainer.data.rows import JoinedRows
from trainer.data.spec_augment import SpecAugment
from trainer.distributed.place import ORPHANED
from trainer.distributed.ranks import Ranks, is_lost, join_ranks
from trainer.model.hints import NEVER_TRAINED
from trainer.model.loading import never_trained
from trainer.settings import TrainSettings
from trainer.telemetry.log_files import read_history
from trainer.telemetry.records import Phase
from trainer.telemetry.telemetry import Telemetry, open_telemetry
from trainer.telemetry.tensorboard_server import start_tensorboard
from trainer.training.components import Data, Setup, make_evaluator, max_steps, open_checkpoints, open_data, planner
from trainer.training.frame_budget import find_budget
from trainer.training.loop import TrainingLoop
from trainer.training.meter import Meter
from trainer.training.opening import Opening, length_words, opening_words, remarks, wants_tensorboard
from trainer.training.preflight import preflight
from trainer.training.resume import content_unknown, find_checkpoint, go_on, identity, run_state, stepper_from
from trainer.watch.watch import new_facts, watched


@contextmanager
def open_training(settings: TrainSettings) -> Iterator[TrainingLoop]:
    """A training, ready to run on this rank; once it ran through, the best model is where it is looked for.

    What is left behind when it stops is a checkpoint that the same command goes on from. Raises what ends it:
    UsageError and StoreError before anything is trained, InterruptedRunError after a signal, ResourceLimitError for
    want of memory or disk, RankLostError when another rank has ended, SpeechPrepError when the training has diverged.
    """
    stop, console = StopRequest(ORPHANED), Screen(stderr=True)
    # The pages outlive what is held: nobody waits for the last scrape but this process.
    with ExitStack() as pages, join_ranks() as ranks, _in_plain_words(), ExitStack() as stack:
        # Not before: while ranks wait for each other, nobody would look at it.
        pages.enter_context(stop)
        if ranks.is_main:
            stack.enter_context(hold_output(settings.output_folder))
            stack.enter_context(hold_logs(log_folder(settings, settings.output_folder)))
            hub = preflight(settings, console.say)
            facts = new_facts(settings.model, " and ".join(map(str, settings.store_folders)), settings.output_folder)
            watch = pages.enter_context(watched(settings, facts, console.say, stop))
        else:
            watch, hub = None, None
        ranks.barrier()
        setup = Setup.of(settings, ranks)
        data = open_data(settings, console.say if ranks.is_main else lambda _text: None, stop)
        loop = _assembled(setup, data, Opening(console, watch), stop, stack)
        with told(ranks):
            yield loop
        if ranks.is_main:
            _finish(settings, data, loop, hub)
            loop.telemetry.phase(Phase.DONE)


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """What torch raises when memory or another rank is gone ends the run with a remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        # A step repeats itself; this is the model, the optimiser or what an exchange of gradients takes.
        message = f"GPU memory ran out: {first_line(error)}"
        remedy = "python -m trainer.estimate tells what fits: another --optim, or a smaller model"
        raise ResourceLimitError(message, remedy) from error
    except RuntimeError as error:
        if not is_lost(error):
            raise
        message = "another rank of this run has ended and gives the reason itself"
        raise RankLostError(message, "the same command goes on at the last checkpoint") from error


def _assembled(setup: Setup, data: Data, opening: Opening, stop: StopRequest, stack: ExitStack) -> TrainingLoop:
    """Every part of the run, at the last checkpoint where there is one; *stack* closes what has to be."""
    settings, ranks = setup.settings, setup.ranks
    found = find_checkpoint(settings, identity(settings, data))
    checkpoint, state, training = found or (None, None, {})
    opening.phase(Phase.LOADING, f"loading {checkpoint or settings.model}")
    stepper = stepper_from(setup, checkpoint, opening.say)
    goes_on = go_on(stepper, training) if found else True
    measuring = partial(opening.phase, Phase.MEASURING, "measuring what the largest micro-batches take of the GPU")
    budget = find_budget(setup, data, stepper, state, measuring)
    plans = planner(setup, data, budget)
    last = max_steps(settings, plans.steps_per_epoch)
    checkpoints = open_checkpoints(setup, stepper, data.shape, last)
    state = run_state(state, setup, data, budget)
    if checkpoints is not None:
        stack.callback(checkpoints.close)
        state = checkpoints.mend_best(state)
    telemetry = _telemetry(setup, state, last, opening, stack, resumed=checkpoint)
    augment = SpecAugment(settings.seed) if settings.spec_augment else None
    loader = Loader(data.train, plans, ranks.rank, ranks.device, last, settings.loader_threads, augment)
    stack.enter_context(loader)
    if ranks.is_main:
        (settings.output_folder / "settings.json").write_bytes(json_bytes(settings.model_dump(mode="json")))
    telemetry.event(opening_words(setup, data, budget, last))
    telemetry.event(length_words(setup, data, last, plans.steps_per_epoch))
    if not goes_on:
        telemetry.event(f"{checkpoint} was made with another --optim: this optimiser begins afresh")
    if found and content_unknown(found[1]):
        telemetry.event(
            f"warning: {checkpoint} does not say what the store held then: training goes on with what is there now"
        )
    for text in remarks(setup, data, state, last):
        telemetry.event(text)
    if state.step == 0 and never_trained(stepper.model.whisper):
        telemetry.event(f"{settings.model}: {NEVER_TRAINED}")
    meter = Meter(ranks, loader, data.shape, settings.freeze_encoder)
    evaluator = make_evaluator(setup, data, budget.frames)
    if evaluator is not None:
        evaluator.moved = partial(telemetry.phase, Phase.EVALUATING)
    return TrainingLoop(settings, last, state, stepper, loader, meter, evaluator, checkpoints, telemetry, stop)


@contextmanager
def told(ranks: Ranks) -> Iterator[None]:
    """What one rank finds wrong while all train is told by that rank; the others know only that it is gone."""
    try:
        yield
    except StoreError as error:
        raise SpeechPrepError(f"rank {ranks.rank}: {error.message}", error.remedy) from error


def _telemetry(
    setup: Setup, state: TrainState, last: int, opening: Opening, stack: ExitStack, *, resumed: Path | None
) -> Telemetry:
    """What tells the world, until *stack* closes; on all ranks but the first nobody is told."""
    if not setup.ranks.is_main:
        return Telemetry()
    settings = setup.settings
    folder = log_folder(settings, settings.output_folder)
    telemetry = stack.enter_context(
        open_telemetry(
            log_dir=folder,
            run=settings.output_folder.resolve(),
            report_to=settings.report_to,
            resumed_step=state.step if resumed else None,
            max_steps=last,
            console=opening.console,
            watch=opening.watch,
        )
    )
    if opening.watch is not None:
        opening.watch.begin(state.step, last, (state.best_wer, state.best_step), read_history(folder, state.step))
        if resumed is not None:
            opening.watch.found(described(resumed, state.step))
    if wants_tensorboard(settings, interactive=sys.stderr.isatty()):
        port = settings.tensorboard_port
        server = stack.enter_context(start_tensorboard(folder, port if isinstance(port, int) else None))
        telemetry.event(f"TensorBoard at {server.url}")
    return telemetry


def _finish(settings: TrainSettings, data: Data, loop: TrainingLoop, hub: str | None) -> None:
    """The best model is where it is looked for, also on *hub*, and the user knows what comes next."""
    output, state, telemetry = settings.output_folder, loop.state, loop.telemetry
    last = latest(output)
    if state.best_step is None and last is not None:
        point_best_at(output, last)
    if hub is not None:
        telemetry.phase(Phase.UPLOADING)
        address = upload(output / BEST, hub, without=f"{TRAINING}/*")
        telemetry.event(f"uploaded to {address}")
    wer = "" if state.best_wer is None else f", raw WER {100 * state.best_wer:.2f} % after step {state.best_step}"
    telemetry.event(f"done: the best model is {output / 'best'}{wer}")
    telemetry.event(f"Next: {shlex.join(_evaluation_command(settings, data.evaluated or data.train))}")


def _evaluation_command(settings: TrainSettings, rows: JoinedRows) -> list[str]:
    """What compares the best model with the one that the training began with, on *rows*."""
    output = settings.output_folder
    stores = [word for store in rows.splits for word in ("--store", str(store.root))]
    compared = ["--model", str(output / BEST), "--baseline", settings.model, "--output", f"{output}-evaluation"]
    return [python_command(), "-m", "trainer.evaluate", *stores, "--split", rows.name, *compared]
