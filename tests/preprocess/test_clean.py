"""`python -m preprocess.clean`: what dead runs left goes, is told, and is all that goes."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from preprocess import clean
from preprocess.workspace.processes import MARK, store_mark
from preprocess.workspace.ray_folder import make_ray_folder, ray_folder
from shared.command.cli import run_command
from shared.layout import StoreLayout, StoreRecord
from shared.schema import FeatureSpec
from shared.system.durable import json_bytes
from shared.system.locks import hold

DEAD = 9_999_999
HOST = os.uname().nodename


@pytest.fixture
def store(tmp_path) -> StoreLayout:
    """A store with a committed shard and index, and with everything that a killed run may leave."""
    layout = StoreLayout(tmp_path / "store")
    record = StoreRecord("1234-uuid", FeatureSpec(), "whisper", "de", "demo")
    kept = [layout.data, layout.quarantine, layout.index]
    for folder in (*kept, ray_folder(layout) / "session_1" / "logs"):
        folder.mkdir(parents=True)
    layout.record.write_bytes(json_bytes(record.as_dict()))
    for file in [*(folder / "train-00000-of-00002.parquet" for folder in kept), layout.root / "README.md"]:
        file.write_bytes(b"k" * 5_000)
    (ray_folder(layout) / "session_1" / "logs" / "raylet.out").write_bytes(b"x" * 9_000)
    (layout.partial / f"train-00001-of-00002.parquet.{HOST}-12-{DEAD}").write_bytes(b"x" * 50_000)
    (layout.partial / "index-train.parquet").write_bytes(b"x" * 100)
    return layout


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


def committed(store: StoreLayout) -> dict[str, bytes]:
    return {name: content for name, content in tree(store.root).items() if not name.startswith(str(store.partial))}


def call(*argv: object) -> int:
    return run_command(clean.main, [str(value) for value in argv])


@contextmanager
def orphan(store: StoreLayout):
    """A process that a dead run on the store left behind."""
    environment = os.environ | {MARK: store_mark(store.root, "1234-uuid")}
    process = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], env=environment,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    try:
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def test_everything_unfinished_goes_and_everything_committed_stays(store, capsys):
    before = committed(store)
    assert call("--store", store.root) == 0
    assert tree(store.root) == before
    assert not store.partial.exists()
    out, err = capsys.readouterr()
    assert err == ""
    assert [line.rsplit(" (", 1)[0] for line in out.splitlines()[:-1]] == [
        "removed file .partial/index-train.parquet",
        "removed folder .partial/ray",
        f"removed file .partial/train-00001-of-00002.parquet.{HOST}-12-{DEAD}",
    ]
    assert out.splitlines()[-1].startswith(f"{store.root}: removed ")


def test_a_dry_run_lists_the_same_with_the_same_sizes_and_touches_nothing(store, capsys):
    before = tree(store.root)
    assert call(store.root, "--dry-run") == 0
    assert tree(store.root) == before
    promised = capsys.readouterr().out
    assert call(store.root) == 0
    assert promised.replace("would remove", "removed") == capsys.readouterr().out


def test_a_second_call_finds_nothing(store, capsys):
    call(store.root)
    capsys.readouterr()
    assert call(store.root) == 0
    assert capsys.readouterr().out == f"{store.root}: nothing was left behind\n"


def test_orphaned_processes_are_named_by_a_dry_run_and_ended_by_a_real_one(store, capsys):
    with orphan(store) as process:
        assert call(store.root, "--dry-run") == 0
        assert f"would end process {process.pid}\n" in capsys.readouterr().out
        assert process.poll() is None
        assert call(store.root) == 0
        assert not psutil.pid_exists(process.pid)
        assert "ended 1 process" in capsys.readouterr().out


def test_the_short_link_to_rays_folder_goes_as_well(store, tmp_path):
    long_root = tmp_path / ("x" * 100)
    store.root.rename(long_root)
    layout = StoreLayout(long_root)
    link = make_ray_folder(layout)
    assert link.is_symlink()
    assert call(long_root) == 0
    assert not link.parent.exists()


def test_beside_a_live_run_nothing_is_removed_and_a_dry_run_lists_what_is_provably_dead(store, capsys):
    before = tree(store.root)
    with hold(store.root, "--store"), orphan(store) as process:
        assert call(store.root) == 1
        assert f"another run (process {os.getpid()}) works on {store.root}" in capsys.readouterr().err
        assert call(store.root, "--dry-run") == 0
        assert process.poll() is None
    listed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("would")]
    assert len(listed) == 1
    assert f"-{DEAD} (" in listed[0]
    assert tree(store.root) == before


@pytest.mark.parametrize("files", [[], ["valuable"], [".partial/valuable", "data/valuable"]])
def test_a_folder_that_is_no_store_is_refused_and_left_as_it_is(tmp_path, files, capsys):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("valuable")
    before = tree(tmp_path)
    assert call(tmp_path) == 1
    assert "is not a store" in capsys.readouterr().err
    assert tree(tmp_path) == before


def test_a_folder_that_is_missing_is_not_made(tmp_path, capsys):
    assert call(tmp_path / "missing") == 1
    assert "is not a store" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_store_the_usage_is_told(capsys):
    assert call() == 2
    assert "--store STORE" in capsys.readouterr().err


def test_a_folder_of_unfinished_bytes_that_is_a_link_is_not_followed(store, tmp_path, capsys):
    outside = tmp_path / "outside"
    store.partial.rename(outside)
    store.partial.symlink_to(outside)
    before = tree(outside)
    assert call(store.root) == 2
    assert "is a link" in capsys.readouterr().err
    assert tree(outside) == before


def test_what_could_not_be_removed_is_told_and_the_command_fails(store, capsys, monkeypatch):
    unlink = os.unlink

    def refuse(path, *, dir_fd=None):
        if dir_fd is not None:
            raise PermissionError(1, "Operation not permitted", path)
        unlink(path)

    monkeypatch.setattr(os, "unlink", refuse)
    assert call(store.root) == 1
    out, err = capsys.readouterr()
    assert "could not remove file .partial/index-train.parquet: Operation not permitted" in err
    assert f"-> remove {store.partial / 'index-train.parquet'} as its owner or root, then repeat the command" in err
    assert out == f"{store.root}: removed 0 B\n"
    assert store.partial.is_dir()
