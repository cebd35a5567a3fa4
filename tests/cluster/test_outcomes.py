"""Exit codes that a person's script relies on."""

import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.stores import differences


def test_a_wrong_column_is_2_and_nothing_is_written(start, demo_corpus, tmp_path):
    for file in demo_corpus.glob("data/*.parquet"):
        table = pq.read_table(file)
        names = ["text" if name == "transkription" else name for name in table.column_names]
        (tmp_path / "renamed" / "data").mkdir(parents=True, exist_ok=True)
        pq.write_table(table.rename_columns(names), tmp_path / "renamed" / "data" / file.name)
    run = start("--source", str(tmp_path / "renamed"))
    assert run.wait() == 2
    assert "--text-column text" in run.messages()
    assert "Traceback" not in run.messages()
    assert not run.store.exists()


def test_more_quarantined_rows_than_allowed_is_4_and_the_store_is_complete(start, straight, tmp_path):
    shutil.copytree(straight.run.store, tmp_path / "store")
    run = start("--max-quarantine", "0")
    assert run.wait() == 4
    assert "2 rows were quarantined" in run.messages()
    assert differences(run.store, straight.expected) == []


class SmallDisk:
    """A file system of its own at *folder*, in a mount namespace: *enter* runs a command there, *seen* looks in."""

    def __init__(self, folder, holder):
        self.folder = folder
        self.seen = Path(f"/proc/{holder.pid}/root{folder}")
        self.enter = ["nsenter", f"--target={holder.pid}", "--user", "--preserve-credentials", "--mount"]

    def fill(self, leave_bytes):
        """Takes all room but *leave_bytes*."""
        free = os.statvfs(self.seen).f_bavail * os.statvfs(self.seen).f_bsize
        with (self.seen / "somebody-elses").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, free - leave_bytes))

    def free(self):
        (self.seen / "somebody-elses").unlink()


@pytest.fixture
def small_disk(tmp_path):
    mount = 'mount -t tmpfs -o size=100m none "$0" && echo mounted && exec sleep 600'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "mounted\n"
        yield SmallDisk(tmp_path, holder)
        holder.kill()


def test_a_job_that_cannot_fit_is_3_and_nothing_is_written(start, small_disk):
    small_disk.fill(leave_bytes=10 << 20)
    run = start(prefix=small_disk.enter)
    assert run.wait() == 3
    assert "are needed" in run.messages()
    assert list((small_disk.seen / "store").iterdir()) == []


def test_a_disk_that_fills_up_during_the_run_is_3_and_the_same_command_goes_on_once_there_is_room(
    start, straight, small_disk
):
    store = small_disk.seen / "store"
    run = start(prefix=small_disk.enter)
    assert run.until(lambda: list(store.glob("data/*")))
    small_disk.fill(leave_bytes=0)
    assert run.wait() == 3
    assert "Traceback" not in run.messages()
    assert not list(store.glob(".partial/*"))
    small_disk.free()
    again = start(prefix=small_disk.enter)
    assert again.wait() == 0, again.messages()
    assert differences(store, straight.expected) == []
