"""What a power cut could take, by the order of a run's calls: written < fsync(file) < named < fsync(folder)."""

from collections.abc import Sequence
from pathlib import PurePath

from tests.support.strace import Call

NAMING = {"link", "rename"}


def problems(calls: Sequence[Call], store: str) -> list[str]:
    """One line for each final name or folder in *store* that a power cut after the run could take or tear."""
    done = [call for call in calls if call.result >= 0]
    named = [number for number, call in enumerate(done) if call.name in NAMING and call.last_path.startswith(store)]
    found = [problem for number in named for problem in _problems_of_name(done, number)]
    made = [number for number, call in enumerate(done) if call.name == "mkdir" and call.path.startswith(store)]
    kept = [number for number in made if PurePath(done[number].path).name != ".partial"]
    found += [f"{done[number].path}: its name is not durable" for number in kept if not _folder_synced(done, number)]
    if named and not done[named[-1]].last_path.endswith("COMPLETE"):
        found.append("COMPLETE is not the last name")
    return found


def _problems_of_name(calls: Sequence[Call], number: int) -> list[str]:
    partial, final = calls[number].path, calls[number].last_path
    found = []
    written = [at for at, call in enumerate(calls) if call.name in {"write", "pwrite64"} and call.path == partial]
    synced = [at for at, call in enumerate(calls) if call.name == "fsync" and call.path == partial and at < number]
    if not written or not synced or max(written) > max(synced):
        found.append(f"{final}: named before its bytes are durable")
    following = (at for at in range(number + 1, len(calls)) if calls[at].name in NAMING)
    if not _folder_synced(calls, number, next(following, len(calls))):
        found.append(f"{final}: its name is not durable before the next one")
    return found


def _folder_synced(calls: Sequence[Call], number: int, end: int | None = None) -> bool:
    """Whether the folder of the name that call *number* made is synced afterwards, before call *end*."""
    folder = str(PurePath(calls[number].last_path).parent)
    return any(call.name == "fsync" and call.path == folder for call in calls[number + 1 : end])
