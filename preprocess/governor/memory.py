"""Give memory back that this process holds and does not use."""

import ctypes
import gc

import pyarrow as pa


def give_memory_back() -> None:
    """Collects garbage, empties Arrow's pool and returns the heap's free pages to the system."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    # Only glibc has it; another libc returns pages by itself.
    if trim is not None:
        trim(0)
