"""`trainer.fetch`: a finished store on a local disk, checked, whatever happened before."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from shared.command import pace
from shared.command.cli import run_command
from shared.command.training_command import training_command
from shared.reading.verification import verify_store
from shared.storage.address import BucketAddress
from shared.storage.object_files import ObjectFiles
from shared.storage.opening import open_bucket
from shared.storage.posix_files import PosixFiles
from shared.storage.s3_bucket import S3Bucket
from tests.support.faulty_bucket import FaultyBucket
from tests.support.guides import DOCS, commands_of
from tests.support.s3_server import BUCKET, KEYS, SECRET, environment, s3_server
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


def flip(path):
    """Changes one bit in the middle of the file at *path*."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def fetch(store, to, *options):
    return run_command(main, ["--store", str(store), "--to", str(to), "--disk-reserve", "0", *options])


def is_whole(to, store=STORE):
    return contents(to) == contents(store) and not [check for check in verify_store(to) if check.problems]


def test_a_store_in_a_bucket_comes_whole_and_no_key_is_told_or_written(bucket, tmp_path, capfd):
    address, endpoint = bucket
    ((module, options),) = commands_of(
        "object-storage.md", {"s3://bucket/prefix": address, "/nvme/store": str(tmp_path / "to")}
    )
    assert module == "trainer.fetch"
    assert run_command(main, [*options, "--disk-reserve", "0"]) == 0
    assert is_whole(tmp_path / "to")
    told = capfd.readouterr()
    words = shlex.split(told.out.split("Next:")[1].replace("\\\n", " "))
    assert words[1:] == training_command(tmp_path / "to")[1:]
    assert "--model" in words
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not [
        word for word in (SECRET, "AKIDAKID", endpoint) if word in told.out + told.err or word.encode() in written
    ]


def test_keys_are_read_from_the_environment_only(tmp_path, monkeypatch, capfd):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(f"[default]\naws_access_key_id=A\naws_secret_access_key={SECRET}\n")
    (tmp_path / ".env").write_text(f"AWS_ACCESS_KEY_ID=A\nAWS_SECRET_ACCESS_KEY={SECRET}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shared.storage.s3_bucket.S3Bucket", partial(S3Bucket, retries=0, patience=1.0))
    nowhere = "http://127.0.0.1:9"
    with environment(nowhere, without=KEYS, HOME=str(tmp_path), AWS_METADATA_ENDPOINT=nowhere):
        assert fetch("s3://speech/german", tmp_path / "to") == 1
    assert "no keys were found" in capfd.readouterr().err


@pytest.mark.usefixtures("bucket")
def test_the_page_names_the_variables_that_lead_to_a_bucket():
    page = (DOCS / "object-storage.md").read_text(encoding="utf-8")
    assert set(re.findall(r"(AWS_\w+)=", page)) == {name for name in os.environ if name.startswith("AWS_")}


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
    flip(shard)
    assert fetch(STORE, to) == 1
    assert "not what was written" in capfd.readouterr().err
    assert not (to / "COMPLETE").exists()
    assert fetch(STORE, to) == 0
    assert is_whole(to)


def test_what_does_not_fit_is_refused_before_the_first_byte(tmp_path, capfd):
    assert fetch(STORE, tmp_path / "to", "--disk-budget", "1kB") == 3
    assert "nothing was copied" in capfd.readouterr().err
    assert not (tmp_path / "to").exists()


def test_what_a_killed_attempt_left_takes_no_room_from_the_next(tmp_path):
    to = tmp_path / "to"
    (to / ".partial").mkdir(parents=True)
    (to / ".partial" / "fetch-data-train-00001-of-00006.parquet").write_bytes(bytes(1_000_000))
    assert fetch(STORE, to, "--disk-budget", "200kB") == 0
    assert is_whole(to)


def test_a_folder_that_holds_other_things_is_refused_and_stays_as_it_is(tmp_path, capfd):
    (tmp_path / "README.md").write_text("my own")
    assert fetch(STORE, tmp_path) == 2
    assert "not empty and not a store: it holds README.md" in capfd.readouterr().err
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"README.md": "my own"}


def test_a_store_of_the_first_version_comes_as_it_is(tmp_path):
    assert fetch(STORE.with_name("store-v1"), tmp_path / "to") == 0
    assert contents(tmp_path / "to") == contents(STORE.with_name("store-v1"))


def test_the_cuts_of_long_recordings_come_along(tmp_path):
    store, to = tmp_path / "store", tmp_path / "to"
    shutil.copytree(STORE, store)
    (store / "cuts").mkdir()
    (store / "cuts" / "train.parquet").write_bytes(b"cuts")
    assert fetch(store, to) == 0
    assert is_whole(to, store)


@pytest.mark.parametrize("name", ["README.md", "settings.json", "provenance/train-00001-of-00006.json"])
@pytest.mark.parametrize("place", ["bucket", "folder"])
def test_of_what_has_no_checksum_of_the_store_the_sources_is_compared(request, tmp_path, capfd, place, name):
    store, to = request.getfixturevalue("bucket")[0] if place == "bucket" else STORE, tmp_path / "to"
    shutil.copytree(STORE, to)
    flip(to / name)
    assert fetch(store, to) == 1
    assert f"{name} differs from the one of {store}" in capfd.readouterr().err.replace("\n", "")
    assert not (to / "COMPLETE").exists()
    assert fetch(store, to) == 0
    assert (to / name).read_bytes() == (STORE / name).read_bytes()
    assert is_whole(to)


def test_without_a_terminal_lines_tell_how_far_it_is(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(pace, "TELL_SECONDS", 0.0)
    assert fetch(STORE, tmp_path / "to") == 0
    lines = capfd.readouterr().err.splitlines()
    assert [line for line in lines if re.fullmatch(r"copy: [\d.]+ k?B of 125 kB, about \S+ s left", line)]
    assert "check: 8 shards of 8 shards, about 0 s left" in lines


def test_the_list_of_processes_never_shows_a_key(bucket, tmp_path):
    command = [sys.executable, "-m", "trainer.fetch", "--store", bucket[0], "--to", str(tmp_path / "to")]
    with subprocess.Popen(
        [*command, "--disk-reserve", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        shown = set()
        while process.poll() is None:
            for line in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    shown.add(line.read_bytes())
    assert process.returncode == 0
    assert [line for line in shown if b"trainer.fetch" in line]
    assert not [line for line in shown if SECRET.encode() in line or b"AKIDAKID" in line]


def test_a_finished_copy_that_lacks_a_file_is_no_store_until_it_has_it(tmp_path, monkeypatch):
    to, complete = tmp_path / "to", []
    shutil.copytree(STORE, to)
    (to / "data" / "train-00001-of-00006.parquet").unlink()
    opened = PosixFiles.read_range

    def read_range(files, name, *places):
        if name.startswith("data/"):
            complete.append((to / "COMPLETE").exists())
        return opened(files, name, *places)

    monkeypatch.setattr(PosixFiles, "read_range", read_range)
    assert fetch(STORE, to) == 0
    assert complete == [False]
    assert is_whole(to)


def in_memory(*faults):
    """The store in a bucket that lists its provenance last, and answers with *faults*."""
    bucket = FaultyBucket()
    paths = [path for path in STORE.rglob("*") if path.is_file()]
    for path in sorted(paths, key=lambda path: "provenance" in path.parts):
        bucket.objects[path.relative_to(STORE).as_posix()] = path.read_bytes(), ""
    bucket.faults.extend(faults)
    return ObjectFiles(bucket, "s3://speech/german", sleep=lambda _: None)


def wrong_with_one_fault(to, monkeypatch, step):
    wrong = []
    for fault in ("busy", "short", "stale"):
        for place in range(0, 60, step):
            shutil.rmtree(to, ignore_errors=True)
            files = in_memory(*[""] * place, fault)
            monkeypatch.setattr("trainer.fetch.open_files", lambda _, files=files: files)
            if fetch("s3://speech/german", to) != 0 or not is_whole(to):
                wrong.append((fault, place))
    return wrong


def test_a_bad_answer_to_a_request_changes_nothing(tmp_path, monkeypatch):
    assert wrong_with_one_fault(tmp_path / "to", monkeypatch, 11) == []


@pytest.mark.campaign
def test_a_bad_answer_to_any_request_changes_nothing(tmp_path, monkeypatch):
    assert wrong_with_one_fault(tmp_path / "to", monkeypatch, 1) == []


def test_what_a_late_listing_lacks_is_asked_for(tmp_path, monkeypatch):
    listed = FaultyBucket.list
    monkeypatch.setattr(FaultyBucket, "list", lambda bucket, folder: iter(list(listed(bucket, folder))[:-1]))
    monkeypatch.setattr("trainer.fetch.open_files", lambda _: in_memory())
    assert fetch("s3://speech/german", tmp_path / "to") == 0
    assert is_whole(tmp_path / "to")


def wrong_after_kills(tmp_path, step):
    command = [sys.executable, "-m", "tests.support.killed_fetch", str(STORE), str(tmp_path / "to"), str(step)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kills, *wrong = done.stdout.splitlines()
    assert int(kills) > 100
    return wrong


def test_a_kill_leaves_no_store_or_a_whole_one_and_the_same_command_finishes_it(tmp_path):
    assert wrong_after_kills(tmp_path, 31) == []


@pytest.mark.campaign
def test_a_kill_at_any_step_leaves_no_store_or_a_whole_one_and_the_same_command_finishes_it(tmp_path):
    assert wrong_after_kills(tmp_path, 1) == []


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
    flip(shard)
    assert fetch(STORE, to) == 1
    assert not (to / "COMPLETE").exists()
    assert not shard.exists()
    assert fetch(STORE, to) == 0
    assert is_whole(to)
