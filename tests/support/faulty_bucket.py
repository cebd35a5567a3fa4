"""A bucket in memory that answers as real ones do on bad days; each request takes the next of its faults."""

import threading
from collections import deque

from shared.storage.bucket import BusyError, MissingError, ObjectFacts, TakenError

FAULTS = ("busy", "lost", "conflict", "taken", "short", "stale")
"""500 or 503; carried out, but no answer; 409 though nothing landed; 412 after one's own success; a truncated read; a
listing without what was written last. A fault that does not fit a request is none."""


class FaultyBucket:
    """`Bucket`; *conditions* says whether it honours them."""

    def __init__(self, faults=(), *, conditions=True):
        self.objects, self.faults, self.conditions = {}, deque(faults), conditions
        self.writes = []
        self._lock = threading.Lock()

    def _next(self, *fitting):
        fault = self.faults.popleft() if self.faults else ""
        if fault == "busy":
            raise BusyError("the server answered 503")
        return fault if fault in fitting else ""

    def put(self, name, content, digest, *, only_new):
        with self._lock:
            fault = self._next("lost", "conflict", "taken")
            if only_new and fault == "conflict":
                raise TakenError("the server answered 409")
            if only_new and self.conditions and name in self.objects:
                raise TakenError("the server answered 412")
            self.objects[name] = bytes(content), digest
            self.writes.append(name)
        if fault == "lost":
            raise BusyError("the server did not answer")
        if only_new and fault == "taken":
            raise TakenError("the server answered 412")

    def head(self, name):
        self._next()
        if name not in self.objects:
            return None
        content, digest = self.objects[name]
        return ObjectFacts(len(content), digest)

    def read(self, name, start, stop):
        fault = self._next("short")
        if name not in self.objects:
            raise MissingError("there is no such object")
        content = self.objects[name][0][start:stop]
        return content[: len(content) // 2] if fault == "short" else content

    def list(self, folder):
        names = list(self.objects)[: -1 if self._next("stale") else None]
        return iter([(name, len(self.objects[name][0])) for name in names if name.startswith(folder)])

    def delete(self, name):
        if self._next("lost") == "lost":
            self.objects.pop(name, None)
            raise BusyError("the server did not answer")
        self.objects.pop(name, None)
