"""Decodes files, each weighed by itself: `python tests/support/decode_alone.py WARM ... -- FILE ...`

Prints `[outcome, bytes, seconds]` of each FILE as JSON: samples or the reason why not, by how much memory grew at most.
Everything is imported and read before MARKER is looked for: what is opened after that is the decoder's doing.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter

# In place of this folder, whose html.py is not the one that numba imports.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from preprocess.audio.decode import DecodeLimits, decode  # noqa: E402 - as above
from shared.errors import RowRejectedError  # noqa: E402 - as above

MARKER = "/from-here-on"


def memory(name):
    """Bytes of `VmRSS`, or of `VmHWM`, the peak since `forget_peak`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def outcome(encoded):
    try:
        return len(decode(encoded, DecodeLimits()))
    except RowRejectedError as error:
        return error.reason


def weighed(encoded):
    forget_peak()
    before, started = memory("VmRSS"), perf_counter()
    result = outcome(encoded)
    return result, memory("VmHWM") - before, round(perf_counter() - started, 3)


def main():
    split = sys.argv.index("--")
    warm, files = ([Path(name).read_bytes() for name in names] for names in (sys.argv[1:split], sys.argv[split + 1 :]))
    for encoded in warm:
        outcome(encoded)
    os.access(MARKER, os.F_OK)
    print(json.dumps([weighed(encoded) for encoded in files]))


if __name__ == "__main__":
    main()
