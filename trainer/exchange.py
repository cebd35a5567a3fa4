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

from shared.errors import ResourceLimitError
from trainer.distributed import Ranks


class Exchange:
    """*model*, whose gradients are averaged over *ranks*; alone it is just the model.

    A step begins with `begin`, ends with `finish`, and where it failed on this rank has `make_up` between them.
    """

    def __init__(self, model: nn.Module, ranks: Ranks) -> None:
        self._model, self._ranks = model, ranks
        self._sent: list[Any] = []
        self.has_met = False
        """Whether gradients have met on all ranks, and so lie in the buckets that travel."""
        self._parallel = self._wrapped() if ranks.world_size > 1 else None

    def __call__(self, *tensors: torch.Tensor) -> Any:
        """What the model makes of *tensors*."""
        return (self._parallel or self._model)(*tensors)

    def begin(self) -> None:
        """A step in which this rank has sent nothing yet."""
        self._sent.clear()

    def finish(self) -> None:
        """Returns when the sums are there; on a GPU, when what is computed from now on will see them."""
        for work in self._sent:
            work.wait()
        self.has_met = self.has_met or bool(self._sent)

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
        try:
            # As torch's own `join` does it for ranks that have no more data.
            missing = self._parallel.reducer._get_zeros_like_grad_buckets()[len(self._sent) :]  # noqa: SLF001 # torch tells its buckets in no other way
        except torch.OutOfMemoryError as error:
            remedy = "the same command with a smaller --frame-budget, or --gradient-checkpointing always, goes on"
            raise ResourceLimitError("GPU memory ran out while gradients were exchanged", remedy) from error
        for bucket in missing:
            self.send(bucket.buffer())

    def renew(self) -> None:
        """Forgets an exchange that was broken off on some rank; every rank calls it. Gradients move to new buckets."""
        if self._parallel is not None:
            # Autograd holds on to the old ones, which would wait for the rest of their buckets.
            self._parallel.reducer._remove_autograd_hooks()  # noqa: SLF001 # as above
            self._parallel = self._wrapped()
            self.has_met = False

    def send(self, gradients: torch.Tensor) -> None:
        """Begins to add *gradients* up over the ranks, in place, weighted so that the sum is their mean."""
        self._sent.append(dist.all_reduce(gradients.div_(self._ranks.world_size), async_op=True))

    def _wrapped(self) -> DistributedDataParallel:
        devices = [self._ranks.device.index] if self._ranks.is_cuda else None
        parallel = DistributedDataParallel(
            self._model, device_ids=devices, forward_sync_buffers=False, gradient_as_bucket_view=True
        )
        parallel.register_comm_hook(self, _send)
        return parallel


def _send(exchange: Exchange, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:  # type: ignore[name-defined] # torch has it, its stubs do not
    """Sends a bucket; what it returns is ready at once, as `Exchange.finish` waits for the sums.

    Waiting in a future would leave a piece of Python to a thread of torch's, which ends the process where Python ends
    first.
    """
    exchange.send(bucket.buffer())
    ready: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    ready.set_result(bucket.buffer())
    return ready
