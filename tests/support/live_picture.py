"""Draw the README's picture of the live view from a real run: `python tests/support/live_picture.py`.

The demo corpus is prepared with a JSON view; the snapshot nearest to the middle of the work is drawn.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console

from preprocess.monitoring.live_screen import render
from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot

ROOT = Path(__file__).parents[2]


def save_svg(snapshot: Snapshot, path: Path, *, title: str, events: Sequence[str] = (), width: int = 100) -> None:
    """Write the live view of *snapshot* to *path* as an SVG picture of a terminal *width* columns wide."""
    # Everything is set, the height too, so that the environment (NO_COLOR, TERM, COLUMNS) does not change the picture.
    console = Console(
        file=StringIO(),
        record=True,
        width=width,
        height=100,
        force_terminal=True,
        color_system="truecolor",
        no_color=False,
    )
    console.print(render(snapshot, title, events, width))
    console.save_svg(str(path), title="python -m preprocess.run")


def snapshot_of(line: str) -> Snapshot:
    """The snapshot that a line of `--view json` holds."""
    values = json.loads(line)
    actors = tuple(ActorView(**{**actor, "state": ActorState(actor["state"])}) for actor in values.pop("actors"))
    return Snapshot(**values, actors=actors)


def main() -> None:
    """Runs the demo in a temporary folder and writes `.github/live-view.svg`."""
    with tempfile.TemporaryDirectory() as folder:
        base = os.environ.get("BASE_DIR", folder)
        command = [sys.executable, "-m", "preprocess.run", "--demo", "--store", f"{folder}/features", "--view", "json"]
        environment = os.environ | {"BASE_DIR": base, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    lines = [snapshot_of(line) for line in done.stdout.splitlines() if '"rows_done"' in line]
    middle = min(lines, key=lambda snapshot: abs(snapshot.rows_done / snapshot.rows_total - 0.6))
    target = ROOT / ".github" / "live-view.svg"
    target.parent.mkdir(exist_ok=True)
    save_svg(middle, target, title="demo corpus -> features", width=100)


if __name__ == "__main__":
    main()
