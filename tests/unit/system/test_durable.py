"""A file appears whole under its name or not at all, and the first of two writers keeps it."""

import errno
import fcntl
import os
import stat
from contextlib import nullcontext

import pytest

from shared.system.durable import DurableFile, json_bytes, write_durably
from shared.system.locks import is_held


def write(folder, name, content, final, **options):
    with DurableFile(folder / name) as durable:
        durable.file.write(content)
        durable.seal()
        return durable.publish(final, **options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_published_file_has_its_final_name_alone(tmp_path):
    assert write(tmp_path, "partial", b"x", tmp_path / "final")
    assert names(tmp_path) == ["final"]
    assert (tmp_path / "final").read_bytes() == b"x"


def test_a_block_left_without_publishing_leaves_nothing(tmp_path):
    with DurableFile(tmp_path / "partial") as durable:
        durable.file.write(b"x")
    assert names(tmp_path) == []


def test_the_second_writer_changes_nothing_and_drops_its_own(tmp_path):
    assert write(tmp_path, "a", b"first", tmp_path / "final")
    assert not write(tmp_path, "b", b"second", tmp_path / "final")
    assert names(tmp_path) == ["final"]
    assert (tmp_path / "final").read_bytes() == b"first"


def test_the_second_writer_makes_the_name_durable_as_well(tmp_path, monkeypatch):
    """The first may have died between its name and the folder's fsync."""
    write(tmp_path, "a", b"first", tmp_path / "final")
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: (synced.append(os.fstat(number).st_ino), fsync(number)))
    write(tmp_path, "b", b"second", tmp_path / "final")
    assert synced[-1] == tmp_path.stat().st_ino


def test_replacing_gives_the_name_to_the_new_content(tmp_path):
    write(tmp_path, "a", b"first", tmp_path / "final")
    assert write(tmp_path, "b", b"second", tmp_path / "final", replace=True)
    assert (tmp_path / "final").read_bytes() == b"second"
    assert names(tmp_path) == ["final"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.EXDEV, errno.ENOTSUP])
def test_without_hard_links_the_first_writer_still_wins(tmp_path, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    assert write(tmp_path, "a", b"first", tmp_path / "final")
    assert not write(tmp_path, "b", b"second", tmp_path / "final")
    assert names(tmp_path) == ["final"]
    assert (tmp_path / "final").read_bytes() == b"first"


def test_another_writers_partial_file_is_never_taken_over(tmp_path):
    (tmp_path / "partial").write_bytes(b"of another")
    with pytest.raises(FileExistsError):
        DurableFile(tmp_path / "partial")
    assert (tmp_path / "partial").read_bytes() == b"of another"


def test_a_disk_that_refuses_leaves_the_old_content(tmp_path, monkeypatch):
    write_durably(tmp_path / "final", b"old", tmp_path / "partial")

    def refuse(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        write_durably(tmp_path / "final", b"new", tmp_path / "partial")
    assert (tmp_path / "final").read_bytes() == b"old"
    assert names(tmp_path) == ["final"]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_folder_that_cannot_be_synced_is_as_safe_as_its_file_system_and_one_that_fails_is_named(
    tmp_path, monkeypatch, code
):
    fsync = os.fsync

    def refuse(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match=tmp_path.name) if code == errno.EIO else nullcontext():
        write_durably(tmp_path / "final", b"new", tmp_path / "partial")
    assert names(tmp_path) == ["final"]


def test_json_is_the_same_for_the_same_value_and_readable():
    assert json_bytes({"b": 1, "a": "ß"}) == json_bytes({"a": "ß", "b": 1}) == '{\n  "a": "ß",\n  "b": 1\n}\n'.encode()


def test_a_partial_file_is_held_until_it_has_its_name(tmp_path):
    """Whoever cleans up sees that somebody is at it, also while the sealed file is still checked."""
    with DurableFile(tmp_path / "partial") as durable:
        assert is_held(tmp_path / "partial")
        durable.seal()
        assert is_held(tmp_path / "partial")
        durable.publish(tmp_path / "final")
    assert not is_held(tmp_path / "final")


def test_a_file_system_without_locks_takes_a_file_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert write(tmp_path, "partial", b"x", tmp_path / "final")


def test_without_descriptors_nothing_is_left_behind(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    with pytest.raises(OSError, match="Too many"):
        DurableFile(tmp_path / "partial")
    assert names(tmp_path) == []
