"""A fetched copy, checked before `COMPLETE` makes a store of it: every byte against a checksum."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from shared.errors import StoreError
from shared.index import check_index, read_complete
from shared.layout import StoreLayout, read_record
from shared.membership import Place, is_damage
from shared.reading.verification import check_shard, indexed_digests
from shared.storage.fetching import COMPLETE, Fetching, content_of
from shared.storage.posix_files import PosixFiles
from shared.system.durable import fsync_directory, write_durably


def fetch_complete(fetching: Fetching) -> None:
    """Copies `COMPLETE` to where `check_copy` reads it: aside."""
    aside = _aside(fetching.to)
    aside.root.mkdir(exist_ok=True)
    aside.complete.write_bytes(content_of(fetching.source, COMPLETE))


def check_copy(to: Path) -> Iterator[str]:
    """Checks the shards and indexes in *to*, every byte of them, and gives each shard's name.

    Raises StoreError for one that is not as it was written. It is removed, unless it only could not be read, and so is
    a `COMPLETE` beside it; the next attempt copies it again.
    """
    layout = StoreLayout(to)
    record = read_record(layout)
    complete = read_complete(_aside(to), record.uuid, record.format_version)
    for split, totals in complete.items():
        try:
            check_index(layout, split, totals)
        except StoreError as error:
            if is_damage(error):
                _remove(layout, [layout.index_of(split)])
            raise _unlike(error.message) from error
        digests = indexed_digests(layout, split, totals)
        for unit in range(record.splits[split].num_units):
            place = Place(layout, split, unit, record.splits[split], record.format_version)
            check = check_shard(place, record.features, digests)
            if check.problems:
                if check.repairable:
                    _remove(layout, [place.shard, place.quarantined])
                raise _unlike(check.problems[0])
            yield check.name


def check_rest(fetching: Fetching, in_flight: int) -> None:
    """Compares what `check_copy` has no checksum for with the source's own, *in_flight* files at once; as that does."""
    local = PosixFiles(fetching.to)

    def is_equal(name: str) -> bool:
        return fetching.source.digest(name) == local.digest(name)

    names = fetching.without_checksum
    with ThreadPoolExecutor(in_flight) as pool:
        unlike = [name for name, equal in zip(names, pool.map(is_equal, names), strict=True) if not equal]
    if unlike:
        _remove(StoreLayout(fetching.to), [local.path(name) for name in unlike])
        raise _unlike(f"{local.path(unlike[0])} differs from the one of {fetching.source.where}")


def finish(to: Path) -> None:
    """Gives `COMPLETE` its name, the last of all: the copy is a store from here on."""
    layout, aside = StoreLayout(to), _aside(to)
    write_durably(layout.complete, aside.complete.read_bytes(), layout.partial / "fetch-COMPLETE")
    aside.complete.unlink()
    aside.root.rmdir()
    # A finished store has none; whatever else lies there is somebody else's.
    with suppress(OSError):
        layout.partial.rmdir()


def _aside(to: Path) -> StoreLayout:
    return StoreLayout(StoreLayout(to).partial / "fetched")


def _remove(layout: StoreLayout, paths: list[Path]) -> None:
    for path in (layout.complete, *paths):
        with suppress(FileNotFoundError):
            path.unlink()
            fsync_directory(path.parent)


def _unlike(problem: str) -> StoreError:
    message = f"what was copied is not what was written: {problem}"
    return StoreError(message, "repeat the command, which copies it again; if it fails so again, the source is damaged")
