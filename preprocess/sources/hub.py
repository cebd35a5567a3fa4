"""A data set on the Hugging Face Hub, read in place by byte ranges: nothing of it is copied into a cache.

`datasets` tells the files of each split and the commit that they are read at, and downloads the card (README.md) only.
Each read asks for one range of one file. `HfFileSystem` repeats a request that ends in a time-out, a lost connection
or a status of 408, 429 or 5xx up to 5 times, after 1, 2, 4, 8 and 8 seconds or as long as the Hub says; what still
fails then is raised as a `SpeechPrepError`, and the same command goes on later. A token comes from HF_TOKEN or from
`hf auth login`, in each process for itself: none is stored or sent along.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, NoReturn
from urllib.parse import quote

import pyarrow as pa
import pyarrow.fs as pafs

from preprocess.sources.base import Access, Columns, SourceFile
from preprocess.sources.card import MAX_BYTES, check_patterns, parse_front_matter
from preprocess.sources.configs import UNREAD
from preprocess.sources.confine import NOTHING_ELSE
from preprocess.sources.embedded import RowMaker
from preprocess.sources.parquet import DataFile, ParquetSource, open_parquet
from preprocess.sources.parquet_reader import open_parquet_file
from shared.errors import SourceError, SpeechPrepError

_HUB_ID = re.compile(r"^(?P<id>[\w.-]+/[\w.-]+?)(?::(?P<config>[^@/]+))?(?:@(?P<revision>.+))?$")
_PREFIX = "hf://datasets/"


@dataclass(frozen=True, slots=True)
class HubId:
    """`owner/name`, optionally with `:config` and `@revision` (a branch, tag or commit)."""

    repo_id: str
    config: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class _HubFiles:
    """`Files` on the Hub at *endpoint*. Each read of `buffer_bytes` is one range request."""

    endpoint: str
    buffer_bytes: int = 4 * 1024**2

    def filesystem(self) -> pafs.FileSystem:
        """A file system whose reads are exact range requests."""
        from huggingface_hub import HfFileSystem  # noqa: PLC0415 - seconds, and only Hub sources need it

        return pafs.PyFileSystem(_RangeHandler(HfFileSystem(endpoint=self.endpoint)))

    def look(self, path: str, name: str) -> SourceFile:  # noqa: ARG002 - as named for messages
        """Named with its commit, which never changes."""
        return SourceFile(path)

    def forget(self, path: str, start: int, num_bytes: int) -> None:
        """Nothing of the Hub is kept."""


def parse_hub_id(uri: str) -> HubId | None:
    """*uri* as a Hub id, with or without `hf://datasets/`; None where it is none."""
    match = _HUB_ID.match(uri.removeprefix(_PREFIX))
    return HubId(match["id"], match["config"], match["revision"]) if match else None


def open_hub(uri: str, columns: Columns, access: Access = NOTHING_ELSE) -> ParquetSource:
    """The source behind the Hub id *uri*, at the commit that its revision stands for now; its config is *access*'s.

    Its fingerprint is made of the files' names and content hashes, so that a commit that changes none of them (to the
    card, say) goes on with the same store.

    Raises:
        SourceError: the Hub or the data set cannot be reached, is gated, has several configs or is not stored as
            Parquet; or as `open_parquet`.
        SpeechPrepError: the network failed while the footers were read.
    """
    hub_id = parse_hub_id(uri)
    if hub_id is None:
        raise SourceError(f"{uri!r} is not a Hub id", "write owner/name, owner/name:config or owner/name@revision")
    if access.config_name not in {None, hub_id.config}:
        if hub_id.config is not None:
            raise SourceError(f"{uri} names a config, and --config-name another one", "leave one of them out")
        hub_id = replace(hub_id, config=access.config_name)
    commit, urls = _resolve(hub_id)
    files = _HubFiles(_endpoint())
    splits = _with_identities(files.endpoint, urls)
    name = hub_id.repo_id + (f":{hub_id.config}" if hub_id.config else "")
    return open_parquet(f"{name}@{commit}", splits, files, RowMaker(columns, hub_id.repo_id, None))


def hub_schema(uri: str) -> pa.Schema | None:
    """The columns of the first file behind the Hub id *uri*; None where there is no file. Raises as `open_hub`."""
    hub_id = parse_hub_id(uri)
    _, urls = _resolve(hub_id) if hub_id else ("", {})
    files = _HubFiles(_endpoint())
    for url in (url for group in urls.values() for url in group):
        name = url.removeprefix("hf://")
        with open_parquet_file(files.filesystem(), name, name, files.buffer_bytes) as parquet:
            return parquet.schema_arrow
    return None


def _endpoint() -> str:
    from huggingface_hub import constants  # noqa: PLC0415 - only Hub sources need it

    return constants.ENDPOINT


def _resolve(hub_id: HubId) -> tuple[str, dict[str, list[str]]]:
    import datasets  # noqa: PLC0415 - takes seconds, and only Hub sources need it
    import httpx2  # noqa: PLC0415 - as datasets
    from datasets.packaged_modules.parquet.parquet import Parquet  # noqa: PLC0415 - as datasets

    _check_card(hub_id)
    try:
        builder = datasets.load_dataset_builder(hub_id.repo_id, name=hub_id.config, revision=hub_id.revision)
    except (OSError, ValueError, RuntimeError, httpx2.HTTPError, datasets.exceptions.DatasetsError) as error:
        _raise_unresolved(hub_id, error)
    if unread := [key for key in UNREAD if getattr(builder.config, key, None)]:
        raise SourceError(
            f"{hub_id.repo_id}'s README.md has {', '.join(unread)}, which would change its rows and is not supported",
            "download it, and name its files with a glob",
        )
    data_files = builder.config.data_files
    if not data_files:
        # Offline, `datasets` answers with whatever an earlier load left in its cache.
        _raise_unresolved(hub_id, ConnectionError("only a cached copy was found"))
    if not isinstance(builder, Parquet):
        kinds = sorted({PurePosixPath(url).suffix for urls in data_files.values() for url in urls})
        raise SourceError(
            f"{hub_id.repo_id} on the Hub is stored as {', '.join(kinds)}, not Parquet",
            f"try the Hub's own conversion, {hub_id.repo_id}@refs/convert/parquet, or download it and name the folder",
        )
    return builder.hash, {str(split): list(dict.fromkeys(urls)) for split, urls in data_files.items()}


def _check_card(hub_id: HubId) -> None:
    """Raises SourceError for a card that `datasets`, which bounds nothing, is better not given; one range is read."""
    import httpx2  # noqa: PLC0415 - only Hub sources need it
    from huggingface_hub import HfFileSystem  # noqa: PLC0415 - as httpx2

    revision = f"@{quote(hub_id.revision, safe='')}" if hub_id.revision else ""
    path = f"datasets/{hub_id.repo_id}{revision}/README.md"
    try:
        content = HfFileSystem(endpoint=_endpoint()).cat_file(path, start=0, end=MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError, httpx2.HTTPError):
        # There may be no card; whatever else it is, `datasets` meets it next, and it is told there.
        return
    config = parse_front_matter(content.decode("utf-8", "replace"), f"{hub_id.repo_id}'s README.md").get("configs")
    check_patterns(config, f"{hub_id.repo_id}'s README.md")


def _raise_unresolved(hub_id: HubId, error: Exception) -> NoReturn:
    import httpx2  # noqa: PLC0415 - only Hub sources need it

    reason = f"{hub_id.repo_id} cannot be opened on the Hub: {error}"
    if isinstance(error, (ConnectionError, httpx2.TransportError)):
        remedy = "check the network and that HF_HUB_OFFLINE is not set, or name a local copy"
    elif isinstance(error, ValueError) and "onfig" in str(error):
        remedy = f"choose one of its configs: --config-name CONFIG (or {hub_id.repo_id}:CONFIG)"
    else:
        remedy = "check the spelling and the revision; for a private or gated data set, set HF_TOKEN and ask for access"
    raise SourceError(reason, remedy) from error


def _with_identities(endpoint: str, urls: Mapping[str, Sequence[str]]) -> dict[str, list[DataFile]]:
    from huggingface_hub import HfFileSystem  # noqa: PLC0415 - only Hub sources need it

    hub = HfFileSystem(endpoint=endpoint)
    return {split: [_data_file(hub, url) for url in group] for split, group in urls.items()}


def _data_file(hub: Any, url: str) -> DataFile:
    if not url.startswith(_PREFIX):
        raise SourceError(
            f"the data set's card names {url}, which is not on the Hub", "download it, and name the folder"
        )
    path = url.removeprefix("hf://")
    with _network_errors(path):
        # Answered from one listing per folder; no request per file.
        info = hub.info(path)
    lfs = info.get("lfs")
    return DataFile(path, path.partition("@")[2].partition("/")[2], lfs.sha256 if lfs else info["blob_id"])


@contextmanager
def _network_errors(path: str) -> Iterator[None]:
    import httpx2  # noqa: PLC0415 - only Hub sources need it

    try:
        yield
    except httpx2.HTTPError as error:
        raise SpeechPrepError(
            f"reading {path} from the Hub failed: {error}", "run the same command again once the network is back"
        ) from error


class _RangeHandler(pafs.FSSpecHandler):  # type: ignore[misc]  # pyarrow's stubs leave this class out
    """Opens files without read-ahead: the Parquet reader buffers, and knows where a column chunk ends."""

    def open_input_file(self, path: str) -> pa.PythonFile:
        """The file at *path*, whose every read is one range request of just that length."""
        with _network_errors(path):
            return pa.PythonFile(_RangeFile(self.fs.open(path, mode="rb", cache_type="none"), path), mode="r")


class _RangeFile:
    """A file object that tells a failing network from a damaged file."""

    def __init__(self, file: Any, path: str) -> None:
        self._file = file
        self._path = path

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def read(self, num_bytes: int = -1) -> bytes:
        """Bytes from the position on; a network that stays away is a `SpeechPrepError` that names the file."""
        with _network_errors(self._path):
            content: bytes = self._file.read(num_bytes)
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
