"""What is told of a run before its first step: what it is at, what it is about, how long it takes."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from shared.command.terminal import Screen
from shared.models.tokens import vocabulary
from shared.schema import WINDOW_FRAMES
from shared.units import format_audio, format_counted
from trainer.checkpoints.checkpoint import TrainState
from trainer.data.micro_batches import Budget
from trainer.memory.words import frame_words, hour_words
from trainer.model.device import device_name
from trainer.model.flops import epoch_flops, peak_flops
from trainer.model.hints import missing_tokens
from trainer.settings import TrainSettings
from trainer.telemetry.records import Phase
from trainer.training.components import Data, Setup
from trainer.training.forecast import epoch_words
from trainer.training.optimizers import warmup_of
from trainer.watch.watch import Watch


@dataclass(frozen=True, slots=True)
class Opening:
    """Who hears of a run before it has its telemetry: the screen, and what watches it, on the first rank alone."""

    console: Screen
    watch: Watch | None

    def say(self, text: str) -> None:
        """One line on the screen."""
        if self.watch is not None:
            self.console.say(text)

    def phase(self, phase: Phase, words: str) -> None:
        """The run is at *phase*, which takes its time."""
        if self.watch is not None:
            self.watch.phase(phase)
            self.console.say(words)


def wants_tensorboard(settings: TrainSettings, *, interactive: bool) -> bool:
    """Whether TensorBoard is started: asked for, or somebody sits there and its curves are written."""
    if settings.tensorboard_port is None:
        return interactive and "tensorboard" in settings.report_to
    return settings.tensorboard_port != "none"


def opening_words(setup: Setup, data: Data, budget: Budget, last: int) -> str:
    """What is trained on what, and how."""
    settings, ranks = setup.settings, setup.ranks
    devices = f"{ranks.world_size} x {device_name(ranks.device)}"
    stores = " and ".join(map(str, settings.store_folders))
    less = f" ({sum(map(len, data.train.splits)) - len(data.train)} left out)" if data.train.excluded else ""
    steps = f"{format_counted(last, 'step')} of {format_counted(settings.global_batch_size, 'clip')}"
    return (
        f"{settings.model} on {format_counted(len(data.train), 'clip')}{less} of {stores}: {steps} on {devices}, "
        f"{setup.options.optimiser}, micro-batches of at most {frame_words(budget.frames)}"
    )


def length_words(setup: Setup, data: Data, last: int, steps_per_epoch: int) -> str:
    """How much there is to train, and how long that takes where the device is known; else the first steps tell."""
    settings, ranks, train = setup.settings, setup.ranks, data.train
    epochs = last / steps_per_epoch
    audio = format_audio(epochs * float(train.duration.sum()))
    words = f"steps {epoch_words(last, steps_per_epoch)}, {audio} of audio"
    peak = peak_flops(device_name(ranks.device))
    if peak is None:
        return f"{words}: the first steps will tell how long that takes"
    flops = epoch_flops(
        data.shape,
        train.num_frames.astype(float),
        train.num_labels.astype(float),
        full_context_share=settings.full_context_share,
        pack_share=settings.pack_share,
        freeze_encoder=settings.freeze_encoder,
    )
    return f"{words}: {hour_words(epochs * flops, peak, ranks.world_size)}"


def remarks(setup: Setup, data: Data, state: TrainState, last: int) -> Iterator[str]:
    """Where the run does other than its settings seem to say."""
    if setup.dtype is torch.float16 and not setup.ranks.is_cuda:
        yield (
            "warning: --precision fp16 on a CPU computes as a GPU would, for trying it out: it is ten "
            "times slower, or more"
        )
    asked = setup.settings.warmup_steps
    if (warmup := warmup_of(asked, last)) != asked:
        yield f"--warmup-steps {asked} is more than the run has: {format_counted(warmup, 'warm-up step')} instead"
    if state.step >= last:
        done = f"{format_counted(state.step, 'step')} done"
        yield f"{done}, {last} asked for: nothing is left to train"
    if data.evaluated is not None and setup.settings.generation_config == "model":
        yield "evaluations decode as the model's own generation_config.json says (--generation-config model)"
    if data.shape.window_frames != WINDOW_FRAMES:
        seconds = f"{data.shape.limits.window_seconds:g}"
        yield f"the model's window is {seconds} s: faster-whisper, which hands every model 30 s, will not run it"
    if missing := missing_tokens(vocabulary(data.tokenizer_json)):
        yield f"the tokenizer has no {', '.join(missing)}: faster-whisper, which asks for them, will not run the model"
    if data.evaluated is None:
        yield (
            "the store has no test or validation split: nothing is evaluated, and the last checkpoint "
            "counts as the best"
        )
    elif len(data.evaluated.splits) < len(data.train.splits):
        roots = " and ".join(str(split.root) for split in data.evaluated.splits)
        yield f"only {roots} has a split {data.evaluated.name!r}: nothing of other stores is evaluated"
