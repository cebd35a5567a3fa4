"""A Python that has imported what is slow and not ours, and forks for each run of pytest.

Reads a run as a line of JSON, its arguments and where its output goes, and answers with the number of the process and,
once that has ended, its exit status. Our own modules are imported by each run anew.
"""

import json
import os
import sys
from importlib import import_module

import pytest

SLOW = ("hypothesis", "numba", "psutil", "pyarrow.parquet", "pydantic_settings", "rich.console", "soundfile", "torch")
SLOW += ("torch.nn.parallel", "transformers.models.whisper.modeling_whisper", "jiwer")


def main() -> int:
    for name in SLOW:
        import_module(name)
    for line in sys.stdin:
        arguments, output = json.loads(line)
        child = os.fork()
        if child == 0:
            return _tests(arguments, output)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return 0


def _tests(arguments: list[str], output: str) -> int:
    """In a session of its own, so that all that a run has started can be ended by one number."""
    os.setsid()
    for path, flags, targets in (
        (os.devnull, os.O_RDONLY, (0,)),
        (output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, (1, 2)),
    ):
        descriptor = os.open(path, flags, 0o600)
        for target in targets:
            os.dup2(descriptor, target)
    return pytest.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
