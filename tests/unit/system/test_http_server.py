"""The pages of a run over HTTP."""

import errno
import http.client
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from shared.errors import UsageError
from shared.system import http_server
from shared.system.http_server import MAX_CONNECTIONS, WebServer
from shared.system.status_pages import SILENT_SECONDS, Pages, Request, Vitals, bare_host


class Clock:
    def __init__(self):
        self.time = 1_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def vitals(clock):
    return Vitals(clock)


@pytest.fixture
def server(vitals):
    with WebServer(Pages(lambda: b"metric 1\n", lambda: "<p>ü</p>", vitals), "127.0.0.1", 0) as server:
        yield server


def ask(server, path, method="GET", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict(answer.getheaders())


def test_metrics_and_page_are_served_with_their_types(server):
    status, body, headers = ask(server, "/metrics?x=1")
    assert (status, body, headers["Content-Type"]) == (200, "metric 1\n", "text/plain; version=0.0.4; charset=utf-8")
    status, body, headers = ask(server, "/")
    assert (status, body, headers["Content-Type"]) == (200, "<p>ü</p>", "text/html; charset=utf-8")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_it_lives_while_the_run_loop_comes_round_and_however_long_a_start_takes(server, vitals, clock):
    assert ask(server, "/healthz")[0] == 200
    vitals.beat()
    clock.time += SILENT_SECONDS - 1
    assert ask(server, "/healthz")[0] == 200
    clock.time += 2
    assert ask(server, "/healthz")[0] == 503
    vitals.beat()
    assert ask(server, "/healthz")[0] == 200


def test_it_is_ready_once_somebody_works(server, vitals):
    assert ask(server, "/readyz")[0] == 503
    vitals.ready = True
    assert ask(server, "/readyz")[0] == 200


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/store.json", "/metrics/x", "/%2e%2e/etc/passwd"])
def test_nothing_else_is_served(server, path):
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(server, method):
    assert ask(server, "/metrics", method, b"x")[0] == 501


def test_head_gives_the_headers_alone(server):
    status, body, headers = ask(server, "/metrics", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, "", "9")


def test_nothing_tells_versions_of_the_server(server):
    assert "Python" not in ask(server, "/")[2]["Server"]


def test_only_the_address_that_was_named_is_bound(server):
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", server.port))


def test_a_client_that_goes_away_ends_nothing(server):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n")
    assert ask(server, "/metrics")[0] == 200


def test_a_port_in_use_is_told_and_an_address_that_is_not_ours_is_wrong_usage(server):
    with pytest.raises(OSError, match="in use"):
        WebServer(server.pages, "127.0.0.1", server.port).__enter__()
    with pytest.raises(UsageError, match=r"cannot serve metrics on 192\.0\.2\.1"):
        WebServer(server.pages, "192.0.2.1", 0).__enter__()


def test_the_port_is_free_again_afterwards(vitals):
    pages = Pages(lambda: b"", lambda: "", vitals)
    with WebServer(pages, "127.0.0.1", 0) as first:
        port = first.port
        ask(first, "/metrics")
    with WebServer(pages, "127.0.0.1", port) as again:
        assert ask(again, "/metrics")[0] == 200


# --- clients that are slow, many, or not who they seem to be ---


@pytest.fixture
def brisk(vitals):
    """A server whose requests have half a second."""
    pages = Pages(lambda: b"metric 1\n", lambda: "page", vitals, frozenset({"prep.example.org"}))
    with WebServer(pages, "127.0.0.1", 0, request_seconds=0.5) as server:
        yield server


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def is_closed(connection):
    connection.settimeout(5)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_however_many_say_nothing_descriptors_and_threads_stay_few_and_who_asks_is_answered(server):
    before = descriptors(), threading.active_count()
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5 * MAX_CONNECTIONS)]
    try:
        for connection in silent:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert ask(server, "/healthz")[0] == 200
        assert descriptors() - before[0] - len(silent) <= MAX_CONNECTIONS + 1
        assert threading.active_count() == before[1]
        assert is_closed(silent[0])
    finally:
        for connection in silent:
            connection.close()
    assert ask(server, "/metrics")[0] == 200


def test_a_drip_feed_ends_at_the_deadline_of_the_whole_request(brisk):
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", brisk.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):  # noqa: PT012 - the drip is what is tried
            while time.monotonic() < began + 5:
                connection.sendall(b"X")
                time.sleep(0.05)
    assert time.monotonic() < began + 3


def test_who_does_not_read_the_answer_is_dropped_as_well(vitals):
    pages = Pages(lambda: b"x" * 50_000_000, lambda: "", vitals)
    with WebServer(pages, "127.0.0.1", 0, request_seconds=0.5) as server:
        before = descriptors()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            time.sleep(1.0)
            assert descriptors() == before + 1
        assert ask(server, "/healthz")[0] == 200


def test_a_head_that_never_ends_is_refused(server):
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert connection.recv(100).startswith(b"HTTP/1.0 431")


def test_a_server_that_ends_ends_its_connections(vitals):
    with WebServer(Pages(lambda: b"", lambda: "", vitals), "127.0.0.1", 0) as server:
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"GET")
        assert ask(server, "/healthz")[0] == 200
    assert is_closed(connection)
    connection.close()


def test_want_of_descriptors_is_no_wrong_address(vitals, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(http_server.socket, "create_server", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        WebServer(Pages(lambda: b"", lambda: "", vitals), "127.0.0.1", 0).__enter__()


def ask_as(server, path, *hosts):
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return int(connection.makefile().read().split()[1])


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9108", "prep.localhost", "127.0.0.1:1", "127.1.2.3", "[::1]:9108",
             "[::ffff:127.0.0.1]", "prep.example.org", "Prep.Example.org.:80"],
)  # fmt: skip
def test_the_status_page_is_served_under_names_that_are_known(brisk, host):
    assert ask_as(brisk, "/", host) == 200


@pytest.mark.parametrize(
    "hosts", [["evil.example.org"], ["localhost.evil.org"], ["evil.org:9108"], ["192.0.2.1"], [""], [],
              ["localhost", "evil.org"], ["127.0.0.1.evil.org"], ["[::2]"], ["evil@localhost"]],
)  # fmt: skip
def test_under_any_other_name_it_is_not_but_scrapes_and_probes_are_answered(brisk, hosts):
    assert ask_as(brisk, "/", *hosts) == 403
    assert ask_as(brisk, "/?x=1", *hosts) == 403
    assert ask_as(brisk, "/metrics", *hosts) == ask_as(brisk, "/healthz", *hosts) == 200
    assert ask_as(brisk, "/readyz", *hosts) == 503


def test_where_all_addresses_are_served_the_one_that_was_reached_is_known(vitals):
    pages = Pages(lambda: b"", lambda: "page", vitals, frozenset({"0.0.0.0"}))
    assert pages.answer(Request("/", ("192.0.2.7:9108",), "192.0.2.7"))[0] == 200
    assert pages.answer(Request("/", ("192.0.2.8:9108",), "192.0.2.7"))[0] == 403
    assert pages.answer(Request("/", ("[2001:db8::0:7]",), "2001:db8::7"))[0] == 200


@pytest.mark.parametrize(
    ("host", "bare"), [("A.b:1", "a.b"), ("[2001:DB8::1]:80", "2001:db8::1"), ("::1", "::1"), ("[::1", "::1"), ("", "")]
)
def test_a_host_is_compared_without_port_case_and_brackets(host, bare):
    assert bare_host(host) == bare
