"""Every file that a run commits survives a power cut; and each way to get that wrong would be noticed here."""

import pytest

from tests.fault.commit_order import NAMING, problems


@pytest.fixture
def calls(stage):
    return list(stage.undisturbed.calls)


@pytest.fixture
def store(stage):
    return str(stage.folder / "undisturbed")


def at(calls, name, text):
    """Where the first call of *name* on *text* stands."""
    return next(number for number, call in enumerate(calls) if call.name == name and text in call.arguments)


def test_every_committed_file_is_written_synced_named_and_its_folder_synced_in_this_order(calls, store):
    assert problems(calls, store) == []


def test_all_kinds_of_files_are_among_those_that_are_looked_at(calls):
    names = [call.last_path.rpartition("undisturbed/")[2] for call in calls if call.name in NAMING]
    assert names[:1] == ["store.json"]
    assert names[-2:] == ["index/train.parquet", "COMPLETE"]
    assert {"data/train-00000-of-00002.parquet", "quarantine/train-00000-of-00002.parquet"} <= set(names)


def test_quarantined_rows_are_durable_before_their_shard_is_named(calls):
    quarantined = at(calls, "rename", "/quarantine/train-00000")
    assert at(calls[quarantined:], "fsync", "/quarantine>") < at(calls[quarantined:], "link", "/data/train-00000")


@pytest.mark.parametrize(
    "file", ["/train-00000", "/quarantine-train-00000", "/index-train", "/COMPLETE", "/store.json"]
)
def test_a_missing_fsync_of_a_file_would_be_noticed(calls, store, file):
    del calls[at(calls, "fsync", f".partial{file}")]
    assert len(problems(calls, store)) == 1


@pytest.mark.parametrize("folder", ["/data>", "/quarantine>", "/index>"])
def test_a_missing_fsync_of_a_folder_would_be_noticed(calls, store, folder):
    first = next(number for number, call in enumerate(calls) if call.name in NAMING and folder[:-1] in call.last_path)
    del calls[first + at(calls[first:], "fsync", folder)]
    assert len(problems(calls, store)) == 1


def test_a_shard_that_is_named_too_early_would_be_noticed(calls, store):
    early = calls.pop(at(calls, "link", "/data/train-00001"))
    calls.insert(at(calls, "write", ".partial/train-00001"), early)
    assert problems(calls, store) != []
