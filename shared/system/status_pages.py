"""What a run answers over HTTP: `/metrics`, `/healthz`, `/readyz` and the status page. Pure but for its clock.

How it is served is `shared/system/http_server.py`'s.
"""

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic

from shared.errors import UsageError

SILENT_SECONDS = 60.0
"""A run loop that was not heard of for so long is not alive, where it comes round four times a second."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_TEXT_TYPE = "text/plain; charset=utf-8"
_STRANGE = b"this page is not served under that name: --metrics-allow-host NAME allows one\n"


@dataclass(slots=True)
class Vitals:
    """Whether the run is alive and at work. Planning and Ray's start take their time: until the first beat it lives.

    *silent_seconds* without a beat are the end of that.
    """

    now: Callable[[], float] = monotonic
    ready: bool = False
    silent_seconds: float = SILENT_SECONDS
    _beat_at: float | None = None

    def beat(self) -> None:
        """The run loop came round."""
        self._beat_at = self.now()

    def rest(self) -> None:
        """What comes now has no beats, and takes its time, as the start does: it lives until the next one."""
        self._beat_at = None

    @property
    def alive(self) -> bool:
        """False once the run loop is silent."""
        return self._beat_at is None or self.now() - self._beat_at < self.silent_seconds


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: *path* with its query, *hosts* as the client named us, *address* that it reached."""

    path: str
    hosts: tuple[str, ...]
    address: str


@dataclass(frozen=True, slots=True)
class Pages:
    """What is served: the bodies are made when they are asked for. *allowed_hosts* are names for the status page.

    A page on the web can let its name point to this machine (DNS rebinding) and read what a browser here is answered.
    So the status page, which names paths and data, goes to those who ask by loopback's names, by the address itself or
    by a name that was allowed. The other answers go to all: scrapers and probes ask by whatever names they have.
    """

    metrics: Callable[[], bytes]
    status: Callable[[], str]
    vitals: Vitals
    allowed_hosts: frozenset[str] = field(default=frozenset())

    def answer(self, request: Request) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body."""
        path = request.path.partition("?")[0]
        if path == "/metrics":
            return self._metrics()
        if path == "/":
            if not self._is_known(request):
                return HTTPStatus.FORBIDDEN, _TEXT_TYPE, _STRANGE
            return HTTPStatus.OK, "text/html; charset=utf-8", self.status().encode()
        checks: Mapping[str, bool] = {"/healthz": self.vitals.alive, "/readyz": self.vitals.alive and self.vitals.ready}
        if path in checks:
            status = HTTPStatus.OK if checks[path] else HTTPStatus.SERVICE_UNAVAILABLE
            return status, _TEXT_TYPE, b"ok\n" if checks[path] else b"not yet\n"
        return HTTPStatus.NOT_FOUND, _TEXT_TYPE, b"/ /metrics /healthz /readyz\n"

    def _metrics(self) -> tuple[HTTPStatus, str, bytes]:
        try:
            return HTTPStatus.OK, METRICS_TYPE, self.metrics()
        except UsageError as error:
            # What makes them is not installed; the other pages need nothing.
            return HTTPStatus.NOT_IMPLEMENTED, _TEXT_TYPE, f"{error}\n".encode()

    def _is_known(self, request: Request) -> bool:
        if len(request.hosts) != 1:
            return False
        name = bare_host(request.hosts[0])
        if name in {_address(request.address)} | {bare_host(host) for host in self.allowed_hosts}:
            return True
        if name == "localhost" or name.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def bare_host(host: str) -> str:
    """The name or address in a Host header: no port, brackets, case or final dot."""
    name = host.strip().lower()
    if name.startswith("["):
        return _address(name[1:].partition("]")[0])
    if name.count(":") <= 1:
        name = name.partition(":")[0]
    return _address(name.removesuffix("."))


def _address(text: str) -> str:
    """An address in its shortest form; anything else as it is."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
