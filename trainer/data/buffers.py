"""Memory that micro-batches are formed in, used again and again: fresh pages cost more than the copy into them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Empty = Callable[[tuple[int, ...], DTypeLike], NDArray[Any]]
"""Makes an array of this shape and dtype that holds anything, as `numpy.empty` does."""

_ALIGNMENT = 64
"""Arrays begin at multiples of this many bytes: copying to elsewhere takes up to half as long again."""


@dataclass(slots=True)
class Buffers:
    """Buffers that wait to be used again; `take` and `give` may be called by several threads at once."""

    _free: deque[NDArray[np.uint8]] = field(default_factory=deque)

    def take(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of *shape* and *dtype* that holds anything, in a buffer that was given back if there is one."""
        num_bytes = prod(shape) * np.dtype(dtype).itemsize
        try:
            buffer = self._free.pop()
        except IndexError:
            buffer = np.empty(0, np.uint8)
        if len(buffer) < num_bytes + _ALIGNMENT:
            buffer = np.empty(num_bytes + _ALIGNMENT, np.uint8)
        start = -buffer.ctypes.data % _ALIGNMENT
        return buffer[start : start + num_bytes].view(dtype).reshape(shape)

    def give(self, array: NDArray[Any]) -> None:
        """Takes back the buffer of *array*, which `take` gave and nobody looks at any more."""
        buffer = array.base
        assert isinstance(buffer, np.ndarray)
        self._free.append(buffer)
