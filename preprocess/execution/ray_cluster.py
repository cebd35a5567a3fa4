"""Ray: five actors around five FeatureWorkers. The only module that imports ray.

Features never pass through Ray: actors return small reports, so the object store stays at its minimum and has nothing
to spill. A cluster started here listens on loopback only, asks for a token, and keeps its files in the store's
`.partial/ray`, which is removed at the end. Call `environment.set_environment` before this module is imported.
"""

import atexit
import errno
import os
import shutil
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from types import TracebackType
from typing import Any, Self

import psutil
import ray
import ray._private.worker
import ray.exceptions
from ray._private.node import Node

from preprocess.execution.ray_start import check_address, check_loopback, print_to_stderr, remedy_of
from preprocess.features.worker import FeatureWorker, UnitReport, UnitTask, WorkerProgress, WorkerSettings
from preprocess.governor.process_memory import give_memory_back
from preprocess.workspace.environment import ACTOR_ENVIRONMENT, leave_pandas_out
from preprocess.workspace.prepare import close_partial
from preprocess.workspace.processes import end_processes
from preprocess.workspace.ray_folder import make_ray_folder, ray_folder, remove_links
from shared.errors import ClusterError, RayLostError, ReservationOutgrownError, SpeechPrepError, UsageError, first_line
from shared.layout import StoreLayout

OBJECT_STORE_BYTES = 75 << 20
"""Ray's minimum; reports of a few hundred bytes are all that passes."""
STOP_TICK_SECONDS = 0.25
SMALL_SHARE = 0.001
"""Of what each machine has 1 of; hundreds of actors ask for it."""
END_SECONDS = 5.0
"""How long a killed actor may take to be gone."""
VITAL = {"raylet", "gcs_server"}
"""Ray's own processes without which no actor can be reached; Ray itself notices their end a minute late."""

# Of a worker that it lost Ray tells the driver also where no worker's output is asked for.
ray._private.worker.print_to_stdstream = print_to_stderr  # noqa: SLF001 - Ray has no option for it


@dataclass(frozen=True, slots=True)
class ActorProgress:
    """A worker's progress with its process: *memory_bytes* is its unique set size, *cpu_seconds* what it has used."""

    worker: WorkerProgress
    memory_bytes: int
    cpu_seconds: float
    pid: int


@dataclass(frozen=True, slots=True)
class ActorReady:
    """Actor *actor* waits for work."""

    actor: int


@dataclass(frozen=True, slots=True)
class ActorDone:
    """Actor *actor* finished its work; *report* is None for a probe."""

    actor: int
    report: UnitReport | None


@dataclass(frozen=True, slots=True)
class ActorDied:
    """Actor *actor* is no more."""

    actor: int
    reason: str


@dataclass(frozen=True, slots=True)
class ActorGaveUp:
    """Actor *actor* gave its unit up and left nothing behind: the disk was full, or its reservation too small."""

    actor: int
    error: Exception


Event = ActorReady | ActorDone | ActorDied | ActorGaveUp


class _FeatureActor(FeatureWorker):
    """A FeatureWorker in a process of its own; `look` and `stop` answer while `process` works."""

    def __init__(self, settings: WorkerSettings) -> None:
        import pyarrow as pa  # noqa: PLC0415 - set for the actor's process only

        leave_pandas_out()
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        super().__init__(settings)

    def ready(self) -> None:
        """Answers once the worker is made."""

    @ray.method(concurrency_group="watch")  # type: ignore[untyped-decorator]  # see pyproject: ray is not followed
    def look(self) -> ActorProgress:
        """What the worker is at."""
        process = psutil.Process()
        spent = process.cpu_times()
        memory_bytes = process.memory_full_info().uss
        return ActorProgress(self.progress, memory_bytes, spent.user + spent.system, os.getpid())

    @ray.method(concurrency_group="watch")  # type: ignore[untyped-decorator]  # see pyproject: ray is not followed
    def give_memory_back(self) -> None:
        """Returns unused memory to the system."""
        give_memory_back()

    @ray.method(concurrency_group="watch")  # type: ignore[untyped-decorator]  # see pyproject: ray is not followed
    def stop(self) -> None:
        """Gives up the open unit at its next row."""
        super().stop()


FeatureActor: Any = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=1, concurrency_groups={"watch": 1})(
    _FeatureActor
)


class Cluster:
    """Starts Ray (or joins the one at *address*) and runs actors. A context manager; on leaving nothing is left."""

    def __init__(self, settings: WorkerSettings, mark: str, *, num_actors: int, address: str | None = None) -> None:
        self._settings, self._mark, self._address = settings, mark, address
        self._num_actors = num_actors
        self._layout = StoreLayout(settings.store)
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, tuple[int, bool]] = {}
        self._watching: dict[int, Any] = {}
        self._pids: dict[int, int] = {}
        self._vital: list[psutil.Process] = []
        self._place: dict[str, float] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in list(self._actors):
            self._forget(actor)
        # On a disk that died Ray's own end fails; at exit it would try again, and leave a folder of its own in /tmp.
        atexit.unregister(ray.shutdown)
        with suppress(OSError):
            ray.shutdown()
        if self._address is None:
            end_processes(self._mark, ray_folder(self._layout))
            remove_links(self._layout)
            shutil.rmtree(ray_folder(self._layout), ignore_errors=True)

    def _start(self) -> None:
        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "include_dashboard": False}
        try:
            if self._address:
                ray.init(self._address, log_to_driver=False, runtime_env={"env_vars": ACTOR_ENVIRONMENT})
                # Ray's own name for a machine: nodes that join later get none of our actors.
                self._place = {f"node:{ray.util.get_node_ip_address()}": SMALL_SHARE}
                return
            check_loopback()
            memory = {"object_store_memory": OBJECT_STORE_BYTES}
            folder = str(make_ray_folder(self._layout))
            # Nobody scales this cluster, asks its pages or follows its logs: three processes of Python less, 0.3 GB.
            Node.start_monitor = Node.start_log_monitor = Node.start_api_server = lambda _node, **_options: None
            ray.init(num_cpus=self._num_actors, num_gpus=0, _temp_dir=folder, **memory, **options)
        except (UsageError, ClusterError):
            raise
        except Exception as error:
            # Nothing narrower will do: Ray raises bare Exceptions when its processes do not come up.
            message = f"Ray did not start: {first_line(error)}"
            raise RayLostError(message, remedy_of(error)) from error
        # Whatever rights Ray gave to the folders that it made.
        close_partial(self._layout)
        self._vital = [child for child in psutil.Process().children() if child.name() in VITAL]
        if len(self._vital) < len(VITAL):
            raise RayLostError("a process of Ray's own died at once", "free memory, then repeat the command")

    def start_actor(self, actor: int) -> None:
        """Starts actor *actor* in place of whatever had its number; `ActorReady` follows."""
        self._forget(actor)
        handle = FeatureActor.options(resources=self._place).remote(self._settings)
        self._actors[actor] = handle
        self._pending[handle.ready.remote()] = (actor, False)

    def run(self, actor: int, task: UnitTask, *, probe: bool = False) -> None:
        """Lets *actor* work on *task*; `ActorDone` or `ActorDied` follows."""
        handle = self._actors[actor]
        self._pending[handle.probe.remote(task) if probe else handle.process.remote(task)] = (actor, True)

    def wait(self, timeout_seconds: float) -> list[Event]:
        """What happened within *timeout_seconds*; returns early when something does.

        Raises what a worker raised, and ClusterError when Ray itself is gone.
        """
        if not self._whole():
            raise RayLostError("a process of Ray's own died", "repeat the command: it goes on where it stopped")
        ready, _ = ray.wait(list(self._pending), num_returns=1, timeout=timeout_seconds) if self._pending else ([], [])
        return [self._event(reference) for reference in ready]

    def _event(self, reference: Any) -> Event:
        actor, finished = self._pending.pop(reference)
        try:
            report = ray.get(reference)
        except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
            self._forget(actor)
            return ActorDied(actor, first_line(error))
        except ray.exceptions.RayTaskError as error:
            cause = _cause(error)
            if isinstance(cause, ReservationOutgrownError) or is_full_disk(cause):
                return ActorGaveUp(actor, cause)
            raise cause from error
        except ray.exceptions.RayError as error:
            raise RayLostError(f"Ray lost an answer: {first_line(error)}", "repeat the command: it goes on") from error
        return ActorDone(actor, report) if finished else ActorReady(actor)

    def progress(self) -> Mapping[int, ActorProgress]:
        """Progress of every actor that has answered since the last call; asks again and never waits."""
        answers = {}
        for actor, reference in list(self._watching.items()):
            if ray.wait([reference], timeout=0)[0]:
                del self._watching[actor]
                with suppress(ray.exceptions.RayError):
                    # An actor that died meanwhile says so in `wait`.
                    answers[actor] = ray.get(reference)
                    self._pids[actor] = answers[actor].pid
        for actor, handle in self._actors.items():
            if actor not in self._watching:
                self._watching[actor] = handle.look.remote()
        return answers

    def end_actor(self, actor: int) -> None:
        """Ends *actor* at once, whatever it is at; no event follows."""
        pid = self._pids.pop(actor, None)
        self._forget(actor)
        if pid is not None and self._address is None:
            # `ray.kill` does not wait; the caller goes on to remove what the actor was writing.
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                psutil.Process(pid).wait(END_SECONDS)

    @property
    def actor_pids(self) -> frozenset[int]:
        """Process ids of the actors here, as far as they told."""
        return frozenset(self._pids.values()) if self._address is None else frozenset()

    @property
    def memory_bytes(self) -> int:
        """Resident bytes of this process and of Ray's own; the actors' are not among them."""
        return sum(map(_resident_bytes, [psutil.Process(), *self._vital]))

    def give_memory_back(self) -> None:
        """Asks every actor to return what it holds and does not use."""
        for handle in self._actors.values():
            handle.give_memory_back.remote()

    def stop(self, timeout_seconds: float) -> None:
        """Asks every worker to give up its open unit, and waits up to *timeout_seconds* until all have."""
        for handle in self._actors.values():
            handle.stop.remote()
        end = monotonic() + timeout_seconds
        waiting = list(self._pending)
        # A signal to the whole process group ends Ray as well; then there is nobody to wait for.
        while waiting and self._whole() and monotonic() < end:
            _, waiting = ray.wait(waiting, num_returns=len(waiting), timeout=STOP_TICK_SECONDS)

    def _forget(self, actor: int) -> None:
        handle = self._actors.pop(actor, None)
        self._watching.pop(actor, None)
        self._pids.pop(actor, None)
        self._pending = {reference: number for reference, number in self._pending.items() if number[0] != actor}
        if handle is not None and self._whole():
            # Without its own processes Ray would try for a minute, and then end this one.
            ray.kill(handle)

    def _whole(self) -> bool:
        """True while Ray's own processes live, as far as they were started here."""
        return all(_lives(process) for process in self._vital)


def check_nodes(address: str) -> None:
    """Raises UsageError where actors of the Ray cluster at *address* could work on another machine than this one.

    Budgets, locks and the owners of unfinished files are of one machine. Joins the cluster only for the look; raises
    ClusterError where that fails.
    """
    check_address(address)
    try:
        ray.init(address, log_to_driver=False, configure_logging=False)
        strange = foreign_nodes(ray.nodes())
    except Exception as error:
        # As in `Cluster`: Ray raises what it likes.
        message = f"cannot join the Ray cluster at {address}: {first_line(error)}"
        raise ClusterError(message, "check --ray-address, or leave it out to start Ray here") from error
    finally:
        ray.shutdown()
    if strange:
        message = f"the Ray cluster at {address} has nodes on other machines: {', '.join(strange)}"
        raise UsageError(message, "join a cluster of this machine alone, or leave out --ray-address to start one here")


def foreign_nodes(nodes: Iterable[Mapping[str, Any]]) -> list[str]:
    """The live ones of Ray's *nodes* whose address is none of this machine's, in words.

    Host names prove nothing: two machines, or containers, may have the same.
    """
    here = {_bare(entry.address) for entries in psutil.net_if_addrs().values() for entry in entries}
    return [
        f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})"
        for node in nodes
        if node["Alive"] and not _addresses(node["NodeManagerAddress"]) & here
    ]


def _addresses(name: str) -> set[str]:
    """What *name*, mostly an address already, stands for; nothing where nobody knows."""
    try:
        return {_bare(str(entry[4][0])) for entry in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def _bare(address: str) -> str:
    """*address* without an IPv6 zone."""
    return address.partition("%")[0]


def _lives(process: psutil.Process) -> bool:
    """False also for a zombie: these are this process's own children."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def is_full_disk(error: BaseException) -> bool:
    """Whether *error* says that a disk or quota has no room left."""
    return isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}


def _cause(error: ray.exceptions.RayTaskError) -> Exception:
    """What the worker raised, as it raised it; an error that is not one of ours is a defect and keeps its trace."""
    cause: Exception = error.cause
    if isinstance(cause, SpeechPrepError | OSError):
        return cause
    return ClusterError(f"an actor failed: {error}", "report this with the text above")
