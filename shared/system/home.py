"""The home folder in a path that no shell has seen."""

from pathlib import Path

from shared.errors import UsageError


def expand_home(path: Path | str) -> Path:
    """*path* with the home folder in place of a leading `~`, which no shell expands in a `.env` or TOML file.

    Raises UsageError where nobody knows whose that is: a container's user of a number without a name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(f"the home folder in {path} is unknown", "write the path in full, or set HOME") from error
