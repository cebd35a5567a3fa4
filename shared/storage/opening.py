"""From an address to the files there."""

from pathlib import Path

from shared.command.commands import install_line
from shared.errors import UsageError
from shared.storage.address import BucketAddress
from shared.storage.files import StoreFiles
from shared.storage.object_files import ObjectFiles
from shared.storage.posix_files import PosixFiles


def open_files(address: BucketAddress | Path) -> StoreFiles:
    """The files at *address*; nothing is asked of it yet. Raises UsageError where obstore is needed and missing."""
    return PosixFiles(address) if isinstance(address, Path) else open_bucket(address)


def open_bucket(address: BucketAddress) -> ObjectFiles:
    """The files in the bucket at *address*; as `open_files`."""
    try:
        from shared.storage.s3_bucket import S3Bucket  # noqa: PLC0415 - one machine's path never imports it
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        raise UsageError(f"{address} needs obstore, which is not installed", install_line("s3")) from error
    return ObjectFiles(S3Bucket(address), str(address))
