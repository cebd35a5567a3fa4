"""An object is what was to be written, or there is an error; whatever a server answers."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import StorageError, StoreError
from shared.storage.files import digest_of
from shared.storage.object_files import WAITS, ObjectFiles
from tests.support.faulty_bucket import FAULTS, FaultyBucket

SHARD = b"shard" * 100


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    path = tmp_path_factory.mktemp("sealed") / "shard"
    path.write_bytes(SHARD)
    return path


def files(bucket):
    return ObjectFiles(bucket, "s3://speech/german", sleep=lambda _: None)


@given(faults=st.lists(st.sampled_from(("", *FAULTS)), max_size=8))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_lost_or_answered_twice_the_object_is_whole_or_there_is_a_remedy(sealed, faults):
    bucket = FaultyBucket(faults)
    # Longer misfortune than five attempts may end in an error; what is there afterwards is whole all the same.
    with suppress(StorageError) if len(faults) > len(WAITS) else nullcontext():
        files(bucket).create("data/a", sealed)
        assert bucket.objects["data/a"][0] == SHARD
    assert bucket.objects.get("data/a", (SHARD,))[0] == SHARD
    assert bucket.writes.count("data/a") <= 1


@given(faults=st.lists(st.sampled_from(("", *FAULTS)), max_size=4))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_four_bad_answers_in_a_row_stop_nothing(sealed, faults):
    bucket = FaultyBucket()
    again = files(bucket)
    again.create("data/a", sealed)

    def unlucky(request):
        bucket.faults = deque(faults)
        answer = request()
        bucket.faults.clear()
        return answer

    assert not unlucky(lambda: again.create("data/a", sealed))
    assert unlucky(lambda: again.read_range("data/a", 3, 400)) == SHARD[3:400]
    assert unlucky(lambda: again.size("data/a")) == len(SHARD)
    unlucky(lambda: again.replace("COMPLETE", sealed))
    unlucky(lambda: again.delete("data/a"))
    assert [entry.name for entry in again.list()] == ["COMPLETE"]


@pytest.mark.parametrize("digest", ["", "0" * 32])
@pytest.mark.parametrize("there", [SHARD[:-1], SHARD[:-1] + b"?"])
def test_a_loser_that_differs_is_an_error_and_changes_nothing(sealed, there, digest):
    bucket = FaultyBucket()
    bucket.objects["data/a"] = there, digest
    with pytest.raises(StorageError, match="data/a exists and is not what was to be written"):
        files(bucket).create("data/a", sealed)
    assert bucket.objects["data/a"][0] == there


def test_an_equal_object_of_another_program_is_read_and_believed(sealed):
    bucket = FaultyBucket()
    bucket.objects["data/a"] = SHARD, ""
    assert not files(bucket).create("data/a", sealed)


@pytest.mark.parametrize("noted", ["", "0" * 32])
def test_a_digest_is_the_writers_note_or_else_of_all_bytes(noted):
    bucket = FaultyBucket(["short"])
    bucket.objects["README.md"] = SHARD, noted
    assert files(bucket).digest("README.md") == (noted or digest_of(memoryview(SHARD)))
    assert files(bucket).digest("none") == ""


def test_a_409_of_a_race_after_which_nothing_is_there_is_tried_again(sealed):
    bucket = FaultyBucket(["conflict", "", "conflict"])
    assert files(bucket).create("data/a", sealed)
    assert bucket.objects["data/a"][0] == SHARD


def test_a_server_that_is_down_is_told_with_the_name_and_what_to_do(sealed):
    bucket = FaultyBucket(["busy"] * 100)
    with pytest.raises(StorageError, match=r"s3://speech/german/data/a: the server answered 503\n.*repeat the command"):
        files(bucket).create("data/a", sealed)


def test_a_stale_listing_lacks_a_name_that_its_size_shows(sealed):
    bucket = FaultyBucket()
    files(bucket).create("data/a", sealed)
    bucket.faults.append("stale")
    assert list(files(bucket).list()) == []
    assert files(bucket).size("data/a") == len(SHARD)
    assert files(bucket).size("data/b") is None


def test_more_than_there_is_cannot_be_read(sealed):
    bucket = FaultyBucket()
    files(bucket).create("data/a", sealed)
    with pytest.raises(StoreError, match="data/a has 500 bytes, 501 were expected"):
        files(bucket).read_range("data/a", 0, 501)


@pytest.mark.parametrize("name", ["../a", "data/../a", "/a", "data//a", "", "."])
def test_no_name_leaves_the_store(sealed, name):
    bucket = FaultyBucket()
    with pytest.raises(StoreError, match="no name of a file"):
        files(bucket).create(name, sealed)
    assert not bucket.objects


def test_of_eight_who_create_one_name_one_wins(sealed):
    for _ in range(5):
        bucket = FaultyBucket()
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda one: one.create("data/a", sealed), [files(bucket) for _ in range(8)]))
        assert won.count(True) == 1


@given(faults=st.lists(st.sampled_from(("", "busy", "lost", "conflict", "taken")), max_size=4))
@settings(max_examples=100, deadline=None)
def test_the_probe_passes_who_honours_conditions_and_leaves_nothing(faults):
    bucket = FaultyBucket(faults)
    files(bucket).probe()
    assert not bucket.objects


@given(faults=st.lists(st.sampled_from(("", "busy", "lost")), max_size=4))
@settings(max_examples=100, deadline=None)
def test_the_probe_refuses_who_ignores_conditions_by_name(faults):
    bucket = FaultyBucket(faults, conditions=False)
    with pytest.raises(StorageError, match=r"s3://speech/german ignores conditions.*\n.*If-None-Match"):
        files(bucket).probe()
