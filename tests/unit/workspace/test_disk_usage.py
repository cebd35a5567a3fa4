"""Disk and memory, as the system counts them."""

import os

import pytest

from preprocess.workspace.disk_usage import allocated_bytes, read_usage, unfinished_names
from shared.system.owner_mark import own_mark


def test_a_folder_takes_what_its_files_have_allocated(tmp_path):
    (tmp_path / "a").write_bytes(bytes(100_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/b").write_bytes(bytes(200_000))
    folder = (tmp_path / "folder").stat().st_blocks * 512
    assert allocated_bytes(tmp_path) - folder in range(300_000, 320_000)


def test_holes_take_no_room(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 30)
    assert allocated_bytes(tmp_path) < 1 << 20


def test_a_file_with_two_names_counts_once(tmp_path):
    (tmp_path / "a").write_bytes(bytes(100_000))
    before = allocated_bytes(tmp_path)
    os.link(tmp_path / "a", tmp_path / "b")
    assert allocated_bytes(tmp_path) == before


def test_links_are_not_followed(tmp_path):
    (tmp_path / "outside").write_bytes(bytes(100_000))
    (tmp_path / "store").mkdir()
    (tmp_path / "store/link").symlink_to(tmp_path / "outside")
    (tmp_path / "store/loop").symlink_to(tmp_path / "store")
    assert allocated_bytes(tmp_path / "store") < 100_000


def test_a_folder_of_another_user_stops_no_count(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(bytes(100_000))
    (tmp_path / "theirs").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("theirs"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert allocated_bytes(tmp_path) >= 100_000


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder_takes_nothing(tmp_path, name):
    (tmp_path / "file").touch()
    assert allocated_bytes(tmp_path / name) == 0


def test_usage_is_of_the_stores_own_mount(tmp_path):
    usage = read_usage(tmp_path)
    assert usage.disk_used_bytes == allocated_bytes(tmp_path)
    assert usage.disk_free_bytes > 0
    assert 0 < usage.ram_used_bytes < usage.ram_total_bytes


def test_only_this_runs_own_unfinished_files_are_open(tmp_path):
    (tmp_path / ".partial").mkdir()
    held, own = (f"train-0000{number}-of-00009.parquet.{own_mark().text}" for number in range(2))
    for name in (held, own, "ballast"):
        (tmp_path / ".partial" / name).write_bytes(bytes(100_000))
    assert unfinished_names(tmp_path) == {held, own}
    found, all_open = read_usage(tmp_path, {held}), read_usage(tmp_path)
    assert found.disk_used_bytes == all_open.disk_used_bytes
    assert 2 * found.disk_open_bytes == all_open.disk_open_bytes >= 200_000
