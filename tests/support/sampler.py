"""The most that something was while something else works: a folder's bytes on disk, a cgroup's working set."""

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from preprocess.workspace.disk_usage import allocated_bytes

SAMPLE_SECONDS = 0.01


class Maximum:
    """The largest number that *read* gave while the block ran, asked every 10 ms."""

    def __init__(self, read: Callable[[], int]) -> None:
        self.most_bytes = 0
        self._read = read
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.most_bytes = max(self.most_bytes, self._read())


class Sampler(Maximum):
    """The most that *folder* had allocated (`st_blocks`)."""

    def __init__(self, folder: Path) -> None:
        super().__init__(partial(allocated_bytes, folder))
