"""The ranks' gradients meet while the last micro-batch goes backward, and a rank that fails keeps no other waiting.

`DistributedDataParallel` sends gradients bucket by bucket, as they come to be. Where a rank runs out of memory in
between, the others would wait for the rest of its buckets until they time out. So it sends zeros in their place; all
ranks learn of it afterwards, throw the sums away, and begin the step again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode

from shared.errors import ResourceLimitError
from trainer.distributed.ranks import Ranks, leave_with_ranks
from trainer.model.whisper import trained_parameters


class GradientExchange:
    """*model*, whose gradients are averaged over *ranks*; alone it is just the model.

    A step begins with `begin`, ends with `finish`, and where it failed on this rank has `make_up` between them.
    """

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        self._model, self._ranks = model, ranks
        self._outbox = _Outbox(ranks.world_size)
        self._parallel = self._wrapped() if ranks.world_size > 1 else None
        leave_with_ranks(self)

    def close(self) -> None:
        """Lets torch's reducer go, and with it the process group; nothing is exchanged any more."""
        self._outbox.sent.clear()
        if self._parallel is not None:
            self._parallel.reducer._remove_autograd_hooks()  # noqa: SLF001 # as in `renew`
            del self._parallel.logger, self._parallel.reducer, self._parallel.process_group
            self._parallel = None

    def __call__(self, *tensors: torch.Tensor) -> Any:
        """What the model makes of *tensors*."""
        return (self._parallel or self._model)(*tensors)

    def begin(self) -> None:
        """A step in which this rank has sent nothing yet.

        Until then what was sent is kept: a thread of torch's that were the last to let it go would ask for Python, and
        end the process where that has ended.
        """
        self._outbox.sent.clear()

    def finish(self) -> None:
        """Returns when the sums are there; on a GPU, when what is computed from now on will see them."""
        for work in self._outbox.sent:
            work.wait()

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Gradients of what is computed in here stay on this rank, for the time being."""
        if self._parallel is None:
            yield
        else:
            with self._parallel.no_sync():
                yield

    def make_up(self) -> None:
        """Sends zeros for what the others wait for in this step: this rank's memory ran out.

        Raises ResourceLimitError when not even these have room.
        """
        if self._parallel is None:
            return
        missing = self._bucket_sizes()[len(self._outbox.sent) :]
        try:
            # What is sent is thrown away by all: one piece of memory will do.
            spare = trained_parameters(self._model)[0].new_zeros(max(missing, default=0))
        except torch.OutOfMemoryError as error:
            remedy = "the same command with a smaller --frame-budget, or --gradient-checkpointing always, goes on"
            raise ResourceLimitError("GPU memory ran out while gradients were exchanged", remedy) from error
        for size in missing:
            self._outbox.send(spare[:size])

    def renew(self) -> None:
        """Forgets an exchange that was broken off on some rank, and all gradients; every rank calls it."""
        if self._parallel is not None:
            # Autograd holds on to the old buckets, which would wait for the rest of theirs.
            self._parallel.reducer._remove_autograd_hooks()  # noqa: SLF001 # torch has no other way
            # Their memory is free before the new ones take theirs: what was sent keeps it, too.
            self._outbox.sent.clear()
            self._parallel = None
            for parameter in trained_parameters(self._model):
                parameter.grad = None
            self._parallel = self._wrapped()

    def _bucket_sizes(self) -> list[int]:
        """Values in each bucket, in the order in which they travel."""
        assert self._parallel is not None
        # torch tells its buckets in no other way: as zeros, for which there is no room here.
        with _Nowhere():  # type: ignore[no-untyped-call] # as below
            buckets = self._parallel.reducer._get_zeros_like_grad_buckets()  # noqa: SLF001 # as said
        return [bucket.buffer().numel() for bucket in buckets]

    def _wrapped(self) -> DistributedDataParallel:
        # Gradients that are there already come to lie in the buckets. Those that autograd makes where the ranks' do not
        # meet at once would take as much memory again.
        for parameter in trained_parameters(self._model):
            parameter.grad = torch.zeros_like(parameter)
        # On the device where the model lies: what it is given lies there as well.
        parallel = DistributedDataParallel(self._model, forward_sync_buffers=False, gradient_as_bucket_view=True)
        parallel.register_comm_hook(self._outbox, _send)
        return parallel


class _Outbox:
    """What has been *sent* in a step. torch's reducer holds it, so it holds nothing that holds the reducer.

    Such a ring would keep the process group and its threads alive until after Python's end.
    """

    def __init__(self, world_size: int) -> None:
        self.sent: list[Any] = []
        self._world_size = world_size

    def send(self, gradients: torch.Tensor) -> None:
        """Begins to add *gradients* up over the ranks, in place, weighted so that the sum is their mean."""
        self.sent.append(dist.all_reduce(gradients.div_(self._world_size), async_op=True))


class _Nowhere(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's own
    """What torch makes in here has a shape, and no memory."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As torch calls it: *types* tells nothing here."""
        return func(*args, **(kwargs or {}) | {"device": "meta"})


def _send(outbox: _Outbox, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:  # type: ignore[name-defined] # torch has it, its stubs do not
    """Sends a bucket; what it returns is ready at once, as `GradientExchange.finish` waits for the sums.

    Waiting in a future would leave a piece of Python to a thread of torch's, which ends the process where Python ends
    first.
    """
    outbox.send(bucket.buffer())
    ready: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    ready.set_result(bucket.buffer())
    return ready
