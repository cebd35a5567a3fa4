"""A store is prepared for a run; what dead runs left is removed, and nothing else."""

import errno
import os

import pytest

from preprocess.workspace.prepare import clear_dead, clear_partial, close_partial, prepare_store, remove_partial
from shared.errors import UsageError
from shared.layout import StoreLayout, read_record
from shared.system.locks import hold
from tests.support.samples import feature_row, store_record

RECORD = store_record({"train": [[feature_row(0)]]})


@pytest.fixture
def layout(tmp_path):
    (tmp_path / "store").mkdir()
    return StoreLayout(tmp_path / "store")


def prepare(layout):
    return prepare_store(layout, RECORD, "{}\n", "card\n")


def test_preparing_makes_folders_record_settings_and_card(layout):
    assert prepare(layout) == []
    names = {".partial", "README.md", "data", "provenance", "quarantine", "settings.json", "store.json"}
    assert {path.name for path in layout.root.iterdir()} == names
    assert read_record(layout) == RECORD
    assert list(layout.partial.iterdir()) == []


def test_preparing_again_keeps_what_is_committed(layout):
    prepare(layout)
    committed = layout.shard("train", 0, 1)
    committed.write_bytes(b"shard")
    prepare(layout)
    assert committed.read_bytes() == b"shard"


def test_what_a_dead_run_left_is_removed_and_its_bytes_are_told(layout):
    prepare(layout)
    (layout.partial / "shard").write_bytes(bytes(1_000))
    (layout.partial / "ray/logs").mkdir(parents=True)
    (layout.partial / "ray/logs/log").write_bytes(bytes(500))
    assert {removal.path.name for removal in prepare(layout)} == {"ray", "shard"}
    assert list(layout.partial.iterdir()) == []


def test_clearing_follows_no_link(layout, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/data").write_bytes(b"x")
    layout.partial.mkdir()
    (layout.partial / "folder").mkdir()
    for link in (layout.partial / "link", layout.partial / "folder/link"):
        link.symlink_to(tmp_path / "precious")
    clear_partial(layout)
    assert list(layout.partial.iterdir()) == []
    assert (tmp_path / "precious/data").read_bytes() == b"x"


def test_a_partial_folder_that_is_a_link_is_not_cleared(layout, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/data").write_bytes(b"x")
    layout.partial.symlink_to(tmp_path / "precious")
    assert clear_partial(layout) == []
    assert (tmp_path / "precious/data").exists()


def test_a_partial_folder_that_is_a_link_is_not_written_through(layout, tmp_path):
    (tmp_path / "precious").mkdir(mode=0o755)
    layout.partial.symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="is a link"):
        prepare(layout)
    assert list((tmp_path / "precious").iterdir()) == []
    assert (tmp_path / "precious").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_enters_the_folder_of_unfinished_bytes(layout, umask):
    """Ray opens what it makes in there to everybody."""
    before = os.umask(umask)
    try:
        prepare(layout)
        assert layout.partial.stat().st_mode & 0o777 == 0o700
        # As after Ray's start: what lies in the folder stays.
        layout.partial.chmod(0o777)
        close_partial(layout)
    finally:
        os.umask(before)
    assert layout.partial.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENOTEMPTY])
def test_what_cannot_be_removed_is_told_and_keeps_nobody_from_preparing(layout, monkeypatch, number):
    prepare(layout)
    (layout.partial / "ray/session/sockets").mkdir(parents=True)
    (layout.partial / "train").write_bytes(bytes(1_000))
    rmdir = os.rmdir

    def refuse(path, *, dir_fd=None):
        if path == "sockets":
            raise OSError(number, os.strerror(number), path)
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", refuse)
    told = {removal.path.name: removal for removal in prepare(layout)}
    assert told["ray"].error == f"session: sockets: {os.strerror(number)}"
    assert f"remove {layout.partial / 'ray'} as its owner or root" in told["ray"].in_words
    assert not told["train"].error
    assert [removal.error for removal in remove_partial(layout)] == [told["ray"].error]
    monkeypatch.undo()
    assert not remove_partial(layout)[0].error
    assert not layout.partial.exists()


def test_a_folder_of_unfinished_bytes_that_is_another_users_is_told(layout, monkeypatch):
    prepare(layout)

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", refuse)
    (told,) = remove_partial(layout)
    assert (told.path, told.error) == (layout.partial, "Permission denied")


def test_a_folder_with_other_things_is_refused_and_left_alone(layout):
    (layout.root / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"not a store: it holds holiday\.jpg"):
        prepare(layout)
    assert [path.name for path in layout.root.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("left", [[], [".partial"], [".partial", ".partial/store.json"]])
def test_a_run_killed_while_it_prepared_can_be_started_again(layout, left):
    for name in left:
        path = layout.root / name
        path.write_bytes(b"{") if path.suffix else path.mkdir()
    prepare(layout)
    assert read_record(layout) == RECORD


def test_files_of_dead_processes_go_before_anything_is_planned(layout):
    prepare(layout)
    host = os.uname().nodename
    dead, mine = (layout.partial / f"train-00000-of-00009.parquet.{host}-77-{pid}" for pid in (9_999_999, os.getpid()))
    for path in (dead, mine):
        path.write_bytes(bytes(1_000))
    assert [removal.path for removal in clear_dead(layout.root)] == [dead]
    assert mine.exists()
    assert clear_dead(layout.root / "no-store") == []
    assert not (layout.root / "no-store").exists()


def test_beside_a_live_run_nothing_is_removed_whoever_looks_dead(layout):
    prepare(layout)
    foreign = layout.partial / f"train-00000-of-00009.parquet.{os.uname().nodename}-77-9999999"
    foreign.write_bytes(bytes(1_000))
    with hold(layout.root, "--store"):
        assert clear_dead(layout.root) == []
    assert foreign.exists()
