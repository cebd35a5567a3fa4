"""The calls of our own between a command and its work: `ways.py train` or `ways.py run`, in the tree of PYTHONPATH.

Prints, as JSON, `file:function` of every frame of ours that is on the stack when the first gradient is computed or the
first clip is opened. A run's actor works in this process here, as it does in the tests of the run loop.
"""

import json
import os
import sys
import tempfile
from collections import deque
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ROOT = Path.cwd()
PACKAGES = ("preprocess", "trainer", "shared")
CLUSTERS = ("preprocess.execution.ray_cluster", "preprocess.cluster")
WORKERS = ("preprocess.features.worker", "preprocess.worker")


def tell(*_arguments, **_options):
    """Prints the stack's frames of ours, outermost first, and ends the process."""
    frame, calls = sys._getframe(1), []
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in PACKAGES:
            calls.append(f"{path.relative_to(ROOT)}:{frame.f_code.co_name}")
        frame = frame.f_back
    # A module's own top level, and a context manager's halves, are no calls on the way.
    print(json.dumps([call for call in reversed(calls) if not call.endswith(":<module>")]), flush=True)
    os._exit(0)


def train(folder):
    """A training of some noise on a tiny model, in this process."""
    import torch

    from preprocess.demo.model import build_model
    from tests.support.training import training_store
    from trainer.train import main

    build_model(folder / "model")
    training_store(folder / "store", folder / "model", clips=8, test_clips=2)
    torch.Tensor.backward = torch.autograd.backward = tell
    options = ["--store", str(folder / "store"), "--model", str(folder / "model"), "--output", str(folder / "out")]
    main([*options, "--global-batch-size", "4", "--max-steps", "1", "--eval-rows", "2", "--report-to", "none"])


def run(folder):
    """A run on a few clips with an actor of this process."""
    import soundfile

    from preprocess.demo.model import build_model
    from preprocess.run import main
    from tests.support.inline_cluster import InlineCluster
    from tests.support.tiny_source import write_tiny_source

    worker = first_of(WORKERS).FeatureWorker

    class Here(InlineCluster):
        def __init__(self, work, *_arguments, **_options):
            self.worker, self.deaths, self.look = worker(work), 0, lambda _tasks: None
            self.assigned, self.starting, self.work, self.given = lambda _task: None, deque(), deque(), []

        def __enter__(self):
            return self

        def __exit__(self, *_error):
            return None

    build_model(folder / "model")
    write_tiny_source(folder / "source" / "data" / "train.parquet")
    first_of(CLUSTERS).Cluster = Here
    options = ["--source", str(folder / "source"), "--model", str(folder / "model"), "--store", str(folder / "store")]
    # The plan's sample is decoded in a process of its own, without this.
    soundfile.SoundFile.__init__ = soundfile.read = tell
    with suppress(ModuleNotFoundError):
        import_module("preprocess.audio.plain_wav").read_plain = tell
    main([*options, "--view", "json", "--no-metrics", "--no-report"])


def first_of(names):
    """The first of the modules *names* that this tree has."""
    for name in names[:-1]:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    return import_module(names[-1])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        {"train": train, "run": run}[sys.argv[1]](Path(name))
    sys.exit("the work was never reached")
