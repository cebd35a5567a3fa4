"""The checks, in their order, and how a machine goes through them. Pure: who asks a probe is handed in.

A check has a judge and, mostly, a probe, which others may share. Nothing is asked that an earlier line has made vain; a
probe that fails, is killed or hangs makes a line like any other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from trainer.checking import judging_machine as machine
from trainer.checking import judging_work as work
from trainer.checking.verdict import Verdict, fix, left_out
from trainer.checking.world import Outcome, World

Ask = Callable[[str, World], Outcome]
"""Runs a probe, of which no more than its name is known here."""


def _needed(_world: World) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Check:
    """A line *name*: what *probe* finds, as *judge* sees it; *unneeded* tells why it is left out, "" where it is not.

    *remedy* is for a probe that ends without facts and without a remedy of its own.
    """

    name: str
    probe: str
    judge: Callable[[World], Verdict]
    remedy: str
    unneeded: Callable[[World], str] = _needed


_WITHOUT_TORCH = {"", "driver", "torch"}
_REPORT = "please send the report"
_NCCL = "try NCCL_P2P_DISABLE=1, then NCCL_SHM_DISABLE=1; the report has NCCL's own words"
CHECKS = (
    Check("driver", "driver", machine.driver, _REPORT, machine.no_card),
    Check("torch", "torch", machine.torch_build, "pip install -e '.[trainer]' in a fresh environment"),
    Check("GPUs", "torch", machine.gpus, _REPORT, machine.no_card),
    Check("/dev/shm", "", machine.shared_memory, _REPORT, machine.no_shm),  # noqa: S108 - a line's name
    Check("disk", "", machine.disk, _REPORT),
    Check("ranks", "links", work.ranks, _NCCL, work.no_links),
    Check("fp16", "halves", work.halves, f"train with --precision fp32; {_REPORT}"),
    Check("memory cap", "cap", work.cap, _REPORT, machine.no_gpu),
    Check("8-bit AdamW", "moments", work.moments, "pip install bitsandbytes, or train with --optim adafactor"),
    Check("training", "training", work.training, _REPORT, work.no_training),
    Check("speed", "training", work.speed, _REPORT, work.nothing_trained),
    Check("GPU memory", "training", work.memory, _REPORT, work.no_memory),
    Check("checkpoint", "training", work.checkpoint, _REPORT, work.nothing_trained),
    Check("export", "export", work.export, _REPORT, work.nothing_saved),
    Check("CTranslate2", "ctranslate2", work.spoken, "pip install nvidia-cublas-cu12", work.nothing_exported),
)


def examine(world: World, ask: Ask, begin: Callable[[Check], None] = lambda _check: None) -> Iterator[World]:
    """*world* as it is known after each of `CHECKS`; *begin* hears of one before it is tried."""
    for check in CHECKS:
        begin(check)
        world = _judged(check, world, ask)
        yield world


def _judged(check: Check, world: World, ask: Ask) -> World:
    if why := _vain(check, world):
        return _with(world, check, left_out(why))
    if check.probe and check.probe not in world.outcomes:
        world = replace(world, outcomes={**world.outcomes, check.probe: ask(check.probe, world)})
        # What it found may make the check vain.
        if why := check.unneeded(world):
            return _with(world, check, left_out(why))
    outcome = world.outcomes.get(check.probe)
    if outcome is not None and outcome.facts is None:
        return _with(world, check, _troubled(check, outcome))
    return _with(world, check, check.judge(world))


def _vain(check: Check, world: World) -> str:
    """Why *check* is left out; "" where it is not."""
    torch = world.outcomes.get("torch")
    if torch is not None and torch.facts is None and check.probe not in _WITHOUT_TORCH:
        return "torch does not work"
    return check.unneeded(world)


def _troubled(check: Check, outcome: Outcome) -> Verdict:
    """What ended the probe of *check*, which is told once."""
    first = next(each.name for each in CHECKS if each.probe == check.probe)
    if first != check.name:
        return left_out(f"as {first}")
    return fix(outcome.trouble, outcome.remedy or check.remedy)


def _with(world: World, check: Check, verdict: Verdict) -> World:
    return replace(world, verdicts={**world.verdicts, check.name: verdict})
