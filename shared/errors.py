"""One tree of errors, and the exit codes that a command ends with.

Every error says what is wrong, where (file, row), and what to do about it.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a command's exit status means, the same for every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    RESOURCE_LIMIT = 3
    QUARANTINE_EXCEEDED = 4
    INTERRUPTED = 130


class SpeechPrepError(Exception):
    """Base of every error that this project raises on purpose; *exit_code* is what the command returns."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}\n  -> {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["SpeechPrepError"], tuple[str, str]]:
        return type(self), (self.message, self.remedy)


class UsageError(SpeechPrepError):
    """Wrong option, setting or combination of them."""

    exit_code = ExitCode.USAGE


class RanksMissingError(UsageError):
    """Some of the ranks that a training is said to have never came; nothing was trained."""


class SourceError(UsageError):
    """The data set is not what the settings say: a missing column, file or split."""


class StoreError(SpeechPrepError):
    """A store is damaged or is not what its records say; nothing was changed."""


class UnreadableError(StoreError):
    """A file could not be read for reasons that say nothing about its bytes: rights, descriptors, memory, the disk."""


class StorageError(SpeechPrepError):
    """A bucket did not do what was asked of it, or did not answer; the same command goes on once it does."""


class StoreMismatchError(UsageError):
    """The store belongs to another source, plan or format; nothing was changed."""


class StoreBusyError(SpeechPrepError):
    """Another live run holds the store; nothing was changed."""


class ResourceLimitError(SpeechPrepError):
    """A disk or memory budget would be broken; the same command goes on once there is room."""

    exit_code = ExitCode.RESOURCE_LIMIT


class InterruptedRunError(SpeechPrepError):
    """The run was asked to stop; open units were given up and the same command goes on."""

    exit_code = ExitCode.INTERRUPTED


class RankLostError(SpeechPrepError):
    """Another rank of a training has ended, and says why by itself; the same command goes on."""


class ReservationOutgrownError(SpeechPrepError):
    """A shard would have become larger than was reserved for it; its partial file is gone, nothing was exceeded."""


class ClusterError(SpeechPrepError):
    """Ray, an actor or the machine under them failed; the same command goes on."""


class RayLostError(ClusterError):
    """Ray's own processes died; starting Ray again may help."""


class RowRejectedError(SpeechPrepError):
    """One row cannot be used. *reason* is one of `shared.schema.QuarantineReason`; the row is quarantined."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["RowRejectedError"], tuple[str, str]]:
        return type(self), (self.reason, self.message)


def first_line(error: BaseException) -> str:
    """What *error* says in its first line; its class's name where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)
