"""Ray's folder lies in the store; the short link that a long path needs can be neither guessed nor squatted."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from preprocess.workspace.ray_folder import MAX_SOCKET_PATH, SOCKET_PATH_ROOM, make_ray_folder, remove_links
from shared.errors import UsageError
from shared.layout import StoreLayout


@pytest.fixture
def tmp(monkeypatch):
    """A short TMPDIR."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


@pytest.fixture
def far(tmp_path) -> StoreLayout:
    """A store whose path is too long for sockets."""
    return StoreLayout(tmp_path / ("x" * 100))


def test_a_short_path_needs_no_link(tmp):
    layout = StoreLayout(tmp / "s")
    assert make_ray_folder(layout) == layout.partial / "ray"
    assert [path.name for path in tmp.iterdir()] == ["s"]


def test_a_long_one_has_a_link_in_a_folder_of_its_own_that_nobody_else_can_enter(tmp, far):
    links = [make_ray_folder(far) for _ in range(2)]
    assert links[0] != links[1]
    for link in links:
        assert link.resolve() == (far.partial / "ray").resolve()
        assert len(str(link)) + SOCKET_PATH_ROOM <= MAX_SOCKET_PATH
        assert link.parent.parent == tmp
        assert link.parent.stat().st_mode & 0o777 == 0o700
    remove_links(far)
    assert list(tmp.iterdir()) == []


def test_what_is_not_ours_stays(tmp, far, monkeypatch):
    """Another user's folder, another store's link, a link in the folder's place, and files of a person."""
    squatted = make_ray_folder(far).parent
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    remove_links(far)
    assert (squatted / "ray").is_symlink()
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(tmp))
    remove_links(far)
    assert not squatted.exists()
    ours = make_ray_folder(far).parent
    other = make_ray_folder(StoreLayout(far.root.with_name("y" * 100))).parent
    (tmp / "speech-prep-alink").symlink_to(ours)
    person = tmp / "speech-prep-mine"
    person.mkdir(mode=0o700)
    (person / "notes").write_text("x")
    remove_links(far)
    left = {path.name for path in tmp.iterdir()}
    assert left == {other.name, "speech-prep-alink", person.name}


def test_a_squatted_name_of_earlier_versions_is_neither_used_nor_removed(tmp, far):
    for name in ("speech-prep-0123456789ab", "speech-prep-ffffffffffff"):
        (tmp / name).symlink_to(tmp)
    link = make_ray_folder(far)
    remove_links(far)
    assert not link.parent.exists()
    assert len(list(tmp.iterdir())) == 2


def test_a_tmpdir_that_is_too_long_itself_gives_way_to_tmp(tmp_path, far, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    link = make_ray_folder(far)
    assert link.parent.parent == Path("/tmp")
    remove_links(far)
    assert not link.parent.exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOENT])
def test_a_read_only_tmp_is_told_with_a_shorter_path_as_the_remedy(far, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(UsageError, match=f"{os.strerror(number)}[\\s\\S]*shorter --store"):
        make_ray_folder(far)
    monkeypatch.setenv("TMPDIR", "/no/such")
    remove_links(far)
