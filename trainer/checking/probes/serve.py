"""`python -m trainer.checking.probes.serve FD`: probes on request, in a process that `worker` may end at any moment.

A line of standard input names a probe and how the machine is tried; its answer is a line of JSON to the file
descriptor FD. What libraries print goes where it is sent, and is no answer.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from shared.errors import SpeechPrepError, first_line
from trainer.checking.observations import Facts
from trainer.checking.worker import Task

PROBES = {
    "driver": "trainer.checking.probes.nvidia",
    "torch": "trainer.checking.probes.computing",
    "halves": "trainer.checking.probes.computing",
    "cap": "trainer.checking.probes.computing",
    "moments": "trainer.checking.probes.computing",
    "material": "trainer.checking.probes.models",
    "export": "trainer.checking.probes.models",
    "ctranslate2": "trainer.checking.probes.models",
}
"""The module that has the function of each probe's name; importing one may take long, or fail."""


def answer(task: Task) -> Mapping[str, Any]:
    """What the probe of *task* finds, or what ended it: no error leaves this."""
    try:
        probe: Callable[[Task], Facts] = getattr(import_module(PROBES[task.probe]), f"probe_{task.probe}")
        found: Any = probe(task)
        return {"facts": asdict(found)}
    except SpeechPrepError as error:
        return {"trouble": error.message, "remedy": error.remedy}
    except Exception as error:  # noqa: BLE001 - whatever a driver, a library or a disk does is what is looked for
        traceback.print_exc()
        return {"trouble": f"{type(error).__name__}: {first_line(error)}"}


def main() -> None:
    """Answers until nobody asks any more."""
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as answers:
        for line in sys.stdin:
            print(json.dumps(answer(Task.from_json(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
