"""What keeps Ray from starting or being joined, found out at once and in words; Ray itself tries for a hundred seconds.

It starts nothing and does not import ray: `ray_cluster` asks before it does, and again when Ray has failed. Also where
what Ray says by itself is printed.
"""

import errno
import os
import socket
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from shared.errors import ClusterError, UsageError, first_line
from shared.system.library_output import STDERR
from shared.text import one_line

_ANSWER_SECONDS = 5.0
_FORM = "name it as HOST:PORT, as `ray status` does, or leave --ray-address out to start Ray here"
_OF_RAY = {"auto", "local"}
"""Words that Ray takes for an address."""
_REMEDIES = (
    (("no space left", "disk quota"), "make room on the disk of --store, then repeat the command"),
    (("too many open files",), "raise the limit of open files (`ulimit -n 65536`), then repeat the command"),
    (
        ("resource temporarily unavailable", "can't start new thread"),
        "raise the limit of processes (`ulimit -u`, or the container's pids), then repeat the command",
    ),
    (("cannot allocate memory", "out of memory", "available memory"), "free memory, then repeat the command"),
    (
        ("already in use", "failed to bind", "already occupied"),
        "end what took the port (`ss -ltnp` lists it), then repeat the command",
    ),
    (("permission denied", "operation not permitted"), "name a --store that this user may write to"),
    (
        ("timed out", "timeout"),
        "free processors or memory (`top` shows who has them), then repeat the command: it goes on where it stopped",
    ),
)


def remedy_of(error: BaseException) -> str:
    """What helps against *error*, which Ray's start ended with."""
    text = str(error).lower()
    found = (remedy for words, remedy in _REMEDIES if any(word in text for word in words))
    return next(found, "free memory or ports, then repeat the command")


def print_to_stderr(told: Mapping[str, Any], **_options: object) -> None:
    """Prints what Ray's driver has *told* in place of Ray, which takes stdout, where a screen is or lines of JSON are.

    Not by `sys.stderr`, which a live screen takes for its own: `LibraryOutput` hears what comes to the descriptor.
    """
    for message in told["lines"]:
        os.write(STDERR, f"Ray: {one_line(message)}\n".encode(errors="backslashreplace"))


def check_loopback() -> None:
    """Raises ClusterError where processes of this machine cannot talk to each other by 127.0.0.1, as Ray's do."""
    try:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            socket.create_connection(server.getsockname(), _ANSWER_SECONDS).close()
    except OSError as error:
        remedy = "give this machine or container its loopback (`ip link set lo up`), and let it be used"
        if error.errno in {errno.EADDRINUSE, errno.EADDRNOTAVAIL}:
            remedy = f"end what holds so many ports (`ss -s` counts them), or {remedy}"
        if error.errno in {errno.EMFILE, errno.ENFILE}:
            remedy = "raise the limit of open files (`ulimit -n 65536`)"
        raise ClusterError(
            f"Ray cannot start: no connection to 127.0.0.1: {error.strerror or error}", remedy
        ) from error


def check_address(address: str) -> None:
    """Raises UsageError where nothing can be a Ray cluster at *address*: no address, no such host, nobody listens."""
    if address in _OF_RAY:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise UsageError(f"--ray-address {address!r} is not an address of a Ray cluster", _FORM)
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except socket.gaierror as error:
        raise UsageError(f"--ray-address {address}: no host is called {host}", _FORM) from error
    except UnicodeError as error:
        raise UsageError(f"--ray-address {address!r} is not an address of a Ray cluster", _FORM) from error
    except ConnectionRefusedError as error:
        remedy = "start that cluster (`ray start --head`), check the port, or leave --ray-address out to start Ray here"
        raise UsageError(f"--ray-address {address}: nothing listens there", remedy) from error
    except OSError as error:
        message = f"--ray-address {address} cannot be reached: {error.strerror or first_line(error)}"
        remedy = "check network and firewall, or leave --ray-address out to start Ray here"
        raise UsageError(message, remedy) from error
