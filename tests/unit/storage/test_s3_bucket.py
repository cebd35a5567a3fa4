"""Against a server that speaks S3."""

import traceback
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from shared.errors import StorageError, UsageError
from shared.storage.address import BucketAddress
from shared.storage.files import FileEntry
from shared.storage.object_files import ObjectFiles
from shared.storage.opening import open_bucket
from shared.storage.s3_bucket import S3Bucket
from tests.support.s3_server import BUCKET, KEYS, SECRET, environment, s3_server


@pytest.fixture(scope="module")
def endpoint():
    with s3_server() as address:
        yield address


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "shard"
    path.write_bytes(b"shard" * 1000)
    return path


def impatient(bucket=BUCKET, prefix="x", sleep=lambda _: None):
    address = BucketAddress(bucket, prefix)
    return ObjectFiles(S3Bucket(address, retries=0, patience=1.0), str(address), sleep=sleep)


@pytest.mark.usefixtures("endpoint")
def test_a_file_is_created_once_read_listed_replaced_and_removed(sealed, tmp_path):
    files = open_bucket(BucketAddress(BUCKET, "german/v1"))
    files.probe()
    assert files.create("data/a", sealed)
    assert not files.create("data/a", sealed)
    assert files.read_range("data/a", 3, 12) == b"rdshardsh"
    assert list(files.list()) == list(files.list("data")) == [FileEntry("data/a", 5000)]
    (tmp_path / "empty").touch()
    with pytest.raises(StorageError, match="s3://speech/german/v1/data/a exists and is not what"):
        files.create("data/a", tmp_path / "empty")
    files.replace("data/a", tmp_path / "empty")
    assert (files.size("data/a"), files.read_range("data/a", 0, 0)) == (0, b"")
    files.delete("data/a")
    files.delete("data/a")
    assert files.size("data/a") is None


@pytest.mark.usefixtures("endpoint")
def test_of_eight_who_create_one_name_one_wins(sealed):
    for number in range(5):
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda _, n=number: impatient().create(f"race-{n}", sealed), range(8)))
        assert won.count(True) == 1


class Ignorant(BaseHTTPRequestHandler):
    """A server that takes every PUT, whatever its conditions."""

    protocol_version, sizes = "HTTP/1.1", {}

    def do_PUT(self):
        self.sizes[self.path] = len(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(200, 0)

    def do_HEAD(self):
        self._answer(200 if self.path in self.sizes else 404, self.sizes.get(self.path, 0))

    def do_DELETE(self):
        self.sizes.pop(self.path, None)
        self._answer(204, 0)

    def _answer(self, status, size):
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Sat, 28 Nov 2026 10:00:00 GMT")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_server_that_ignores_conditions_is_refused_by_name():
    with ThreadingHTTPServer(("127.0.0.1", 0), Ignorant) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            with (
                environment(f"http://127.0.0.1:{server.server_port}"),
                pytest.raises(StorageError, match=r"the server of s3://speech/x ignores conditions.*\n.*If-None-Match"),
            ):
                impatient().probe()
        finally:
            server.shutdown()
    assert not Ignorant.sizes


@pytest.mark.usefixtures("endpoint")
def test_no_error_shows_endpoint_or_keys_not_even_in_a_traceback(sealed):
    with pytest.raises(StorageError, match=r"s3://nobody/x/a.*404") as no_bucket:
        impatient("nobody").replace("a", sealed)
    with (
        environment("http://127.0.0.1:9"),
        pytest.raises(StorageError, match="did not answer") as no_server,
    ):
        impatient().size("a")
    for error in (no_bucket, no_server):
        told = "".join(traceback.format_exception(error.value))
        assert error.value.remedy
        assert not [word for word in ("127.0.0.1", SECRET, "AKIDAKID") if word in told]


def test_without_keys_it_is_said_at_once_that_there_are_none():
    nowhere, waits = "http://127.0.0.1:9", []
    with (
        environment(nowhere, without=KEYS, AWS_METADATA_ENDPOINT=nowhere),
        pytest.raises(StorageError, match=r"s3://speech/x/a: no keys were found\n.*AWS_ACCESS_KEY_ID"),
    ):
        impatient(sleep=waits.append).size("a")
    assert waits == []


def test_half_a_key_is_told_before_anything_is_asked():
    with (
        environment("http://127.0.0.1:9", without=KEYS[:1]),
        pytest.raises(UsageError, match=r"do not belong together\n.*AWS_ACCESS_KEY_ID") as error,
    ):
        impatient()
    assert SECRET not in "".join(traceback.format_exception(error.value))


@pytest.mark.parametrize("endpoint", ["127.0.0.1:9", "geheim:// geheim", "http://127.0.0.1:9 ", "https://"])
def test_an_endpoint_that_is_no_address_is_told_and_not_repeated(endpoint):
    with environment(endpoint), pytest.raises(UsageError, match="AWS_ENDPOINT_URL is no address") as error:
        impatient()
    assert "geheim" not in str(error.value)
