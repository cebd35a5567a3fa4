"""Uploading what was made, where somebody asks for it: whether it can be is found out before the work, not after it."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from shared.errors import SpeechPrepError, UsageError, first_line

_TOKENS = "https://huggingface.co/settings/tokens"
_LATER = "or leave --push-to-hub out, and upload it with `hf upload` when it is made"


def claim(repository: str, tell: Callable[[str], None]) -> str:
    """The full id (`user/name`) of *repository*, which can be written to; made, private, where it is not there.

    *tell* hears what may be a mistake. Raises UsageError for a name, login or right that is missing, SpeechPrepError
    where the Hub does not answer.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415 - only those who upload need it
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - as above

    _require_name(repository)
    hub = HfApi()
    user = _logged_in(hub, repository)
    try:
        found = str(hub.create_repo(repository, private=True, exist_ok=True).repo_id)
        full = found if "/" in found else f"{user['name']}/{found}"
        _require_write(hub, full)
    except HfHubHTTPError as error:
        if _status(error) in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise _forbidden(repository, user, error) from error
        raise _refused(repository, error) from error
    except Exception as error:  # those of the Hub's HTTP library
        raise _refused(repository, error) from error
    if _is_data_set(hub, full):
        tell(f"{full} is a data set on the Hub as well: the model is uploaded to a repository beside it")
    return full


def upload(folder: Path, repository: str, *, without: str, only: Sequence[str] | None = None) -> str:
    """Uploads *folder* to *repository*, a full id that `claim` gave; its address.

    Names that match *without*, or none of *only*, stay here. Raises SpeechPrepError when the Hub refuses or does not
    answer.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415 - only those who upload need it

    try:
        hub, patterns = HfApi(), None if only is None else list(only)
        return str(
            hub.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=without, allow_patterns=patterns)
        )
    except Exception as error:  # the Hub's own errors, those of its HTTP library, and those of the disk
        chosen = [word for pattern in only or () for word in ("--include", pattern)]
        again = shlex.join(["hf", "upload", repository, str(folder), ".", "--exclude", without, *chosen])
        message = f"{repository} could not be uploaded: {first_line(error)}"
        raise SpeechPrepError(message, f"what was made is in {folder}; once the Hub takes it: {again}") from error


def _require_name(repository: str) -> None:
    from huggingface_hub import constants  # noqa: PLC0415 - only those who upload need it
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - as above
    from huggingface_hub.utils._validators import validate_repo_id  # noqa: PLC0415 - as above

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        message = f"--push-to-hub {repository!r} is not a name on the Hub: {first_line(error)}"
        raise UsageError(message, "--push-to-hub user/name, of letters, digits, -, _ and .") from error
    if constants.is_offline_mode():
        message = f"--push-to-hub {repository}: HF_HUB_OFFLINE forbids asking the Hub"
        raise UsageError(message, f"unset HF_HUB_OFFLINE (and TRANSFORMERS_OFFLINE), {_LATER}")


def _logged_in(hub: Any, repository: str) -> Mapping[str, Any]:
    """What the Hub says of the user whose token is used. Raises UsageError for none, or one that only reads."""
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError  # noqa: PLC0415 - as in `claim`

    try:
        user: Mapping[str, Any] = hub.whoami()
    except LocalTokenNotFoundError as error:
        message = f"--push-to-hub {repository}: nobody is logged in to the Hub on this machine"
        raise UsageError(message, f"`hf auth login`, or HF_TOKEN: a token of {_TOKENS} that may write") from error
    except HfHubHTTPError as error:
        if _status(error) != HTTPStatus.UNAUTHORIZED:
            raise _refused(repository, error) from error
        message = f"--push-to-hub {repository}: the Hub does not know the token: {first_line(error)}"
        raise UsageError(
            message, f"`hf auth login --force`, or HF_TOKEN: a token of {_TOKENS} that may write"
        ) from error
    except Exception as error:  # those of the Hub's HTTP library
        raise _refused(repository, error) from error
    token = (user.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        message = f"--push-to-hub {repository}: the token {token.get('displayName', '')!r} of {user['name']} only reads"
        raise UsageError(message, f"make one that may write, on {_TOKENS}, and give it as HF_TOKEN")
    return user


def _require_write(hub: Any, full: str) -> None:
    """Raises HfHubHTTPError, of status 401 or 403, where the token may not write to *full*, which is there."""
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - as in `claim`

    try:
        hub.auth_check(full, write=True)
    except HfHubHTTPError as error:
        # A Hub of one's own may be without this question: then the upload tells.
        if _status(error) in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise


def _is_data_set(hub: Any, full: str) -> bool:
    try:
        return bool(hub.repo_exists(full, repo_type="dataset"))
    except Exception:  # noqa: BLE001 - a hint is not worth a run
        return False


def _forbidden(repository: str, user: Mapping[str, Any], error: Exception) -> UsageError:
    """Why *user* may not write to *repository*, as far as the Hub has told."""
    owner = repository.partition("/")[0] if "/" in repository else str(user["name"])
    roles = {str(each["name"]).lower(): each.get("roleInOrg") for each in user.get("orgs") or []}
    if owner.lower() == str(user["name"]).lower():
        why, remedy = (
            "may not write there with this token",
            f"give the token write access to your repositories, on {_TOKENS}",
        )
    elif owner.lower() not in roles:
        names = ", ".join([str(user["name"]), *roles])
        why, remedy = f"is not a member of {owner}", f"name one of {names}, or ask to be let in"
    elif roles[owner.lower()] == "read":
        why, remedy = f"may only read in {owner}", f"ask an admin of {owner} for the role write or contributor"
    else:
        why, remedy = f"may not write to {owner} with this token", f"give the token that right, on {_TOKENS}"
    said = f"--push-to-hub {repository}: {user['name']} {why} ({first_line(error)})"
    return UsageError(said, remedy)


def _refused(repository: str, error: Exception) -> SpeechPrepError:
    message = f"--push-to-hub {repository}: the Hub does not take it: {first_line(error)}"
    return SpeechPrepError(message, f"check the network and the name, {_LATER}")


def _status(error: Any) -> int:
    return int(error.response.status_code)
