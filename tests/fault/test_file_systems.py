"""Whole runs on file systems that are not a plain disk: joined of two, read-only, short of names."""

import subprocess
from contextlib import contextmanager

import pytest

from tests.support.stores import differences

FEW = 40
"""Files and folders that the small one takes, its root among them."""


@contextmanager
def mounted(folder, kind, options):
    folder.mkdir()
    subprocess.run(["mount", "-t", kind, "-o", options, kind, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def joined(tmp_path):
    """An overlay; its upper folder lies on a tmpfs, as an overlay's own cannot be an upper folder."""
    with mounted(tmp_path / "base", "tmpfs", "size=64m") as base:
        for name in ("lower", "upper", "work"):
            (base / name).mkdir()
        options = ",".join(f"{name}dir={base / name}" for name in ("lower", "upper", "work"))
        with mounted(tmp_path / "joined", "overlay", options) as folder:
            yield folder


@contextmanager
def short_of_names(tmp_path, left):
    """A file system with room for *left* names; the files that take the others."""
    with mounted(tmp_path / "few", "tmpfs", f"size=64m,nr_inodes={FEW}") as folder:
        others = [folder / f"other{number}" for number in range(FEW - 1 - left)]
        for path in others:
            path.touch()
        yield folder / "store", others


def ends_cleanly_and_goes_on(stage, tmp_path, left):
    with short_of_names(tmp_path, left) as (store, others):
        outcome = stage.rehearsals.run(store)
        assert outcome.status in {0, 3}, outcome.stderr
        assert "Traceback" not in outcome.stderr
        assert outcome.status == 0 or "No space left" in outcome.stderr
        for path in others:
            path.unlink()
        assert stage.rehearsals.run(store).status == 0
        assert differences(store, stage.expected) == []
        return outcome.status


def test_on_an_overlay_the_store_is_the_same(stage, joined):
    outcome = stage.rehearsals.run(joined / "store")
    assert (outcome.status, differences(joined / "store", stage.expected)) == (0, []), outcome.stderr


def test_what_is_read_only_is_named_with_another_place(stage, tmp_path):
    with mounted(tmp_path / "fixed", "tmpfs", "ro") as folder:
        outcome = stage.rehearsals.run(folder / "store")
    assert outcome.status == 2
    assert outcome.stderr.splitlines() == [
        f"error: cannot use {folder / 'store'}: Read-only file system",
        "  -> name another --store",
    ]


def test_without_names_left_a_run_ends_cleanly_and_goes_on_later(stage, tmp_path):
    assert ends_cleanly_and_goes_on(stage, tmp_path, 7) == 3


@pytest.mark.campaign
@pytest.mark.parametrize("left", range(30))
def test_with_any_number_of_names_left_a_run_ends_cleanly_and_goes_on_later(stage, tmp_path, left):
    assert ends_cleanly_and_goes_on(stage, tmp_path, left) in {0, 3}


@pytest.mark.parametrize("inject", ["link:error=EXDEV", "link:error=EACCES", "link:error=EPERM"])
def test_without_hard_links_the_store_is_the_same(stage, tmp_path, inject):
    outcome = stage.rehearsals.run(tmp_path / "store", "link", inject)
    assert (outcome.status, differences(tmp_path / "store", stage.expected)) == (0, []), outcome.stderr


def test_without_locks_a_run_is_refused_with_another_place(stage, tmp_path):
    outcome = stage.rehearsals.run(tmp_path / "store", "flock", "flock:error=ENOLCK")
    assert outcome.status == 2
    assert "has no locks" in outcome.stderr
    assert "-> name a folder on a local disk" in outcome.stderr
