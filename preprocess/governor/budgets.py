"""What a run may use, from the settings and from what the machine has. Pure."""

from dataclasses import dataclass

DEFAULT_RESERVE_BYTES = 10_000_000_000
DEFAULT_RESERVE_SHARE = 0.05
"""Left free by default: the smaller of 10 GB and 5 % of the mount."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """*disk_bytes* for the store with all scratch, *reserve_bytes* of the mount that stay free, *ram_bytes* for all
    processes of the run; None leaves memory to the limit of the cgroup or the machine.
    """

    disk_bytes: int
    reserve_bytes: int
    ram_bytes: int | None = None


def make_budgets(
    disk_budget: int | None,
    disk_reserve: int | None,
    ram_budget: int | None,
    *,
    used_bytes: int,
    free_bytes: int,
    mount_bytes: int,
) -> Budgets:
    """Budgets from settings (None: not given), what the store uses already, and the mount's free and total bytes.

    Without a disk budget the run may use all that is free above the reserve.
    """
    reserve = disk_reserve
    if reserve is None:
        reserve = min(DEFAULT_RESERVE_BYTES, int(mount_bytes * DEFAULT_RESERVE_SHARE))
    disk = disk_budget if disk_budget is not None else used_bytes + max(0, free_bytes - reserve)
    return Budgets(disk, reserve, ram_budget)
