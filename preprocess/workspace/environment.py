"""Environment variables of a run's processes. Ray reads its own when it is imported, so they are set before that."""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import MetaPathFinder

from preprocess.workspace.processes import MARK

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS"), "1")
"""Five actors with a thread pool each for every library are the field's commonest slowness."""
ACTOR_ENVIRONMENT = ONE_THREAD | {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
    # Setting the one fixes the other at 128 kB, and every larger array is then mapped, faulted in and unmapped anew.
    # A row group takes buffers of 16 MiB; 32 MiB is the most that glibc accepts.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
}
"""Threads pinned, and memory that is freed given back to the system."""
_TOKEN = secrets.token_hex(32)
"""Once for a process: Ray keeps the first token that it reads, also for a cluster that is started anew."""
WITHOUT_PLASMA = {"RAY_max_direct_call_object_size": str(8 << 20)}
"""An actor's settings (a tokenizer is 2.5 MB) go with the call that starts it. Were they in the object store, Ray would
look for them there once its raylet has been told to end, and end the driver from within, without a word."""
LOCAL_RAY = WITHOUT_PLASMA | {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # On Linux, too, this makes Ray take 127.0.0.1 for its own address and bind every port to it.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # Its logs lie in the budgeted area.
    "RAY_ROTATION_MAX_BYTES": "1000000",
    "RAY_ROTATION_BACKUP_COUNT": "1",
    # Our watchdog acts at 95 % of the limit; Ray's own monitor is the last resort.
    "RAY_memory_usage_threshold": "0.98",
    # Actors have the command's own priority. With Ray's 15 they stood still beside a machine's other programs.
    "RAY_worker_niceness": "0",
    # Nobody reads them, and Ray would wait for them to be told to a server that a signal has ended already.
    "RAY_task_events_report_interval_ms": "0",
}

_OF_GRPC = {"grpc_proxy", "no_grpc_proxy"}
"""Would come before `no_proxy`; and nothing but Ray speaks gRPC here."""


@contextmanager
def actor_environment() -> Iterator[None]:
    """What is started inside the block sees an actor's environment; this process is as before afterwards."""
    before = dict(os.environ)
    os.environ.update(ACTOR_ENVIRONMENT)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def leave_pandas_out() -> None:
    """Spares this process pandas, which pyarrow imports at its first array where it is installed: 0.3 s and 30 MB.

    For a process that is ours alone, before it makes an array; to what asks for pandas there it is not installed.
    """
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    """Says of pandas alone that it is not there. A None in `sys.modules` is enough for Python, not for Cython."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Raises ModuleNotFoundError for pandas; the others are for those who come after."""
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out of this process", name=fullname)


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def local_ray_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """*inherited* as a cluster of our own may see it: a user's RAY_* are for his, as where to find or how to log it.

    Proxies stay, for actors may read from the Hub, but nobody takes one to this machine itself.
    """
    found = {name: value for name, value in inherited.items() if not name.startswith("RAY_") and name not in _OF_GRPC}
    for name in ("no_proxy", "NO_PROXY"):
        spared = [part for part in inherited.get(name, "").split(",") if part.strip()]
        found[name] = ",".join(dict.fromkeys((*spared, *_LOOPBACK)))
    return found | LOCAL_RAY


def set_environment(mark: str, *, local_ray: bool) -> None:
    """Sets what this process and all that it starts shall see; with *local_ray* also what a cluster started here needs.

    *mark* comes from `processes.store_mark`. The token is made anew for every run and stands nowhere but in these
    processes' environments.
    """
    os.environ |= ACTOR_ENVIRONMENT | {MARK: mark}
    set_ray_environment(local_ray=local_ray)


def set_ray_environment(*, local_ray: bool) -> None:
    """Sets what Ray reads when it is imported and started, which *local_ray* decides; it may be set again."""
    os.environ |= WITHOUT_PLASMA
    if local_ray:
        wanted = local_ray_environment(os.environ) | {"RAY_AUTH_TOKEN": _TOKEN}
        for name in os.environ.keys() - wanted.keys():
            del os.environ[name]
        os.environ |= wanted
