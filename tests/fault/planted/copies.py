"""A copy of the tree, in which one fault at a time is planted and its tests are run."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Self
from xml.etree import ElementTree as ET

from tests.fault.planted.faults import PRODUCT, Fault
from tests.fault.planted.places import Places

REPOSITORY = Path(__file__).resolve().parents[3]
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "broken"
MALFORMED = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError", "UnboundLocalError")
"""Errors of a program that does not even run; a test that ends in one proves nothing about the fault."""


@dataclass(frozen=True)
class Verdict:
    """What became of a fault, and why where that is no simple `caught`."""

    outcome: str
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Copy:
    """A copy of the tree in *folder* that tests run in; nothing outside is imported. A context manager.

    The tests of a fault may take *timeout_seconds*.
    """

    folder: Path
    seed: int
    timeout_seconds: float
    _stamps: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def of_repository(cls, folder: Path, seed: int, timeout_seconds: float) -> Self:
        """Copies what git tracks, or would, of the working tree into *folder*."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
        for name in filter(None, listed.split("\0")):
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, folder / name)
        copy = cls(folder, seed, timeout_seconds)
        copy._check_imports()
        return copy

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if warm := vars(self).get("_warm"):
            warm.stdin.close()
            warm.wait()

    @cached_property
    def product(self) -> Places:
        """Where faults are planted."""
        return Places(self.folder, *PRODUCT)

    @cached_property
    def tests(self) -> Places:
        """Where they are noticed."""
        return Places(self.folder, "tests")

    @contextmanager
    def planted(self, fault: Fault) -> Iterator[None]:
        """The copy with *fault* meanwhile; raises ValueError where it cannot be planted."""
        file, after = fault.plant(self.product)
        path = self.folder / file
        before, status = path.read_text(), path.stat()
        path.write_text(after)
        # By time and size alone Python tells whether bytecode is a file's own: every fault has a second of its own.
        os.utime(path, (stamp := next(self._stamps), stamp))
        try:
            yield
        finally:
            path.write_text(before)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def test(self, faults: Sequence[Fault]) -> Verdict:
        """Whether the tests of *faults* notice something; `SURVIVED` when all pass."""
        report = self.folder / ".report.xml"
        report.unlink(missing_ok=True)
        tests = {test for fault in faults for test in fault.node_ids(self.tests)}
        if not tests:
            return Verdict(SURVIVED)
        options = ["-q", "-x", "-p", "no:cacheprovider", "--basetemp=.tmp", f"--hypothesis-seed={self.seed}"]
        seconds = self.timeout_seconds * len(faults)
        try:
            status, output = self._pytest([*options, f"--junitxml={report}", *sorted(tests)], seconds)
        except TimeoutError:
            return Verdict(BROKEN, f"its tests hang for {seconds:g} s")
        if status == 0:
            return Verdict(SURVIVED)
        failures = list(ET.parse(report).getroot().iter("failure")) if report.exists() else []
        if status != 1 or not failures:
            return Verdict(BROKEN, f"no test could run (status {status}): {_last_line(output)}")
        said = str(failures[0].get("message"))
        return Verdict(BROKEN if said.startswith(MALFORMED) else CAUGHT, said.partition("\n")[0])

    def _pytest(self, arguments: Sequence[str], seconds: float) -> tuple[int, str]:
        """Exit status and output of pytest in the copy; raises TimeoutError, with nothing left running."""
        output = self.folder / ".output"
        self._warm.stdin.write(json.dumps([arguments, str(output)]).encode() + b"\n")
        process = int(self._warm.stdout.readline())
        ended = False
        try:
            ended = bool(select.select([self._warm.stdout], [], [], seconds)[0])
        finally:
            if not ended:
                os.killpg(process, signal.SIGKILL)
            status = int(self._warm.stdout.readline())
        if not ended:
            raise TimeoutError
        return status, output.read_text(errors="replace")

    @cached_property
    def _warm(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.fault.planted.warm"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        # Without buffers, in which an answer could lie that `select` knows nothing of. It ends when its input does.
        return subprocess.Popen(
            command, cwd=self.folder, env=self._environment, bufsize=0, start_new_session=True, **pipes
        )

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(self.folder)}

    def _check_imports(self) -> None:
        """Raises RuntimeError where another tree's packages would be tested."""
        code = "import preprocess, shared, trainer as t; print(preprocess.__file__, shared.__file__, t.__file__)"
        command = [sys.executable, "-c", code]
        found = subprocess.check_output(command, cwd=self.folder, env=self._environment, text=True)
        if any(not Path(file).is_relative_to(self.folder) for file in found.split()):
            raise RuntimeError(f"the copy in {self.folder} is not what is imported: {found}")


def _last_line(output: str) -> str:
    return next((line for line in reversed(output.splitlines()) if line.strip()), "")
