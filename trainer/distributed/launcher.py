"""The ranks of one machine: started, watched and ended together, with no port open but torch's own data ports on lo.

Ranks meet in a file of memory that has no name: there is no server to connect to, no folder to guess, and nothing is
left behind, whoever is killed. What a rank does is `trainer.train`'s; several machines are torchrun's.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from shared.errors import ExitCode, SpeechPrepError, UsageError
from shared.system.signal_names import signal_name
from trainer.distributed.place import LAUNCHER, RENDEZVOUS, Place

_POLL_SECONDS = 0.1
_OWN_WAY_SECONDS = 5.0
"""What the others have to find out by themselves, and to say, that a rank has ended; then they are asked to stop."""
_LAST_SECONDS = 30.0
"""After which the others are killed: a rank that waits for a dead one hears nothing."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_TELLING = (ExitCode.USAGE, ExitCode.RESOURCE_LIMIT, ExitCode.INTERRUPTED)
"""Status by which a rank says more than that it failed, as one does whose neighbour has ended."""


@dataclass(frozen=True, slots=True)
class RankEnd:
    """That *rank* ended with *code*, which is negative for a signal; *expected* where we sent it that one."""

    rank: int
    code: int
    expected: bool = False


def ranks_to_start(count: int | None, place: Place) -> int:
    """How many ranks the process at *place* is to `launch` for *count*, as `--nproc-per-node` has it; 0 to train here.

    Raises UsageError where it is a rank itself, but not one that was launched with the same options.
    """
    if count is None or place.launcher is not None:
        return 0
    if place.world_size > 1 or place.elastic:
        raise UsageError(
            "--nproc-per-node was given to a rank of torchrun's", "give it to torchrun alone, or to us alone"
        )
    return count if count > 1 else 0


def launch(module: str, arguments: Sequence[str], count: int) -> int:
    """Runs `python -m MODULE ARGUMENTS` as *count* ranks; the exit status of all of them.

    SIGINT and SIGTERM ask all of them to stop, a second one ends them at once. A rank that fails ends the others.
    Raises SpeechPrepError when a signal ended one, KeyboardInterrupt where they were stopped before one could say so.
    """
    command, ranks = [sys.executable, "-m", module, *arguments], _Ranks()
    with _asked_to_stop() as asked, _nameless_file() as rendezvous:
        try:
            for rank in range(count):
                ranks.start(command, rank_environment(os.environ, rank, count, rendezvous), rendezvous)
            ends = ranks.watch(asked)
        finally:
            ranks.kill()
    return exit_code(ends, asked=bool(asked))


def rank_environment(environment: Mapping[str, str], rank: int, count: int, rendezvous: int) -> dict[str, str]:
    """*environment* with what makes a process *rank* of *count*, and keeps its ports to this machine."""
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    place = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, LAUNCHER: os.getpid()}
    # NCCL's status port would listen for whoever asks; nobody does.
    ports = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo", "NCCL_RAS_ENABLE": "0"}
    numbers = {name: str(number) for name, number in place.items()}
    return {"OMP_NUM_THREADS": str(threads), **environment, **numbers, **ports, RENDEZVOUS: _meeting(rendezvous)}


def exit_code(ends: Sequence[RankEnd], *, asked: bool) -> int:
    """The status of ranks that came to *ends*, after somebody *asked* them to stop or not.

    Raises SpeechPrepError where a signal that nobody here sent ended one, KeyboardInterrupt where no rank was left to
    say that it was stopped.
    """
    for end in ends:
        if end.code < 0 and not end.expected:
            raise SpeechPrepError(f"rank {end.rank} was ended by {signal_name(-end.code)}", _remedy(-end.code))
    codes = {end.code for end in ends if end.code >= 0}
    if asked and any(end.code < 0 for end in ends) and RankEnd(0, ExitCode.INTERRUPTED) not in ends:
        raise KeyboardInterrupt
    telling = next((code for code in _TELLING if code in codes), None)
    return int(telling if telling is not None else ExitCode.FAILED if codes - {0} else ExitCode.DONE)


@dataclass(slots=True)
class _Ranks:
    """The processes, in their order, and what has become of them."""

    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ends: list[RankEnd] = field(default_factory=list)
    sent: set[int] = field(default_factory=set)

    def start(self, command: Sequence[str], environment: Mapping[str, str], rendezvous: int) -> None:
        """One more; the terminal's Ctrl-C is for the launcher, which hands it on once."""
        started = subprocess.Popen(  # noqa: S603 - this program, with its own arguments
            command, env=environment, pass_fds=(rendezvous,), start_new_session=True
        )
        self.processes.append(started)

    def watch(self, asked: Sequence[int]) -> list[RankEnd]:
        """Returns when all have ended, and sees to it that they do."""
        failed_at = None
        while not self._all_ended():
            # Ranks that were asked to stop, and have, leave the others to what they still close.
            fine = {ExitCode.DONE, ExitCode.INTERRUPTED} if asked else {ExitCode.DONE}
            if failed_at is None and any(end.code not in fine for end in self.ends):
                failed_at = time.monotonic()
            waited = 0.0 if failed_at is None else time.monotonic() - failed_at
            if len(asked) > 1 or waited > _LAST_SECONDS:
                self._send(signal.SIGKILL)
            elif asked or waited > _OWN_WAY_SECONDS:
                self._send(signal.SIGTERM)
            time.sleep(_POLL_SECONDS)
        return self.ends

    def kill(self) -> None:
        """None is left when this returns."""
        self._send(signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def _all_ended(self) -> bool:
        known = {end.rank for end in self.ends}
        for rank, process in enumerate(self.processes):
            if rank not in known and (code := process.poll()) is not None:
                self.ends.append(RankEnd(rank, code, expected=-code in self.sent))
        return len(self.ends) == len(self.processes)

    def _send(self, number: signal.Signals) -> None:
        """Once to each that lives."""
        if number not in self.sent:
            self.sent.add(number)
            for process in self.processes:
                process.send_signal(number)


@contextmanager
def _asked_to_stop() -> Iterator[Sequence[int]]:
    """The signals that asked for a stop in here, as they come."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _nameless_file() -> Iterator[int]:
    """A file of memory, which only those find who have it open."""
    file = os.memfd_create("rendezvous")
    try:
        yield file
    finally:
        os.close(file)


def _meeting(rendezvous: int) -> str:
    """As the ranks name the file, which they have open under the same number."""
    return f"file:///proc/self/fd/{rendezvous}"


def _remedy(number: int) -> str:
    memory = "; where memory ran out, the system's log says so (dmesg)" if number == signal.SIGKILL else ""
    return f"the same command goes on at the last checkpoint{memory}"
