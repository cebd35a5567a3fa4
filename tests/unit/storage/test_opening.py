import sys

import pytest

from shared.errors import UsageError
from shared.storage.address import BucketAddress
from shared.storage.opening import open_files


def test_where_obstore_is_missing_the_line_that_installs_it_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, "shared.storage.s3_bucket", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(UsageError, match=r"s3://speech/german needs obstore.*\n.*pip install .*\[s3\]"):
        open_files(BucketAddress("speech", "german"))
