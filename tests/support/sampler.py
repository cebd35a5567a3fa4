"""What a folder takes on disk while something else works on it."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from preprocess.usage import allocated_bytes

SAMPLE_SECONDS = 0.01


class Sampler:
    """The most that *folder* had allocated (`st_blocks`) while the block ran, looked at every 10 ms."""

    def __init__(self, folder: Path) -> None:
        self.most_bytes = 0
        self._folder = folder
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
            self.most_bytes = max(self.most_bytes, allocated_bytes(self._folder))
