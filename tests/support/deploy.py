"""What the tests of `deploy/` read it with."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from preprocess.monitoring.prometheus import METRIC_NAMES as RUN_METRICS
from preprocess.settings import RunSettings
from trainer.settings import TrainSettings
from trainer.watch.metrics import METRIC_NAMES as TRAINER_METRICS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
METRIC_NAMES = RUN_METRICS | TRAINER_METRICS
"""The catalogue of what both services export."""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """What *command* printed on both streams; fails with it when the command fails or is not installed."""
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def documents(path: Path) -> list[dict[str, Any]]:
    """The YAML documents in *path*."""
    return list(yaml.safe_load_all(path.read_text()))


def rules(name: str) -> list[dict[str, Any]]:
    """The rules in the file *name* of `deploy/prometheus`."""
    return [rule for group in documents(PROMETHEUS / name)[0]["groups"] for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """The exporter's metrics that *expression* asks for."""
    return set(re.findall(r"speech_(?:prep|trainer)_\w+", expression))


def records_in(expression: str) -> set[str]:
    """The recording rules that *expression* asks for."""
    return set(re.findall(r"speech_(?:prep|trainer):[\w:]+", expression))


def env_file(path: Path) -> dict[str, str]:
    """The variables in *path*."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def unknown_options(names: Iterator[str] | dict[str, str]) -> set[str]:
    """Those of *names* with a prefix of ours that are no option of `preprocess.run` or `trainer.train`."""
    known = {f"PREPROCESS_{name.upper()}" for name in RunSettings.model_fields}
    known |= {f"TRAINER_{name.upper()}" for name in TrainSettings.model_fields}
    return {name for name in names if name.startswith(("PREPROCESS_", "TRAINER_"))} - known
