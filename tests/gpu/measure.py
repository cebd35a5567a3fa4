"""What training whisper-large-v3-turbo takes on this machine's GPU, with random weights: nothing is downloaded.

python tests/gpu/measure.py [--cap 16GiB] [--fit 12GiB] [--json FILE]

Clips of 4.5 s and of 8.7 s in the mean (lengths like those of German speech), and of 43 s with 448 tokens, the worst
there are. fp16 autocast, 8-bit AdamW, micro-batches as large as the trainer's own search finds under the cap; the same
clips at their own length, with the trainer's usual 15 % of them padded to 30 s, and all padded. All of it twice: under
--cap, which is the card, and under --fit, in which it is to fit. Says of each target whether it is met.

Exit status: 0 all targets met, 1 some missed, 2 there is no GPU. --rehearse goes through all of it with a small model
on the CPU, which measures nothing.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from shared.command.cli import run_command
from shared.errors import ResourceLimitError, UsageError
from shared.units import format_count, parse_bytes
from tests.gpu.trial import Figures, Trial, Workload
from tests.support.synthetic import MINI
from trainer.checking.speech import speech_seconds
from trainer.distributed.ranks import Ranks
from trainer.model.flops import peak_flops
from trainer.model.shape import PUBLISHED

GIB = 1 << 30
TURBO = PUBLISHED["openai/whisper-large-v3-turbo"]
OWN, MIXED, PADDED = "own length", "15 % at 30 s", "all at 30 s"
SHARES = {OWN: 0.0, MIXED: 0.15, PADDED: 1.0}
SHORT, LONG, WORST = "4.5 s", "8.7 s", "43 s, 448 tokens"
LEAST_RATIO, MOST_WAITING = 5.0, 0.02
NOT_MEASURED = "-"


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted and what was *measured*; *met* is None in a rehearsal, which measures nothing."""

    name: str
    measured: str
    met: bool | None


def main(argv: Sequence[str]) -> int:
    """Measures, prints and writes; the docstring above tells the exit statuses."""
    options = _options(argv)
    ranks = Ranks(0, 1, _device(rehearse=options.rehearse))
    shape = MINI if options.rehearse else TURBO
    trial = Trial(ranks, shape, options.steps, options.rounds)
    found: list[Figures] = []
    failures: list[str] = []
    for cap in (options.cap, options.fit):
        for workload in workloads(trial, options.batch):
            label = f"{workload.name} under {cap / GIB:.1f} GiB"
            print(f"measuring {label}", file=sys.stderr, flush=True)
            try:
                found += trial.run(workload, cap)
            except (ResourceLimitError, torch.OutOfMemoryError) as error:
                failures.append(f"{label}: {error}")
    wanted = list(targets(found, options.cap, options.fit))
    if options.rehearse:
        wanted = [replace(target, met=None) for target in wanted]
    print_tables(found, failures, wanted, _machine(ranks))
    if options.json:
        report = {"machine": _machine(ranks), "figures": [asdict(one) for one in found], "failures": failures}
        options.json.write_text(json.dumps(report | {"targets": [asdict(one) for one in wanted]}, indent=2) + "\n")
    return 0 if options.rehearse or (not failures and all(target.met for target in wanted)) else 1


def workloads(trial: Trial, batch: int) -> Iterator[Workload]:
    """The three data sets; a step of the worst clips has a sixth of the clips, for the time's sake."""
    for name, seconds in ((SHORT, 4.5), (LONG, 8.7)):
        yield Workload(name, speech_seconds(trial.clips(batch), seconds), batch, SHARES)
    few = -(-batch // 6)
    # 448 decoder positions: the longest row has as many labels, the first of which is the start token.
    yield Workload(WORST, np.full(trial.clips(few), 43.0), few, {OWN: 0.0}, labels=448)


def targets(found: Sequence[Figures], cap: int, fit: int) -> Iterator[Target]:
    """Each target with what was measured; one without a figure is missed."""
    by_name = {(one.cap_bytes, one.workload, one.contexts): one for one in found}
    for bytes_ in (cap, fit):
        own, padded = (by_name.get((bytes_, SHORT, contexts)) for contexts in (OWN, PADDED))
        ratio = own.samples_per_second / padded.samples_per_second if own and padded else None
        name = f"{SHORT} under {bytes_ / GIB:.0f} GiB: own length at least {LEAST_RATIO:g} x padded"
        yield Target(name, _or(ratio, "{:.2f} x"), ratio is not None and ratio >= LEAST_RATIO)
    for workload in (SHORT, LONG, WORST):
        ours = [one for one in found if one.cap_bytes == fit and one.workload == workload]
        peaks = [one.reserved_bytes for one in ours if one.reserved_bytes is not None]
        name = f"{workload} with 8-bit AdamW within {fit / GIB:.0f} GiB"
        yield Target(name, _or(max(peaks) / GIB if peaks else None, "{:.2f} GiB"), bool(peaks) and max(peaks) <= fit)
    waits = [one.data_wait_share for one in found if one.contexts != PADDED]
    met = bool(waits) and max(waits) <= MOST_WAITING
    yield Target(f"data wait at most {MOST_WAITING:.0%}", _or(max(waits, default=None), "{:.2%}"), met)


def print_tables(
    found: Sequence[Figures], failures: Sequence[str], wanted: Sequence[Target], machine: dict[str, object]
) -> None:
    """Figures, what did not fit at all, and the targets."""
    headings = ("cap", "clips", "contexts", "clips/s", "x padded", "in use", "taken", "MFU", "wait", "waste")
    table = Table(*headings, "micro-batch", "lowered", "skipped", title=str(machine["name"]), title_justify="left")
    padded = {(one.cap_bytes, one.workload): one.samples_per_second for one in found if one.contexts == PADDED}
    for one in found:
        unit = padded.get((one.cap_bytes, one.workload))
        memory = (_or(peak and peak / GIB, "{:.2f} GiB") for peak in (one.allocated_bytes, one.reserved_bytes))
        shares = _or(one.mfu, "{:.1%}"), f"{one.data_wait_share:.2%}", f"{one.padding_waste:.1%}"
        table.add_row(
            *(f"{one.cap_bytes / GIB:.0f} GiB", one.workload, one.contexts, f"{one.samples_per_second:.2f}"),
            *(_or(unit and one.samples_per_second / unit, "{:.2f}"), *memory, *shares),
            *(f"{format_count(one.frames)} frames", str(one.lowered), str(one.skipped_steps)),
        )
    verdicts = Table("target", "measured", "")
    for target in wanted:
        verdicts.add_row(target.name, target.measured, {True: "met", False: "MISSED", None: "not measured"}[target.met])
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table, verdicts, *failures, sep="\n")
    if machine["peak_tflops"] is None:
        console.print("MFU: no peak is known of this device; see trainer/model/flops.py")


def _machine(ranks: Ranks) -> dict[str, object]:
    name = torch.cuda.get_device_name(ranks.device) if ranks.is_cuda else "a rehearsal on the CPU: no measurement"
    peak = peak_flops(name)
    return {"name": name, "peak_tflops": peak and peak / 1e12, "torch": torch.__version__}


def _or(value: float | None, form: str) -> str:
    return NOT_MEASURED if value is None else form.format(value)


def _device(*, rehearse: bool) -> torch.device:
    if rehearse:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        remedy = "run it where there is one, with a torch that is built for it; --rehearse tries the script out"
        raise UsageError("torch sees no GPU on this machine: nothing was measured", remedy)
    return torch.device("cuda", torch.cuda.current_device())


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cap", type=parse_bytes, default=16 * GIB, help="memory of the card, such as 16GiB")
    parser.add_argument("--fit", type=parse_bytes, default=12 * GIB, help="memory that is to suffice, such as 12GiB")
    parser.add_argument("--batch", type=int, default=48, help="clips of a step")
    parser.add_argument("--steps", type=int, default=4, help="steps of each block that are measured")
    parser.add_argument("--rounds", type=int, default=2, help="blocks of each kind; the kinds take turns")
    parser.add_argument("--rehearse", action="store_true", help="a small model on the CPU: tries the script out")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_command(main))
