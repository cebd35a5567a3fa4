"""Uploading a finished model: only when asked to."""

from pathlib import Path

from shared.errors import SpeechPrepError
from trainer.checkpoint import BEST, TRAINING


def push_to_hub(output: Path, repository: str) -> str:
    """Uploads the best checkpoint of *output* to *repository*, without what only a resume needs; returns its address.

    Raises SpeechPrepError when the Hub refuses.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415 - only those who upload need it
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - as above

    hub = HfApi()
    try:
        hub.create_repo(repository, private=True, exist_ok=True)
        return str(hub.upload_folder(repo_id=repository, folder_path=output / BEST, ignore_patterns=f"{TRAINING}/*"))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise SpeechPrepError(f"{repository} could not be uploaded: {reason}", "check HF_TOKEN and the name") from error
