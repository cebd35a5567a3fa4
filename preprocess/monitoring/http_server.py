"""`/metrics`, `/healthz`, `/readyz` and the status page on one port, served by the run's own process.

Loopback by default. Only GET and HEAD; nothing that is asked for changes anything, and no path of the disk is served.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from errno import EADDRINUSE
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from types import TracebackType
from typing import Any, Self

from shared.errors import UsageError

SILENT_SECONDS = 60.0
"""A run loop that was not heard of for so long is not alive; it comes round four times a second, paused or not."""
REQUEST_SECONDS = 10.0
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Vitals:
    """Whether the run is alive and at work. Planning and Ray's start take their time: until the first beat it lives."""

    now: Callable[[], float] = monotonic
    ready: bool = False
    _beat_at: float | None = None

    def beat(self) -> None:
        """The run loop came round."""
        self._beat_at = self.now()

    @property
    def alive(self) -> bool:
        """False once the run loop is silent."""
        return self._beat_at is None or self.now() - self._beat_at < SILENT_SECONDS


@dataclass(frozen=True, slots=True)
class Pages:
    """What is served: the bodies are made when they are asked for."""

    metrics: Callable[[], bytes]
    status: Callable[[], str]
    vitals: Vitals

    def answer(self, path: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body for *path*."""
        if path == "/metrics":
            return HTTPStatus.OK, METRICS_TYPE, self.metrics()
        if path == "/":
            return HTTPStatus.OK, "text/html; charset=utf-8", self.status().encode()
        checks: Mapping[str, bool] = {"/healthz": self.vitals.alive, "/readyz": self.vitals.alive and self.vitals.ready}
        if path in checks:
            status = HTTPStatus.OK if checks[path] else HTTPStatus.SERVICE_UNAVAILABLE
            return status, "text/plain; charset=utf-8", b"ok\n" if checks[path] else b"not yet\n"
        return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"/ /metrics /healthz /readyz\n"


@dataclass(slots=True)
class WebServer:
    """Serves *pages* on *host* and *port* (0: any that is free). A context manager."""

    pages: Pages
    host: str
    port: int
    _server: ThreadingHTTPServer | None = field(default=None)

    def __enter__(self) -> Self:
        """Raises UsageError when the address cannot be used; a port in use is an OSError."""
        try:
            self._server = _Server((self.host, self.port), _handler(self.pages))
        except OSError as error:
            if error.errno == EADDRINUSE:
                raise
            message = f"cannot serve metrics on {self.host}:{self.port}: {error.strerror or error}"
            raise UsageError(message, "name another --metrics-host or --metrics-port, or --no-metrics") from error
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="web", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        """Where the status page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Two runs may not share a port, which SO_REUSEADDR does not allow either; a port just left may be taken again.
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is no event of the run."""


def _handler(pages: Pages) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS
        server_version, sys_version = "speech-prep", ""

        def do_GET(self) -> None:
            """Answers with a page, its headers alone for HEAD."""
            status, content_type, body = pages.answer(self.path.partition("?")[0])
            self.send_response(status)
            for name, value in {**_HEADERS, "Content-Type": content_type, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - as above

        def log_message(self, *_: Any) -> None:
            """Scrapes are no events."""

    return Handler
