"""A damaged store is never called done; `--repair` sets bad shards aside and makes them again, byte for byte."""

import errno
import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from preprocess import verify
from preprocess.planning.soundness import check_committed
from shared.command.cli import run_command
from shared.errors import ExitCode, StoreError
from shared.layout import StoreLayout
from shared.membership import is_damage
from shared.units import format_counted
from tests.support.inline_run import run_inline
from tests.support.samples import exchange_shards, wav, write_source
from tests.support.stores import contents

ROWS = [(wav(1_600 + 160 * n, seed=n), f"{n}.wav", f"Satz {n}") for n in range(8)]
BAD = (b"no sound" * 100, "noise.wav", "Satz")


@pytest.fixture(scope="module")
def made(tmp_path_factory, demo_model):
    """A source, and the options and contents of a finished store of it."""
    folder = tmp_path_factory.mktemp("repair")
    source = write_source(folder / "source/train.parquet", [*ROWS[:3], BAD, *ROWS[3:]]).parent
    with pytest.MonkeyPatch.context() as monkeypatch:
        options = ["--source", source, "--model", demo_model]
        assert run_inline(monkeypatch, *options, "--store", folder / "store") == ExitCode.DONE
    return folder, options


@pytest.fixture
def layout(made, tmp_path):
    return StoreLayout(shutil.copytree(made[0] / "store", tmp_path / "store"))


@pytest.fixture
def run(made, layout, monkeypatch):
    return lambda *more: run_inline(monkeypatch, *made[1], "--store", layout.root, *more)


def shard(layout, unit):
    return layout.shard("train", unit, 9)


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def flip_payload(layout):
    group = pq.read_metadata(shard(layout, 1)).row_group(0)
    column = group.column(pq.read_metadata(shard(layout, 1)).schema.names.index("log_mel"))
    flip(shard(layout, 1), column.data_page_offset + column.total_compressed_size - 1)


def copy_over(layout, swap=False):
    exchange_shards(shard(layout, 0), shard(layout, 1), swap=swap)


def unfinished(damage):
    """*damage* in a store that has lost its index and `COMPLETE`."""

    def both(layout):
        damage(layout)
        shutil.rmtree(layout.index)
        layout.complete.unlink()

    return both


DAMAGES = {
    "a payload": (flip_payload, 1),
    "cut off": (lambda layout: os.truncate(shard(layout, 1), 500), 1),
    "no Parquet": (lambda layout: shard(layout, 1).write_bytes(b"garbage"), 1),
    "between payloads": (lambda layout: flip(shard(layout, 1), -200), 1),
    "copied": (copy_over, 1),
    "swapped": (lambda layout: copy_over(layout, swap=True), 2),
    "copied, index and COMPLETE gone": (unfinished(copy_over), 1),
    "swapped, index and COMPLETE gone": (unfinished(lambda layout: copy_over(layout, swap=True)), 2),
    "quarantine gone": (lambda layout: layout.quarantined("train", 3, 9).unlink(), 1),
    "quarantine damaged": (lambda layout: layout.quarantined("train", 3, 9).write_bytes(b"garbage"), 1),
    "index": (lambda layout: flip(layout.index_of("train"), 100), 0),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_named_with_its_remedy_and_repaired_to_the_byte(layout, run, capsys, kind):
    expected, (damage, num_bad) = contents(layout.root), DAMAGES[kind]
    damage(layout)
    before = contents(layout.root)
    assert run() == ExitCode.FAILED
    shown = capsys.readouterr()
    assert "Done" not in shown.out
    assert "--repair" in shown.err
    assert contents(layout.root) == before
    assert run_command(verify.main, [str(layout.root)]) == ExitCode.FAILED
    assert "--repair" in capsys.readouterr().err
    assert run("--repair") == ExitCode.DONE
    assert f"repair: {format_counted(num_bad, 'shard')} to make again" in capsys.readouterr().out or not num_bad
    found = contents(layout.root)
    kept = {name for name in found if name.startswith("set-aside/data/")}
    assert len(kept) == num_bad
    assert {name: digest for name, digest in found.items() if not name.startswith("set-aside")} == expected
    assert {found[name] for name in kept} <= set(before.values())
    assert run() == ExitCode.DONE
    assert run_command(verify.main, [str(layout.root)]) == ExitCode.DONE


def test_a_sound_store_is_left_as_it_is(layout, run, capsys):
    before = contents(layout.root)
    assert run("--repair") == ExitCode.DONE
    assert "no shard is bad" in capsys.readouterr().out
    assert contents(layout.root) == before


def test_nothing_is_set_aside_where_the_source_is_another(layout, run, tmp_path):
    flip_payload(layout)
    before = contents(layout.root)
    other = write_source(tmp_path / "source/train.parquet", ROWS[:7]).parent
    assert run("--source", other, "--repair") == ExitCode.USAGE
    assert contents(layout.root) == before


def foreign(content):
    return json.dumps(json.loads(content) | {"uuid": "0" * 32}).encode()


def without_a_count(content):
    value = json.loads(content)
    del value["splits"]["train"]["num_bytes"]
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "spoil",
    [lambda _: b"", lambda content: content[:40], lambda _: b"{}", lambda _: b"\xff\0" * 99, foreign, without_a_count],
)
def test_a_bad_complete_is_set_aside_and_made_again(layout, run, capsys, spoil):
    expected = contents(layout.root)
    bad = spoil(layout.complete.read_bytes())
    layout.complete.write_bytes(bad)
    assert run() == ExitCode.FAILED
    shown = capsys.readouterr()
    assert "--repair" in shown.err
    assert "remove it" not in shown.err
    assert layout.complete.read_bytes() == bad
    assert run("--repair") == ExitCode.DONE
    assert (layout.set_aside / "COMPLETE").read_bytes() == bad
    found = contents(layout.root)
    assert {name: digest for name, digest in found.items() if not name.startswith("set-aside")} == expected
    assert run() == ExitCode.DONE


def test_a_folder_in_the_place_of_complete_is_set_aside(layout, run):
    layout.complete.unlink()
    layout.complete.mkdir()
    assert run() == ExitCode.FAILED
    assert run("--repair") == ExitCode.DONE
    assert (layout.set_aside / "COMPLETE").is_dir()


def test_a_bad_complete_stays_where_a_shard_cannot_be_repaired(layout, run, tmp_path):
    flip_payload(layout)
    layout.complete.write_bytes(b"")
    before = contents(layout.root)
    other = write_source(tmp_path / "source/train.parquet", ROWS[:7]).parent
    assert run("--source", other, "--repair") == ExitCode.USAGE
    assert contents(layout.root) == before


def test_what_was_set_aside_before_stays(layout, run):
    for content in (b"first", b"second"):
        shard(layout, 1).write_bytes(content)
        assert run("--repair") == ExitCode.DONE
    kept = layout.set_aside / "data"
    assert sorted(path.read_bytes() for path in kept.iterdir()) == [b"first", b"second"]


def test_what_was_set_aside_counts_in_the_budget(layout, run, capsys):
    shard(layout, 1).write_bytes(b"garbage")
    layout.set_aside.mkdir()
    (layout.set_aside / "large").write_bytes(bytes(300_000_000))
    assert run("--repair", "--disk-budget", "200MB", "--disk-reserve", "0") == ExitCode.RESOURCE_LIMIT
    assert "the disk budget is 200 MB" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["data", "quarantine"])
def test_a_shard_that_the_system_does_not_let_us_read_stays_where_it_is(layout, run, monkeypatch, capsys, name):
    def refuse(path, *given, **options):
        if str(path) == str(layout.root / name / "train-00003-of-00009.parquet"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path, *given, **options)

    attribute = "ParquetFile" if name == "data" else "read_table"
    read, before = getattr(pq, attribute), contents(layout.root)
    monkeypatch.setattr(pq, attribute, refuse)
    for options in ([], ["--repair"]):
        assert run(*options) == ExitCode.FAILED
        shown = capsys.readouterr().err
        assert "cannot be read" in shown
        assert "--repair" not in shown
    assert contents(layout.root) == before


def test_a_file_that_cannot_be_read_is_not_taken_for_damaged():
    assert not is_damage(PermissionError(errno.EACCES, "no"))
    assert not is_damage(OSError(errno.EIO, "Input/output error"))
    wrapped = StoreError("cannot be read")
    wrapped.__cause__ = OSError(errno.EMFILE, "too many")
    assert not is_damage(wrapped)
    assert is_damage(OSError("Page CRC mismatch"))
    assert is_damage(FileNotFoundError(errno.ENOENT, "gone"))
    assert is_damage(StoreError("fails its checksum"))


def test_the_record_of_the_store_is_not_changed_by_a_repair(layout, run):
    before = json.loads(layout.record.read_text())
    flip_payload(layout)
    assert run("--repair") == ExitCode.DONE
    assert json.loads(layout.record.read_text()) == before


def bytes_read():
    """By this process so far, of whatever kind, but through maps."""
    return int(Path("/proc/self/io").read_text().partition("rchar: ")[2].split()[0])


def test_of_a_finished_store_only_payloads_are_read_that_are_newer_than_complete(tmp_path, demo_model, monkeypatch):
    """970,064 rows are over a hundred gigabytes, and the answer is a second away."""
    source = write_source(
        tmp_path / "source/train.parquet", [(wav(320_000, seed=n), f"{n}.wav", "Satz") for n in range(6)]
    )
    options = ["--source", source.parent, "--model", demo_model, "--store", tmp_path / "store"]
    assert run_inline(monkeypatch, *options) == ExitCode.DONE
    layout, taken = StoreLayout(tmp_path / "store"), []

    def measured(job):
        before = bytes_read()
        check_committed(job)
        taken.append(bytes_read() - before)

    monkeypatch.setattr("preprocess.execution.whole_run.check_committed", measured)
    shards = sorted(layout.data.iterdir())
    size = shards[0].stat().st_size
    assert run_inline(monkeypatch, *options) == ExitCode.DONE
    os.utime(shards[1])
    assert run_inline(monkeypatch, *options) == ExitCode.DONE
    # pyarrow takes the last 64 KiB of a file for a footer before it knows better.
    assert taken[0] < len(shards) * 100_000 < len(shards) * size / 3
    assert size < taken[1] - taken[0] < 3 * size
