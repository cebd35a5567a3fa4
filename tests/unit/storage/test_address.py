from pathlib import Path

import pytest

from shared.errors import UsageError
from shared.storage.address import BucketAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://speech/german/v1", BucketAddress("speech", "german/v1")),
        ("s3://speech/german/", BucketAddress("speech", "german")),
        ("s3://speech", BucketAddress("speech", "")),
        ("/nvme/store", Path("/nvme/store")),
        ("s3/store", Path("s3/store")),
    ],
)
def test_an_address_is_a_folder_or_a_bucket_with_a_prefix(text, address):
    assert parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["s3://", "s3:///a", "s3://B/a", "s3://ab/a", "s3://a..b/c", "s3://speech/a//b", "s3://speech/../b", "s3://speech/ü",
     "s3://speech/a b", "gs://speech/a", "https://host/speech", "s3://speech/a#b"],
)  # fmt: skip
def test_what_cannot_be_one_is_refused_with_an_example(text):
    with pytest.raises(UsageError, match=r"s3://bucket/prefix"):
        parse_address(text)


@pytest.mark.parametrize("text", ["s3://AKID:geheim@speech/a", "s3://speech/a?secret=geheim", "s4://AKID:geheim@b"])
def test_a_key_in_an_address_is_refused_and_not_repeated(text):
    with pytest.raises(UsageError) as error:
        parse_address(text)
    assert "geheim" not in str(error.value)
