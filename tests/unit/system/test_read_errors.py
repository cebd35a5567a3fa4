"""Who lacks descriptors, rights or memory is told so, and never that his files are damaged."""

import errno
import os
import resource
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from preprocess.sources.parquet_reader import open_parquet_file
from shared.errors import SpeechPrepError, StoreError, UnreadableError
from shared.index import check_index, index_shard, read_complete
from shared.layout import StoreLayout, read_record
from shared.membership import Place
from shared.store import open_split
from shared.system.read_errors import is_of_system, refuse_unreadable
from tests.support.samples import feature_row, make_store

SYSTEMS = [errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM, errno.ESTALE, errno.ENODEV]


@pytest.fixture
def layout(tmp_path):
    make_store(tmp_path / "store", {"train": [[feature_row(0)], [feature_row(1)]]})
    return StoreLayout(tmp_path / "store")


def _open_source(layout):
    with open_parquet_file(pafs.LocalFileSystem(), str(layout.index_of("train")), "train.parquet", 1 << 20):
        pass


def _place(layout):
    return Place(layout, "train", 0, read_record(layout).splits["train"])


READERS = {
    "record": read_record,
    "COMPLETE": read_complete,
    "index": lambda layout: check_index(layout, "train", read_totals(layout)),
    "shard": lambda layout: index_shard(_place(layout), read_record(layout).features),
    "split": lambda layout: open_split(layout.root, "train"),
    "source": _open_source,
}


def read_totals(layout):
    return read_complete(layout)["train"]


@contextmanager
def no_descriptors():
    """Inside the block nothing can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("reader", READERS)
def test_want_of_descriptors_is_told_as_that_by_every_reader(layout, reader):
    READERS[reader](layout)
    with pytest.raises(UnreadableError) as told, no_descriptors():
        READERS[reader](layout)
    assert "Too many open files" in told.value.message
    assert "ulimit -n" in told.value.remedy
    assert not {"remove", "restore", "copy", "verify", "damaged"} & set(str(told.value).split())
    READERS[reader](layout)


def test_a_shard_that_is_mapped_later_is_no_more_damaged_than_that(layout):
    split = open_split(layout.root, "train")
    with pytest.raises(UnreadableError, match="Too many open files"), no_descriptors():
        split.log_mel(0)
    assert split.log_mel(0).size


@pytest.mark.parametrize("number", SYSTEMS)
def test_a_sound_complete_is_never_to_be_removed(layout, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("io.open", refuse)
    with pytest.raises(UnreadableError, match=os.strerror(number)) as told:
        read_complete(layout)
    assert "remove" not in str(told.value)


@pytest.mark.parametrize(
    "spoil",
    [lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"PAR1" * 3), lambda path: path.unlink()],
)
def test_missing_short_and_wrong_bytes_are_damage(layout, spoil):
    for path in (layout.index_of("train"), layout.shard("train", 0, 2)):
        spoil(path)
    for reader in ("index", "shard", "split"):
        with pytest.raises(StoreError) as told:
            READERS[reader](layout)
        assert not isinstance(told.value, UnreadableError)


def test_memory_that_ran_out_is_no_damage_either():
    for error in (MemoryError(), pa.ArrowMemoryError("malloc of size 1 failed"), RuntimeError("can't allocate memory")):
        with pytest.raises(UnreadableError, match="memory ran out"):
            refuse_unreadable("shard", error)


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, ""), OSError("no footer"), ValueError(), KeyError()])
def test_what_may_come_of_the_bytes_is_the_readers_to_tell(error):
    refuse_unreadable("shard", error)
    assert not is_of_system(error)


@pytest.mark.parametrize("number", [*SYSTEMS, errno.ECONNRESET, errno.EUCLEAN])
def test_each_has_its_number_in_words_and_a_remedy(number):
    with pytest.raises(SpeechPrepError, match=os.strerror(number)) as told:
        refuse_unreadable("store/COMPLETE", OSError(number, "x"))
    assert told.value.message.startswith("store/COMPLETE cannot be read")
    assert told.value.remedy
