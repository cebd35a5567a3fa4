"""A folder is held by one process at a time, and who is refused learns by whom."""

import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest

from shared.errors import StoreBusyError, UsageError
from shared.system import locks
from shared.system.durable import DurableFile
from shared.system.locks import hold, is_held, remove_unheld, take

HOLD = """
import sys
from pathlib import Path
from shared.system.locks import hold
with hold(Path(sys.argv[1]), "--store", sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["", ".lock"])
def lock(request):
    """The folder itself, or a file in it."""
    return request.param


def test_the_folder_is_made(tmp_path, lock):
    with hold(tmp_path / "a/store", "--store", lock):
        assert (tmp_path / "a/store").is_dir()


def test_a_second_run_is_refused_with_the_number_of_the_first(tmp_path, lock):
    command = [sys.executable, "-c", HOLD, str(tmp_path), lock]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        assert is_held(tmp_path / lock)
        with pytest.raises(StoreBusyError, match=f"process {holder.pid}"), hold(tmp_path, "--store", lock):
            pass
        holder.kill()
        holder.wait()
        # The kernel lets go of what a killed run held.
        assert not is_held(tmp_path / lock)
        with hold(tmp_path, "--store", lock):
            pass


def test_a_holder_of_the_same_number_on_another_device_is_not_named(tmp_path, monkeypatch):
    status = tmp_path.stat()
    device, others = (f"{os.major(n):02x}:{os.minor(n):02x}" for n in (status.st_dev, status.st_dev + 1))
    lines = [
        f"{n}: FLOCK  ADVISORY  WRITE {pid} {at}:{status.st_ino} 0 EOF"
        for n, pid, at in ((1, 77, others), (2, 88, device))
    ]
    (tmp_path / "locks").write_text("1: POSIX  ADVISORY  READ 5 00:01:1 0 EOF\n" + "\n".join(lines) + "\n")
    monkeypatch.setattr(locks, "LOCKS", tmp_path / "locks")
    with hold(tmp_path, "--store"), pytest.raises(StoreBusyError, match=r"\(process 88\)"), hold(tmp_path, "--store"):
        pass


def test_the_lock_is_given_back_after_an_error(tmp_path, lock):
    with pytest.raises(RuntimeError), hold(tmp_path, "--store", lock):
        raise RuntimeError
    with hold(tmp_path, "--store", lock):
        pass


def test_what_cannot_be_made_is_told_with_its_option(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"file: Not a directory[\s\S]*another --store"),
        hold(tmp_path / "file", "--store"),
    ):
        pass


def test_a_full_disk_is_no_wrong_usage(tmp_path, monkeypatch):
    def full(*_arguments, **_options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(OSError, match="No space"), hold(tmp_path, "--store"):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF])
def test_a_file_system_without_locks_is_told_as_that(tmp_path, monkeypatch, lock, number):
    def refuse(*_arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UsageError, match=r"has no locks[\s\S]*local disk"), hold(tmp_path, "--store", lock):
        pass


def test_nobody_holds_what_is_not_there_and_looking_disturbs_no_other_look(tmp_path):
    assert not is_held(tmp_path / ".lock")
    (tmp_path / ".lock").touch()
    with (tmp_path / ".lock").open() as file:
        assert take(file.fileno(), tmp_path, shared=True)
        assert not is_held(tmp_path / ".lock")


def test_an_unfinished_file_goes_where_its_writer_is_dead_and_stays_where_he_lives(tmp_path):
    partial = tmp_path / "partial"
    remove_unheld(partial)
    partial.touch()
    remove_unheld(partial)
    assert not partial.exists()
    with DurableFile(partial), pytest.raises(StoreBusyError, match="another run is writing"):
        remove_unheld(partial)


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path):
    first, second = (os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY) for _ in range(2))
    try:
        assert take(first, tmp_path)
        threading.Timer(0.1, os.close, (first,)).start()
        assert take(second, tmp_path, wait=True)
    finally:
        os.close(second)
