"""The pages of a run over HTTP."""

import http.client
import socket

import pytest

from preprocess.monitoring.http_server import SILENT_SECONDS, Pages, Vitals, WebServer
from shared.errors import UsageError


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
