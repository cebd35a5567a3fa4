"""Reservations: every byte that the run may put on disk is set aside before it is written, and settled afterwards.

Pure but for what it remembers. Open shards count by their reservations, never by what they have written so far: a
scan leaves their bytes out of *used* and adds them back to *free*.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Ledger:
    """Bytes of one mount: used by this store for good, free, reserved.

    *budget_bytes* bounds what the store and all scratch may ever have allocated; *reserve_bytes* of the mount stay free
    whatever the budget says; *standing_bytes* are set aside for scratch and are never handed out. *used_bytes* and
    *free_bytes* come from scans, at the start and again and again.
    """

    budget_bytes: int
    reserve_bytes: int
    standing_bytes: int = 0
    used_bytes: int = 0
    free_bytes: int = 0
    _reserved: dict[str, int] = field(default_factory=dict)

    @property
    def reserved_bytes(self) -> int:
        """Bytes set aside and not settled, for scratch too."""
        return self.standing_bytes + sum(self._reserved.values())

    @property
    def left_bytes(self) -> int:
        """Bytes that may still be reserved; never negative."""
        return max(0, min(self.quota_left_bytes, self.mount_left_bytes))

    @property
    def quota_left_bytes(self) -> int:
        """What the budget has left; negative when it is overdrawn."""
        return self.budget_bytes - self.used_bytes - self.reserved_bytes

    @property
    def mount_left_bytes(self) -> int:
        """What the mount has left above the reserve; negative when others took it."""
        return self.free_bytes - self.reserve_bytes - self.reserved_bytes

    def reserve(self, name: str, num_bytes: int) -> bool:
        """Sets *num_bytes* aside for *name*; False, with nothing changed, when they are not there.

        Raises ValueError when *name* holds a reservation already or *num_bytes* is negative.
        """
        if name in self._reserved or num_bytes < 0:
            raise ValueError(f"{name} cannot reserve {num_bytes} bytes: it holds {self._reserved.get(name)}")
        if num_bytes > self.left_bytes:
            return False
        self._reserved[name] = num_bytes
        return True

    def settle(self, name: str, allocated_bytes: int) -> int:
        """Ends *name*'s reservation with what it really took; returns by how much that was more, 0 when all is well.

        Raises KeyError when *name* holds none: what it took is then known to the next scan only.
        """
        reserved = self._reserved.pop(name)
        self.used_bytes += allocated_bytes
        self.free_bytes -= allocated_bytes
        return max(0, allocated_bytes - reserved)

    def release(self, name: str) -> None:
        """Gives *name*'s reservation back unused; without one nothing happens, so that giving up may be repeated."""
        self._reserved.pop(name, None)

    def scanned(self, used_bytes: int, free_bytes: int, open_bytes: int) -> None:
        """Takes over a scan: *used_bytes* by the store with all scratch, *open_bytes* of it by holders of reservations.

        A shard that is committed but not yet settled belongs to *open_bytes*, or it would count twice. Nothing may be
        settled or released between the look at the disk and this call. Raises ValueError when more is open than used.
        """
        if not 0 <= open_bytes <= used_bytes:
            raise ValueError(f"a scan found {used_bytes} bytes used, of which {open_bytes} open")
        self.used_bytes = used_bytes - open_bytes
        self.free_bytes = free_bytes + open_bytes
