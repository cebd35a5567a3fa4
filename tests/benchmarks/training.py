"""A training step with contexts as long as the clips, against everything padded to 30 s and transformers' own trainer.

python tests/benchmarks/training.py [--size base] [--clips 48] [--batch 24] [--json FILE]

One model of random weights, the same clips (lengths like the German data's, 4.2 s in the mean), float32 on the CPU,
forward, backward and AdamW. The contenders take turns, step by step, each with the same clips of a step; only the
ratios travel, and of several rounds each step's fastest counts, as neighbours on the machine disturb. Ours reads a
store on disk and forms its batches within the measured time. `Seq2SeqTrainer` has its features in memory, padded to
30 s as `datasets.map` leaves them, and micro-batches of 4, as its users have it. That it computes the same loss of the
same clips is checked first.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, TrainerCallback
from transformers.trainer_callback import PrinterCallback
from transformers.utils.logging import set_verbosity_error

sys.path.insert(0, str(Path(__file__).parents[2]))

from shared.rows import rebuild
from shared.store import StoreSplit
from tests.support.synthetic import MINI
from trainer.checking.probes.random_model import random_whisper
from trainer.checking.speech import speech_seconds, speech_split
from trainer.data.clips import Clip, Clips, Padding
from trainer.data.collate import collate
from trainer.data.loader import Loader, as_tensors
from trainer.data.step_planner import StepPlan, StepPlanner
from trainer.distributed.ranks import Ranks
from trainer.model.flops import training_flops
from trainer.model.shape import PUBLISHED, ModelShape
from trainer.model.whisper import TrainingModel, trained_parameters
from trainer.settings import TrainSettings
from trainer.training.components import Data, Setup, planner
from trainer.training.frame_budget import find_budget
from trainer.training.optimizers import make_optimiser
from trainer.training.step import Stepper

SIZES = {"mini": MINI, "tiny": PUBLISHED["openai/whisper-tiny"], "base": PUBLISHED["openai/whisper-base"]}
SHARES = {"own length": 0.0, "15 % at 30 s": 0.15, "all at 30 s": 1.0}
"""Our contenders: the share of the clips that is padded to the window."""
PEER, UNIT = "Seq2SeqTrainer", "all at 30 s"
MICRO_BATCH = 4
"""Clips that the peer computes at once."""
RATE, SEED = 1e-5, 0
IGNORED = -100
"""A target that counts for nothing, as `torch.nn.functional.cross_entropy` has it."""
MOST_LOSS_DIFFERENCE = 1e-4
CPU = Ranks(0, 1, torch.device("cpu"))

Step = Callable[[StepPlan], float]
"""Takes one optimiser step on the clips of a plan; seconds."""


@dataclass(slots=True)
class Ours:
    """The trainer's own step. *share* decides the context, nothing else."""

    data: Data
    stepper: Stepper
    share: float

    def planner(self, batch: int) -> StepPlanner:
        """Steps of *batch* clips, which are the same ones for every *share*."""
        settings = TrainSettings(
            store=Path(), global_batch_size=batch, full_context_share=self.share, seed=SEED, _env_file=None
        )
        setup = Setup.of(settings, CPU)
        return planner(setup, self.data, find_budget(setup, self.data, self.stepper, None))

    def __call__(self, plan: StepPlan) -> float:
        started = perf_counter()
        with Loader(self.data.train, self.planner(plan.num_clips), 0, CPU.device, plan.step + 1) as loader:
            self.stepper.run(*loader.step(plan.step), RATE)
        return perf_counter() - started


class Clock(TrainerCallback):
    """Seconds of training, without what Seq2SeqTrainer does before and after."""

    def on_train_begin(self, *_: object, **__: object) -> None:
        self.started = perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        self.seconds = perf_counter() - self.started


class Peer:
    """Seq2SeqTrainer as Whisper is usually fine-tuned with it; the optimiser's state stays from step to step."""

    def __init__(self, split: StoreSplit, shape: ModelShape, folder: Path) -> None:
        self.split, self.folder = split, folder
        self.model = random_whisper(shape, CPU.device)
        self.model.config.use_cache = False
        optimiser = make_optimiser("adamw", trained_parameters(self.model), CPU, rate=RATE, weight_decay=0.0)
        self.optimisers = optimiser, torch.optim.lr_scheduler.ConstantLR(optimiser, 1.0)

    def examples(self, rows: list[int]) -> list[dict]:
        """What `datasets.map` with WhisperFeatureExtractor and the tokenizer leaves of *rows*."""
        found = []
        for row in rows:
            log_mel = self.split.log_mel(row)
            features = rebuild(log_mel.tobytes(), self.split.spec, len(log_mel), float(self.split.floor[row]))
            found.append({"input_features": features.T.copy(), "labels": self.split.labels(row).tolist()})
        return found

    def __call__(self, plan: StepPlan) -> float:
        rows = [clip.row for batch in plan.ranks[0] for clip in batch.clips]
        micro_batch = min(MICRO_BATCH, len(rows))
        arguments = Seq2SeqTrainingArguments(
            output_dir=str(self.folder),
            per_device_train_batch_size=micro_batch,
            gradient_accumulation_steps=-(-len(rows) // micro_batch),
            num_train_epochs=1,
            learning_rate=RATE,
            max_grad_norm=1.0,
            use_cpu=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        clock = Clock()
        trainer = Seq2SeqTrainer(
            model=self.model,
            args=arguments,
            train_dataset=self.examples(rows),
            data_collator=padded,
            optimizers=self.optimisers,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return clock.seconds


def padded(examples: list[dict]) -> dict[str, torch.Tensor]:
    """The usual collator: features of 30 s stacked, labels without the start token, which the model puts before."""
    labels = [torch.tensor(example["labels"][1:]) for example in examples]
    return {
        "input_features": torch.from_numpy(np.stack([example["input_features"] for example in examples])),
        "labels": torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=IGNORED),
    }


def main() -> int:
    """Measures, prints and writes; 1 where the contenders do not compute the same."""
    options = _options()
    set_verbosity_error()
    shape = SIZES[options.size]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        split = speech_split(Path(folder) / "store", shape, speech_seconds(options.clips))
        model = TrainingModel(random_whisper(shape, CPU.device)).train()
        optimiser = make_optimiser("adamw", trained_parameters(model), CPU, rate=RATE, weight_decay=0.0)
        stepper = Stepper(model, optimiser, CPU, None, 1.0, SEED)
        ours = {name: Ours(Data(split, None, "", shape), stepper, share) for name, share in SHARES.items()}
        peer = Peer(split, shape, Path(folder) / "peer")
        difference = loss_difference(model, peer)
        plans = {name: one.planner(options.batch) for name, one in ours.items()}
        found = compare({**ours, PEER: peer}, {**plans, PEER: plans[UNIT]}, options.rounds)
    flops = {name: step_flops(shape, steps) for name, steps in plans.items()}
    report = {
        "size": options.size,
        "clips": options.clips,
        "trained": options.batch * len(found[UNIT]),
        "mean_seconds": float(split.duration.mean()),
        "threads": torch.get_num_threads(),
        "loss_difference": difference,
        "seconds": found,
        "flops": flops | {PEER: flops[UNIT]},
    }
    print_table(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if difference <= MOST_LOSS_DIFFERENCE else 1


def loss_difference(model: TrainingModel, peer: Peer) -> float:
    """By how much the peer's loss of some clips differs from ours, relatively: both have the same weights so far."""
    rows = list(range(min(MICRO_BATCH, len(peer.split))))
    clips = Clips.of([Clip(row, 3_000, int(peer.split.num_labels[row]) - 1, Padding.SILENCE) for row in rows])
    with torch.no_grad():
        ours = float(model(*as_tensors(collate(peer.split, clips)))) / sum(clip.tokens for clip in clips)
        theirs = float(peer.model(**padded(peer.examples(rows))).loss)
    return abs(ours - theirs) / theirs


def compare(contenders: dict[str, Step], planners: dict[str, StepPlanner], rounds: int) -> dict[str, list[float]]:
    """Seconds of every step of every contender, who take turns; of several rounds the fastest, as others disturb."""
    steps = planners[UNIT].steps_per_epoch
    found: dict[str, list[float]] = {name: [inf] * steps for name in contenders}
    for name, step in contenders.items():
        step(_warm_up(planners[name]))
    for number in range(rounds * steps):
        place = number % steps
        for name, step in contenders.items():
            print(f"step {number + 1}: {name}", file=sys.stderr, flush=True)
            found[name][place] = min(found[name][place], step(planners[name].plan(place)))
    return found


def _warm_up(plans: StepPlanner) -> StepPlan:
    """Two clips, so that nothing is done for the first time when it counts."""
    return replace(plans, global_batch_size=2).plan(0)


def step_flops(shape: ModelShape, plans: StepPlanner) -> float:
    """Floating point operations of all steps of one round, padding within the micro-batches included."""
    return sum(
        len(batch.clips) * training_flops(shape, batch.num_frames, max(clip.tokens for clip in batch.clips))
        for step in range(plans.steps_per_epoch)
        for batch in plans.plan(step).ranks[0]
    )


def print_table(report: dict) -> None:
    """Rates, and each contender's as a multiple of both that pad; the range of that over the steps tells the noise."""
    seconds, flops = report["seconds"], report["flops"]
    table = Table("contexts", "clips/s", f"x {UNIT}", "by step", f"x {PEER}", "by step", "FLOPs")
    table.columns[0].no_wrap = True
    for name, times in seconds.items():
        cells = [cell for unit in (UNIT, PEER) for cell in _ratios(seconds[unit], times)]
        table.add_row(name, f"{report['trained'] / sum(times):.2f}", *cells, f"1 / {flops[UNIT] / flops[name]:.1f}")
    words = (
        f"whisper-{report['size']}, {report['clips']} clips of {report['mean_seconds']:.1f} s in the mean, "
        f"{report['threads']} threads; the peer's loss differs by {report['loss_difference']:.1e} of it"
    )
    Console(highlight=False).print(table, words)


def _ratios(unit: list[float], times: list[float]) -> tuple[str, str]:
    by_step = [theirs / own for theirs, own in zip(unit, times, strict=True)]
    return f"{sum(unit) / sum(times):.2f}", f"{min(by_step):.1f} to {max(by_step):.1f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=list(SIZES), default="base", help="the model; mini is for a look")
    parser.add_argument("--clips", type=int, default=48, help="different clips")
    parser.add_argument("--batch", type=int, default=24, help="clips of a step")
    parser.add_argument("--rounds", type=int, default=2, help="how often every step is taken")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
