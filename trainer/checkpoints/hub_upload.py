"""Uploading what was made: only when asked to."""

from pathlib import Path

from shared.errors import SpeechPrepError, first_line


def upload(folder: Path, repository: str, *, without: str) -> str:
    """Uploads *folder* to *repository*, which is made private where it is not there; its address.

    Names that match *without* stay here. Raises SpeechPrepError when the Hub refuses or does not answer.
    """
    from huggingface_hub import HfApi  # noqa: PLC0415 - only those who upload need it

    hub = HfApi()
    try:
        hub.create_repo(repository, private=True, exist_ok=True)
        return str(hub.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=without))
    except Exception as error:  # the Hub's own errors, those of its HTTP library, and those of the disk
        remedy = f"check HF_TOKEN and the name; what was made is in {folder}"
        raise SpeechPrepError(f"{repository} could not be uploaded: {first_line(error)}", remedy) from error
