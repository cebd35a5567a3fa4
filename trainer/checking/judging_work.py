"""What was computed, trained, saved and exported means: as it should be, or what to do. Pure."""

import math

from shared.units import format_bytes, format_counted, format_rate
from trainer.checking.judging_machine import no_gpu
from trainer.checking.observations import Build, Cap, Export, Halves, Links, Moments, Spoken, Training
from trainer.checking.scope import expected_bytes, expected_rate, scope_of
from trainer.checking.verdict import Verdict, fix, ok
from trainer.checking.world import World

_GIB = 1 << 30
_HALF_TOLERANCE = 0.02
"""How far losses under float16 may be from float32's, of their size."""
_EIGHT_BIT_TOLERANCE = 0.1
"""How much more may be left of an error of 1 with 8-bit moments."""
_SLOW = 0.5
"""Below this share of the least that is expected something holds a GPU back."""
_MEMORY_TOLERANCE = 1.15
"""What torch may have in use beyond the estimate: fragments, and libraries' own."""
_BUG = "this is a fault of the trainer: please send the report"


def no_links(world: World) -> str:
    """Why ranks are not tried with each other; "" where they are."""
    return "one GPU has nobody to talk to" if scope_of(world).ranks == 1 else ""


def ranks(world: World) -> Verdict:
    """Whether every rank got the sum of all."""
    found = world.facts(Links)
    assert found is not None
    if not found.right:
        return fix(
            f"{found.backend} adds up wrongly between {format_counted(found.ranks, 'rank')}",
            "try NCCL_P2P_DISABLE=1; test the RAM",
        )
    rate = found.num_bytes / max(found.seconds, 1e-9) / 1e9
    return ok(f"{found.backend} between {format_counted(found.ranks, 'rank')}, gradients at {rate:.1f} GB/s")


def halves(world: World) -> Verdict:
    """Whether float16 computes what float32 does, and the scaler leaves an overflow out."""
    found = world.facts(Halves)
    assert found is not None
    pairs = list(zip(found.single, found.half, strict=True))
    offs = [abs(one - other) / abs(one) for one, other in pairs]
    off = max(offs, default=math.inf) if all(map(math.isfinite, offs)) else math.inf
    if off > _HALF_TOLERANCE:
        return fix(
            f"losses under fp16 are {100 * off:.1f} % off fp32's", "train with --precision bf16 or fp32; " + _BUG
        )
    if not (found.skipped and found.unchanged and found.scale_after < found.scale_before):
        return fix("an overflow was not left out of the training", _BUG)
    return ok(f"losses within {100 * off:.2g} % of fp32's; an overflow is left out")


def cap(world: World) -> Verdict:
    """Whether torch keeps to a part of the GPU."""
    found = world.facts(Cap)
    assert found is not None
    words = f"{found.cap_bytes / _GIB:.1f} GiB"
    if not found.given:
        return fix(f"not even what fits under {words} was given", "end what else is on the GPU (nvidia-smi)")
    if not found.refused:
        return fix(f"more than the {words} that were allowed was given", "do without --vram-budget; " + _BUG)
    return ok(f"held at {words} (--vram-budget)")


def moments(world: World) -> Verdict:
    """Whether 8-bit AdamW goes where AdamW goes."""
    found = world.facts(Moments)
    assert found is not None
    if not found.eight_bit <= found.exact + _EIGHT_BIT_TOLERANCE:
        words = f"leaves {found.eight_bit:.2f} of an error of 1 where AdamW leaves {found.exact:.2f}"
        return fix(words, "train with --optim adamw or adafactor, or another bitsandbytes")
    return ok(f"as AdamW, in {found.state_bytes:.1f} bytes a value")


def no_training(world: World) -> str:
    """Why nothing is trained; "" where it is."""
    if world.failed("disk"):
        return "no room on the disk"
    return "no 8-bit AdamW" if world.failed("8-bit AdamW") and scope_of(world).cuda else ""


def nothing_trained(world: World) -> str:
    """Why there is nothing to look at of a training; "" where there is."""
    return "" if world.facts(Training) else "nothing was trained"


def training(world: World) -> Verdict:
    """Whether all steps were done, with losses that are numbers, and the weights moved."""
    found, scope = world.facts(Training), scope_of(world)
    assert found is not None
    if not found.losses or not all(map(math.isfinite, found.losses)):
        return fix("the loss is no number", f"train with --precision bf16; {_BUG}")
    if found.skipped >= found.steps:
        return fix(f"every step had an overflow, of {found.steps}", f"train with --precision bf16; {_BUG}")
    first, last = found.losses[0], found.losses[-1]
    on = format_counted(found.ranks, "GPU" if scope.cuda else "CPU rank")
    return ok(f"{scope.size} on {on} in fp16, {format_counted(found.steps, 'step')}, loss {first:.2f} to {last:.2f}")


def speed(world: World) -> Verdict:
    """Whether clips a second are what such GPUs should do."""
    found, scope, build = world.facts(Training), scope_of(world), world.facts(Build)
    assert found is not None
    words = f"{format_rate(found.samples_per_second)} clips/s of 4.3 s"
    if not scope.cuda or build is None:
        return ok(f"{words}, in fp16, at which CPUs are slow")
    expected = expected_rate(scope, build.names[: scope.ranks])
    if expected is None:
        return ok(f"{words}; what to expect of such GPUs is not known")
    words = f"{words}, {format_rate(expected[0])} to {format_rate(expected[1])} expected"
    if found.samples_per_second < _SLOW * expected[0]:
        return fix(words, "look at nvidia-smi -q -d PERFORMANCE: heat, power limit, PCIe; end what else computes")
    return ok(words)


def memory(world: World) -> Verdict:
    """Whether torch had in use what `trainer.estimate` computes."""
    found, scope = world.facts(Training), scope_of(world)
    assert found is not None
    expected, used = expected_bytes(scope, found), found.vram_bytes or 0
    words = f"{used / _GIB:.1f} GiB in use, at most {expected / _GIB:.1f} estimated"
    if used > _MEMORY_TOLERANCE * expected:
        return fix(words, "plan with more than trainer.estimate says; " + _BUG)
    return ok(words)


def no_memory(world: World) -> str:
    """Why no memory was measured; "" where it was."""
    return no_gpu(world) or nothing_trained(world)


def checkpoint(world: World) -> Verdict:
    """Whether the training left a whole checkpoint of its last step."""
    found = world.facts(Training)
    assert found is not None
    if found.checkpoint_step != found.steps:
        return fix(f"the last is of step {found.checkpoint_step}, not {found.steps}", _BUG)
    return ok(f"{format_bytes(found.checkpoint_bytes)}, with the optimiser's state")


def nothing_saved(world: World) -> str:
    """Why nothing is exported; "" where it is."""
    found = world.facts(Training)
    return "" if found is not None and found.checkpoint_bytes else "there is no checkpoint"


def nothing_exported(world: World) -> str:
    """Why CTranslate2 has nothing to run; "" where it has."""
    return "" if world.facts(Export) else "nothing was exported"


def export(world: World) -> Verdict:
    """Whether the export's files are what the checkpoint asks for."""
    found = world.facts(Export)
    assert found is not None
    if found.problems:
        return fix(found.problems[0], _BUG)
    return ok(f"float16, {format_bytes(found.num_bytes)}, read back from the checkpoint")


def spoken(world: World) -> Verdict:
    """Whether CTranslate2 computes what torch does, on the GPU where there is one."""
    found = world.facts(Spoken)
    assert found is not None
    off = found.encoder_error <= found.encoder_limit and found.divergence <= found.divergence_limit
    words = f"on {'the GPU' if found.device.startswith('cuda') else 'the CPU'} in {found.computed}"
    if not off:
        more = f"{words}, {found.encoder_error:.1g} off the original, {found.encoder_limit:.1g} is rounding"
        return fix(more, "export with --quantization float32, or another ctranslate2; please send the report")
    return ok(f"{words}, {found.encoder_error:.1g} off torch, which is rounding")
