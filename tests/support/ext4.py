"""A small ext4 disk of one's own: a loop-mounted image that can be filled, and whose power can be cut. Needs root."""

import fcntl
import os
import struct
import subprocess
import time
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Self

EXT4_IOC_SHUTDOWN = 0x8004587D
MKFS = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0")
MOUNT = ("mount", "-o", "loop,noauto_da_alloc,commit=600")
"""As harsh as the standard allows: ext4 neither flushes files that replace others nor commits of its own accord."""
GUARD = 'read _; mountpoint -q "$0" && umount --lazy "$0"'
BUSY_SECONDS = 5.0


class Cut(IntEnum):
    """What the disk still gets of its journal when the power goes; file contents in memory are lost in both."""

    NAMES_FIRST = 1
    """All names made so far: a file without fsync is there, and empty."""
    NOTHING = 2
    """Only what was committed before: a name without its folder's fsync is gone."""


class Ext4Disk:
    """A file system of *size_bytes* mounted at `folder/disk`. A context manager.

    It is unmounted however the test ends: a guard beside this process does so if this process is killed.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.folder = folder / "disk"
        self._image = folder / "disk.ext4"
        with self._image.open("wb") as file:
            file.truncate(size_bytes)
        subprocess.run([*MKFS, str(self._image)], check=True)
        self.folder.mkdir()
        self._others = self.folder / "somebody-elses"

    def __enter__(self) -> Self:
        # It waits for the end of its stdin, which comes with this process's own end at the latest.
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        self._mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._unmount()
        finally:
            self._guard.communicate()
            self._image.unlink()

    @property
    def free_bytes(self) -> int:
        """What may still be written."""
        status = os.statvfs(self.folder)
        return status.f_bavail * status.f_frsize

    def fill(self, leave_bytes: int) -> None:
        """Somebody else takes all room but *leave_bytes*; may be repeated with less."""
        with self._others.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), max(1, self.free_bytes - leave_bytes))

    def free(self) -> None:
        """Somebody else gives it back."""
        self._others.unlink(missing_ok=True)

    def sync(self) -> None:
        """Makes everything durable, so that a cut takes only what comes later."""
        subprocess.run(["sync", "--file-system", str(self.folder)], check=True)

    def power_cut(self, cut: Cut = Cut.NOTHING) -> None:
        """Stops the disk as a power cut would: nothing is written from now on, every call fails."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, EXT4_IOC_SHUTDOWN, struct.pack("I", cut))
        finally:
            os.close(descriptor)

    def remount(self) -> None:
        """Mounts the disk anew, as after a restart: the journal is replayed, nothing comes from memory.

        It is a copy of the image: where another process's mount namespace still holds the old one, that is not reused.
        """
        self._unmount()
        copy = self._image.with_suffix(".copy")
        subprocess.run(["cp", "--sparse=always", str(self._image), str(copy)], check=True)
        copy.replace(self._image)
        self._mount()

    def _mount(self) -> None:
        subprocess.run([*MOUNT, str(self._image), str(self.folder)], check=True)

    def _unmount(self) -> None:
        """Waits a moment for processes that are still ending."""
        end = time.monotonic() + BUSY_SECONDS
        while subprocess.run(["umount", str(self.folder)], stderr=subprocess.DEVNULL, check=False).returncode:
            if time.monotonic() > end:
                subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
                raise TimeoutError(f"{self.folder} is still in use")
            time.sleep(0.05)
