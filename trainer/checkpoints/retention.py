"""What may be put away of a training, and how: only names that it makes, only inside the folder named, no links.

Removal goes through the folder's descriptor and follows no symlink: a folder that is swapped for a link meanwhile leads
nowhere else.
"""

import os
import re
import shutil
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from shared.errors import SpeechPrepError
from shared.layout import StoreLayout, read_record
from shared.system.durable import DurableFile
from shared.system.locks import remove_unheld
from trainer.checkpoints.checkpoint import PARTIAL, STATE, TRAINING, TrainState, checkpoints, latest, points_at
from trainer.telemetry.tensorboard import owner

_EVENTS = "tensorboard"
_STORE_FILES = ("COMPLETE", "README.md", "settings.json", "report.html")
_UNIT = re.compile(r"[\w.-]+-\d{5,}-of-\d{5,}\.")


@dataclass(frozen=True, slots=True)
class Tidying:
    """Entry *name* of *folder*, of *num_bytes*, goes for the reason *why*; first into *archive*, where one is named."""

    folder: Path
    name: str
    num_bytes: int
    why: str
    archive: Path | None = None


def partial_tidyings(output: Path) -> list[Tidying]:
    """What killed runs left half written in *output*."""
    return [_tidying(output, path.name, "left by a killed run") for path in sorted(output.glob(f"{PARTIAL}*"))]


def checkpoint_tidyings(output: Path, keep_latest: int, archive: Path | None) -> list[Tidying]:
    """Old checkpoints of *output*: all but the *keep_latest* last ones and the best."""
    best = _best_step(output)
    old = [
        path
        for step, path in checkpoints(output)[:-keep_latest]
        if step != best and not points_at(output, path) and not path.is_symlink()
    ]
    return [
        _tidying(output, path.name, "an old checkpoint", archive / f"{path.name}.tar" if archive else None)
        for path in old
    ]


def _best_step(output: Path) -> int | None:
    """What the last checkpoint names as the best: a run that was killed may not have linked it yet."""
    last = latest(output)
    return TrainState.read(last / TRAINING / STATE).best_step if last is not None else None


def log_tidyings(logs: Path, output: Path, today: date) -> list[Tidying]:
    """TensorBoard's files of the training to *output*, to be packed beside themselves with the date.

    They lie in *logs*, which other trainings may share.
    """
    folder = logs / _EVENTS
    if logs != output and folder.is_dir():
        own = sorted(path.name for path in folder.iterdir() if owner(path) == str(output.resolve()))
        return [
            _tidying(folder, name, "curves of earlier runs", folder / f"{name}-{today:%Y%m%d}.tar.gz") for name in own
        ]
    if folder.is_symlink() or not folder.is_dir() or not any(folder.iterdir()):
        return []
    return [_tidying(output, _EVENTS, "curves of earlier runs", output / f"{_EVENTS}-{today:%Y%m%d}.tar.gz")]


def store_tidyings(store: Path) -> list[Tidying]:
    """The files of the store at *store*, its record last. Raises StoreError when it is none."""
    layout = StoreLayout(store)
    record = read_record(layout)
    found = [_tidying(store, name, "of the feature store") for name in _STORE_FILES if (store / name).is_file()]
    for folder, suffix in ((layout.data, "parquet"), (layout.quarantine, "parquet"), (layout.provenance, "json")):
        if folder.is_dir() and not folder.is_symlink():
            names = sorted(path.name for path in folder.iterdir() if _UNIT.fullmatch(path.name.removesuffix(suffix)))
            found += [_tidying(folder, name, "of the feature store") for name in names]
    index = [layout.index_of(split) for split in record.splits if layout.index_of(split).is_file()]
    found += [_tidying(path.parent, path.name, "of the feature store") for path in index]
    return [*found, _tidying(store, layout.record.name, "of the feature store")]


def enact(tidying: Tidying) -> None:
    """Packs where that is asked for, then removes. Raises SpeechPrepError when the archive exists already."""
    if tidying.archive is not None:
        _pack(tidying.folder / tidying.name, tidying.archive)
    descriptor = os.open(tidying.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        kind = os.stat(tidying.name, dir_fd=descriptor, follow_symlinks=False).st_mode
        if stat.S_ISDIR(kind):
            shutil.rmtree(tidying.name, dir_fd=descriptor)
        else:
            os.unlink(tidying.name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def _pack(path: Path, archive: Path) -> None:
    """Writes *path* to *archive*, durably, before anything is removed."""
    if archive.exists():
        raise SpeechPrepError(f"{archive} exists already", "move it away; nothing was removed")
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(f"{PARTIAL}{archive.name}")
    # Another training may be packed into the same folder at this moment.
    remove_unheld(partial)
    with DurableFile(partial) as durable:
        # Weights do not get smaller; curves do.
        with tarfile.open(fileobj=durable.file, mode="w:gz" if archive.suffix == ".gz" else "w") as tar:
            tar.add(path, path.name)
        durable.seal()
        if not durable.publish(archive):
            raise SpeechPrepError(f"{archive} exists already", "move it away; nothing was removed")


def _tidying(folder: Path, name: str, why: str, archive: Path | None = None) -> Tidying:
    return Tidying(folder, name, sum(_sizes(folder / name)), why, archive)


def _sizes(path: Path) -> Iterator[int]:
    """Allocated bytes of *path* and all below it; links count for themselves."""
    if path.is_symlink() or not path.is_dir():
        yield path.lstat().st_blocks * 512
        return
    for folder, _, files in os.walk(path):
        yield from ((Path(folder) / name).lstat().st_blocks * 512 for name in files)
