"""What torch says of GPUs, and whether it computes on one as a training needs it: float16, a cap, 8-bit moments."""

import warnings

import torch

from trainer.checking.observations import Build, Cap, Halves, Moments
from trainer.checking.probes.random_model import random_whisper
from trainer.checking.scope import TINIEST
from trainer.checking.worker import Task
from trainer.data.clips import Clip, Clips
from trainer.data.micro_batches import MicroBatch
from trainer.data.step_planner import StepPlan
from trainer.distributed.ranks import Ranks
from trainer.memory.budget_search import allow, made_up
from trainer.model.whisper import TrainingModel, trained_parameters
from trainer.training.optimizers import make_optimiser, set_rate
from trainer.training.step import Stepper, StepResult

_GIB = 1 << 30
_STEPS, _RATE = 4, 1e-3
_CLIPS, _FRAMES, _TOKENS = 4, 200, 20
_OVERFLOW = 2.0**100
"""A loss scale under which every gradient is infinite in 16 bits."""
_DESCENT = 60


def probe_torch(_task: Task) -> Build:
    """Torch's build, and the GPUs that it sees."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = [torch.cuda.get_device_properties(number) for number in range(count)]
    room = [torch.cuda.mem_get_info(number) for number in range(count)]
    return Build(
        version=torch.__version__,
        cuda=torch.version.cuda or "",
        nccl=".".join(map(str, torch.cuda.nccl.version())) if count else "",  # type: ignore[no-untyped-call] # torch's
        names=[each.name for each in found],
        total=[total for _, total in room],
        free=[free for free, _ in room],
        capabilities=[f"sm_{each.major}{each.minor}" for each in found],
        kernels=torch.cuda.get_arch_list() if count else [],
        said=str(warned[0].message).partition("\n")[0] if warned else "",
    )


def probe_halves(task: Task) -> Halves:
    """The same steps in both types, and one more whose gradients overflow."""
    device = _device(task)
    single, _ = _losses(device, None)
    half, stepper = _losses(device, torch.float16)
    before = [parameter.detach().clone() for parameter in trained_parameters(stepper.model)]
    stepper.scaler.load_state_dict(stepper.scaler.state_dict() | {"scale": _OVERFLOW})
    result = _step(stepper, _STEPS)
    after = trained_parameters(stepper.model)
    return Halves(
        single=single,
        half=half,
        skipped=result.skipped,
        scale_before=_OVERFLOW,
        scale_after=stepper.scaler.get_scale(),
        unchanged=all(torch.equal(one, other) for one, other in zip(before, after, strict=True)),
    )


def probe_cap(task: Task) -> Cap:
    """A GPU of which half of what is free may be used, half of that taken, and then more than all of it."""
    device = _device(task)
    free, _ = torch.cuda.mem_get_info(device)
    capped = allow(min(task.scope.vram_bytes, free // 2), device)
    try:
        held = _take(capped // 2, device)
        return Cap(capped, held is not None, _take(capped, device) is None)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)
        torch.cuda.empty_cache()


def probe_moments(task: Task) -> Moments:
    """The same descent with exact and with 8-bit moments."""
    device = _device(task)
    exact, _ = _left(device, "adamw")
    eight_bit, optimiser = _left(device, "adamw-8bit")
    tensors = [value for state in optimiser.state.values() for value in state.values() if torch.is_tensor(value)]
    values = sum(parameter.numel() for group in optimiser.param_groups for parameter in group["params"])
    return Moments(exact, eight_bit, sum(tensor.nbytes for tensor in tensors if tensor.numel() > 1) / values)


def _device(task: Task) -> torch.device:
    return torch.device("cuda", 0) if task.scope.cuda else torch.device("cpu")


def _losses(device: torch.device, dtype: torch.dtype | None) -> tuple[list[float], Stepper]:
    """The loss per token of some steps of a small model, and what took them."""
    model = TrainingModel(random_whisper(TINIEST, device)).train()
    ranks = Ranks(0, 1, device)
    optimiser = make_optimiser("adamw", trained_parameters(model), ranks, rate=_RATE, weight_decay=0.0)
    stepper = Stepper(model, optimiser, ranks, dtype, max_grad_norm=1.0, seed=0)
    # One that small steps do not overflow under, so that both types do the same.
    stepper.scaler.load_state_dict(stepper.scaler.state_dict() | {"scale": 1024.0} if dtype else {})
    return [float(_step(stepper, number).loss_sum) / (_CLIPS * _TOKENS) for number in range(_STEPS)], stepper


def _step(stepper: Stepper, number: int) -> StepResult:
    batch = MicroBatch(Clips.of([Clip(0, _FRAMES, _TOKENS)] * _CLIPS), _FRAMES)
    torch.manual_seed(number)
    tensors = made_up(batch, TINIEST.num_mel_bins, TINIEST.vocab_size, stepper.ranks.device)
    plan = StepPlan(number, 0, ((batch,),), _CLIPS * _TOKENS, 0.0)
    return stepper.run(plan, [(batch, tensors)], _RATE)


def _take(count: int, device: torch.device) -> torch.Tensor | None:
    """*count* bytes of the GPU; None where they are refused."""
    try:
        return torch.empty(count, dtype=torch.uint8, device=device)
    except torch.OutOfMemoryError:
        return None


def _left(device: torch.device, name: str) -> tuple[float, torch.optim.Optimizer]:
    """How much of an error of 1 is left after a descent, and the optimiser."""
    torch.manual_seed(0)
    goal = torch.randn(256, 256, device=device)
    weight = torch.nn.Parameter(torch.zeros_like(goal))
    ranks = Ranks(0, 1, device)
    optimiser = make_optimiser(name, [weight], ranks, rate=0.05, weight_decay=0.0)  # type: ignore[arg-type] # one of them
    for number in range(_DESCENT):
        set_rate(optimiser, 0.1 * (1 - number / _DESCENT))
        optimiser.zero_grad()
        (weight - goal).square().mean().backward()  # type: ignore[no-untyped-call] # torch's own
        optimiser.step()
    return float((weight - goal).square().mean().detach()), optimiser
