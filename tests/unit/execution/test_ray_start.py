"""Why Ray cannot start or be joined is said at once, each cause with its own remedy."""

import errno
import os
import socket
import time

import pytest

from preprocess.execution.ray_start import check_address, check_loopback, remedy_of
from shared.errors import ClusterError, UsageError


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Failed to bind to 127.0.0.1:6379 because it's already occupied", "ss -ltnp"),
        ("bind: Address already in use", "ss -ltnp"),
        ("[Errno 12] Cannot allocate memory", "free memory"),
        ("[Errno 24] Too many open files", "ulimit -n"),
        ("can't start new thread", "ulimit -u"),
        ("[Errno 28] No space left on device", "make room"),
        ("[Errno 13] Permission denied: '/x'", "may write"),
        ("The current node timed out during startup.", "processors or memory"),
    ],
)
def test_a_failed_start_has_a_remedy_of_its_own(said, remedy):
    assert remedy in remedy_of(RuntimeError(said))


def test_a_machine_with_loopback_is_fit():
    check_loopback()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENETUNREACH, "lo up"), (errno.EPERM, "lo up"), (errno.EADDRNOTAVAIL, "ss -s"), (errno.EMFILE, "ulimit -n")],
)
def test_no_loopback_is_told_at_once(monkeypatch, number, remedy):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(ClusterError, match=r"127\.0\.0\.1") as caught:
        check_loopback()
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "address", ["", "6379", "host", "host:", ":6379", "host:0", "host:66000", "host:x", "http://h", "h:٣"]
)
def test_what_is_no_address_is_told(address):
    with pytest.raises(UsageError, match="is not an address") as caught:
        check_address(address)
    assert "HOST:PORT" in caught.value.remedy


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "localhost:{}"])
def test_where_nobody_listens_is_told_within_seconds(form):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        check_address(form.format(port))
    started = time.monotonic()
    with pytest.raises(UsageError, match="nothing listens there"):
        check_address(form.format(port))
    assert time.monotonic() - started < 5


def test_a_host_that_nobody_knows_is_told(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    with pytest.raises(UsageError, match="no host is called head"):
        check_address("head:6379")


def test_a_silent_network_is_told(monkeypatch):
    def silent(*_, **__):
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
    with pytest.raises(UsageError, match="cannot be reached: timed out") as caught:
        check_address("head:6379")
    assert "firewall" in caught.value.remedy


@pytest.mark.parametrize("address", ["auto", "local"])
def test_words_of_rays_own_are_left_to_it(address):
    check_address(address)
