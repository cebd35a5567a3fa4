import pytest

from shared.errors import StoreError
from shared.storage.files import FileEntry, digest_of
from shared.storage.posix_files import PosixFiles


@pytest.fixture
def files(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "sealed").write_bytes(b"shard")
    return PosixFiles(tmp_path)


def test_a_name_is_created_once_and_replaced_on_demand(files):
    other = files.root / "other"
    other.write_bytes(b"other")
    assert files.create("data/a", files.root / "sealed")
    assert not files.create("data/a", other)
    assert files.read_range("data/a", 1, 4) == b"har"
    files.replace("data/a", other)
    assert files.read_range("data/a", 0, 5) == b"other"


def test_files_are_listed_by_name_and_links_are_none(files):
    files.create("data/b", files.root / "sealed")
    (files.root / "data" / "link").symlink_to("b")
    assert list(files.list("data")) == [FileEntry("data/b", 5)]
    assert [entry.name for entry in files.list()] == ["data/b", "sealed"]
    files.delete("data/b")
    files.delete("data/b")
    assert (files.size("data/b"), files.size("sealed")) == (None, 5)


def test_a_digest_is_of_all_bytes_and_of_no_file_none(files):
    assert files.digest("sealed") == digest_of(memoryview(b"shard"))
    assert files.digest("data/none") == ""


def test_what_is_not_there_cannot_be_read(files):
    with pytest.raises(StoreError, match="sealed has 5 bytes, 9 were expected"):
        files.read_range("sealed", 0, 9)
    with pytest.raises(StoreError, match="cannot be read"):
        files.read_range("data/none", 0, 1)
    with pytest.raises(StoreError, match="no name of a file"):
        files.size("../sealed")
