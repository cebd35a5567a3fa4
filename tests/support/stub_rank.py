"""A rank for tests of the launcher, without torch: `python -m tests.support.stub_rank FOLDER RANK=WHAT ...`.

Every rank leaves FOLDER/RANK, with its process and environment, once it can be stopped; then it does WHAT: a number is
its exit status, a signal's name ends it, `stops` waits for SIGTERM and then ends with 130, `hangs` ignores it.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from trainer.distributed.place import end_with_launcher, read_place


def main(folder, *roles):
    place = read_place(os.environ)
    end_with_launcher(place)
    what = dict(role.split("=") for role in roles).get(str(place.rank), "0")
    if what in {"stops", "hangs"}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN if what == "hangs" else lambda *_: sys.exit(130))
    note = Path(folder) / f"{place.rank}.new"
    note.write_text(json.dumps({"pid": os.getpid(), "environment": dict(os.environ), "meeting": place.meeting}))
    note.rename(Path(folder) / str(place.rank))
    if what.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[what])
    while what in {"stops", "hangs"}:
        time.sleep(0.05)
    return int(what)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
