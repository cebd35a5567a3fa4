"""A small HTTP server in one thread beside a run, which no client can hold up or take descriptors from.

Only GET and HEAD; nothing that is asked for changes anything, and no path of the disk is served. A connection has one
deadline, from its first moment to the last byte of the answer. Of many at once the one that is open longest gives way
to a new one: whoever asks at once is answered at once, beside however many who do not.
"""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EPERM
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from types import TracebackType
from typing import Any, Self

from shared.errors import UsageError
from shared.system.status_pages import Pages, Request

REQUEST_SECONDS = 5.0
MAX_CONNECTIONS = 32
MAX_HEAD_BYTES = 16 << 10
_BACKLOG = 16
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Connection": "close",
}
_NOT_OURS = {EACCES, EADDRNOTAVAIL, EAFNOSUPPORT, EPERM}
"""What `bind` answers where the address is wrong; all else says nothing about it."""


@dataclass(slots=True)
class WebServer:
    """Serves *pages* on *host* and *port* (0: any that is free). A context manager."""

    pages: Pages
    host: str
    port: int
    request_seconds: float = REQUEST_SECONDS
    _stop: Callable[[], object] = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        """Raises UsageError when the address cannot be used; a port in use, and want of resources, are OSErrors."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            # Two runs may not share a port, which SO_REUSEADDR does not allow either; one just left may be taken again.
            listening = socket.create_server((self.host, self.port), family=family, backlog=_BACKLOG)
        except OSError as error:
            if not isinstance(error, socket.gaierror) and error.errno not in _NOT_OURS:
                raise
            message = f"cannot serve metrics on {self.host}:{self.port}: {error.strerror or error}"
            raise UsageError(message, "name another --metrics-host or --metrics-port, or --no-metrics") from error
        self.port = listening.getsockname()[1]
        started: Future[Callable[[], object]] = Future()
        self._thread = threading.Thread(target=self._serve, args=(listening, started), name="web", daemon=True)
        self._thread.start()
        self._stop = started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the status page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    def _serve(self, listening: socket.socket, started: "Future[Callable[[], object]]") -> None:
        """The thread's whole life; what ends it goes to *started*."""
        try:
            with listening:
                asyncio.run(self._answer_all(listening, started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    async def _answer_all(self, listening: socket.socket, started: "Future[Callable[[], object]]") -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        # A client that went away, or a descriptor that could not be had, is no event of the run.
        loop.set_exception_handler(lambda _loop, _context: None)
        connections = _Connections(self.pages, self.request_seconds)
        server = await asyncio.start_server(connections.serve, sock=listening, limit=MAX_HEAD_BYTES, backlog=_BACKLOG)
        started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
        await stop.wait()
        server.close()


@contextmanager
def served(pages: Pages, host: str, port: int, tell: Callable[[str], None]) -> Iterator[None]:
    """*pages* are served inside the block, and *tell* hears where; a port that another run has costs this one its
    pages, not its work. Raises as `WebServer` does otherwise.
    """
    with ExitStack() as stack:
        try:
            server = stack.enter_context(WebServer(pages, host, port))
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise
            tell(f"no metrics: {host}:{port} is in use; --metrics-port names another")
        else:
            tell(f"status page and metrics at {server.url}")
        yield


class _Connections:
    """Those that are open, oldest first."""

    def __init__(self, pages: Pages, request_seconds: float) -> None:
        self._pages, self._request_seconds = pages, request_seconds
        self._open: dict[asyncio.StreamWriter, None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers one request, or drops the connection at its deadline."""
        while len(self._open) >= MAX_CONNECTIONS:
            self._abort(next(iter(self._open)))
        self._open[writer] = None
        # `drain` then waits until all is sent.
        writer.transport.set_write_buffer_limits(0)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
                async with asyncio.timeout(self._request_seconds):
                    writer.write(await self._answer(reader, writer))
                    await writer.drain()
                    writer.write_eof()
                    # Closed with bytes unread, the client would be told of an error before it has read the answer.
                    while await reader.read(MAX_HEAD_BYTES):
                        pass
        finally:
            self._abort(writer)

    def _abort(self, writer: asyncio.StreamWriter) -> None:
        self._open.pop(writer, None)
        writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return f"HTTP/1.0 {status.value} {status.phrase}\r\nConnection: close\r\n\r\n".encode()
        address = writer.get_extra_info("sockname")[0]
        return _Handler(head, address, self._pages.answer).wfile.getvalue()


class _Handler(BaseHTTPRequestHandler):
    """The standard library's reading of a request and writing of an answer, from and to memory."""

    server_version, sys_version = "speech-prep", ""
    rfile: BytesIO
    wfile: BytesIO

    def __init__(self, head: bytes, address: str, answer: Callable[[Request], tuple[HTTPStatus, str, bytes]]) -> None:
        self.rfile, self.wfile = BytesIO(head), BytesIO()
        self.client_address, self.close_connection = ("", 0), True
        self._address, self._pages_answer = address, answer
        self.handle_one_request()

    def do_GET(self) -> None:
        """Answers with a page, its headers alone for HEAD."""
        hosts = tuple(self.headers.get_all("Host", ()))
        status, content_type, body = self._pages_answer(Request(self.path, hosts, self._address))
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": content_type, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as above

    def log_message(self, *_: Any) -> None:
        """Scrapes are no events."""
