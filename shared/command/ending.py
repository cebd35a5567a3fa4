"""How a command ends: exit status, what is said of it, and what to do. Pure."""

import errno
from dataclasses import dataclass

from shared.errors import ExitCode, InterruptedRunError, SpeechPrepError

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Ending:
    """*exit_code* is an `ExitCode`; *error* says what went wrong ("" where all is well), *remedy* what to do."""

    exit_code: int = 0
    error: str = ""
    remedy: str = ""


def ending_of(error: BaseException) -> Ending | None:
    """How a command ends that *error* came out of; None for a defect, which Python tells with its traceback."""
    match error:
        case SpeechPrepError():
            return Ending(int(error.exit_code), error.message, error.remedy)
        case KeyboardInterrupt():
            return Ending(int(ExitCode.INTERRUPTED), "interrupted", "the same command goes on where it stopped")
        case RecursionError():
            # Python's own patience; ours with a file that is read here ends long before, and names it.
            message, remedy = (
                f"what was read is nested too deeply: {error}",
                "look at the data set or model that was named",
            )
            return Ending(int(ExitCode.USAGE), message, remedy)
        case OSError(errno=errno.ENAMETOOLONG):
            message = f"no file system takes so long a name: {error.filename}"
            return Ending(int(ExitCode.USAGE), message, "name an existing folder or file, or a Hub id (owner/name)")
        case OSError():
            code = ExitCode.RESOURCE_LIMIT if error.errno in _DISK_FULL else ExitCode.FAILED
            return Ending(int(code), str(error), "the same command goes on once that is put right")
    return None


def was_asked_for(error: BaseException) -> bool:
    """Whether *error* is the end that somebody wanted: one line, and no error."""
    return isinstance(error, InterruptedRunError | KeyboardInterrupt)
