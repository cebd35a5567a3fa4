"""`trainer.fetch`: a finished store on a local disk, checked, whatever happened before."""

import shutil
from pathlib import Path

import pytest

from shared.command.cli import run_command
from shared.reading.verification import verify_store
from shared.storage.address import BucketAddress
from shared.storage.opening import open_bucket
from tests.support.s3_server import BUCKET, SECRET, s3_server
from tests.support.stores import contents
from trainer.fetch import main

STORE = Path(__file__).parents[1] / "fixtures" / "store-v2"


@pytest.fixture(scope="module")
def bucket():
    with s3_server() as endpoint:
        files = open_bucket(BucketAddress(BUCKET, "german"))
        for path in sorted(path for path in STORE.rglob("*") if path.is_file()):
            files.create(path.relative_to(STORE).as_posix(), path)
        yield "s3://speech/german", endpoint.removeprefix("http://")


def fetch(store, to, *options):
    return run_command(main, ["--store", str(store), "--to", str(to), "--disk-reserve", "0", *options])


def is_whole(to):
    copied = {name: digest for name, digest in contents(to).items() if name != ".partial"}
    return copied == contents(STORE) and not [check for check in verify_store(to) if check.problems]


def test_a_store_in_a_bucket_comes_whole_and_no_key_is_told_or_written(bucket, tmp_path, capfd):
    address, endpoint = bucket
    assert fetch(address, tmp_path / "to") == 0
    assert is_whole(tmp_path / "to")
    told = capfd.readouterr()
    assert f"trainer.train --store {tmp_path / 'to'}" in told.out.replace(" \\\n     ", "")
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not [
        word for word in (SECRET, "AKIDAKID", endpoint) if word in told.out + told.err or word.encode() in written
    ]


def test_what_lies_there_is_not_copied_again_and_what_was_cut_off_is(tmp_path, capfd):
    to = tmp_path / "to"
    shutil.copytree(STORE, to)
    (to / "COMPLETE").unlink()
    shard = to / "data" / "train-00001-of-00006.parquet"
    shard.write_bytes(shard.read_bytes()[:-9])
    (to / ".partial").mkdir(exist_ok=True)
    (to / ".partial" / "fetch-data-train-00001-of-00006.parquet").write_bytes(b"killed")
    assert fetch(STORE, to) == 0
    assert is_whole(to)
    assert ": 1 file," in capfd.readouterr().out


def test_a_flipped_byte_is_found_before_there_is_a_store_and_the_next_attempt_mends_it(tmp_path, capfd):
    to = tmp_path / "to"
    shutil.copytree(STORE, to)
    (to / "COMPLETE").unlink()
    shard = to / "data" / "train-00002-of-00006.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert fetch(STORE, to) == 1
    assert "not what was written" in capfd.readouterr().err
    assert not (to / "COMPLETE").exists()
    assert fetch(STORE, to) == 0
    assert is_whole(to)


def test_what_does_not_fit_is_refused_before_the_first_byte(tmp_path, capfd):
    assert fetch(STORE, tmp_path / "to", "--disk-budget", "1kB") == 3
    assert "nothing was copied" in capfd.readouterr().err
    assert not (tmp_path / "to").exists()


def test_an_unfinished_store_or_another_one_in_the_way_is_refused(tmp_path, capfd):
    unfinished, to = tmp_path / "unfinished", tmp_path / "to"
    shutil.copytree(STORE, unfinished)
    (unfinished / "COMPLETE").unlink()
    assert fetch(unfinished, to) == 1
    assert "no finished store" in capfd.readouterr().err
    assert fetch(STORE, STORE) == 2
    assert "is the store itself" in capfd.readouterr().err
    to.mkdir()
    (to / "store.json").write_text("{}")
    assert fetch(STORE, to) == 1
    assert "another store" in capfd.readouterr().err
    assert (to / "store.json").read_text() == "{}"


def test_a_shard_that_goes_bad_in_a_finished_copy_takes_complete_with_it(tmp_path):
    to = tmp_path / "to"
    assert fetch(STORE, to) == 0
    shard = to / "data" / "train-00002-of-00006.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert fetch(STORE, to) == 1
    assert not (to / "COMPLETE").exists()
    assert not shard.exists()
    assert fetch(STORE, to) == 0
    assert is_whole(to)
