"""What a finished run's exit status says."""

from collections import Counter
from types import SimpleNamespace

import pytest

from preprocess.run import _verdict
from preprocess.settings import RunSettings
from shared.errors import ExitCode
from shared.layout import StoreLayout

PLANS = [SimpleNamespace(num_rows=150), SimpleNamespace(num_rows=50)]


@pytest.mark.parametrize(
    ("allowed", "quarantined", "status"),
    [
        ("3", 3, ExitCode.DONE),
        ("3", 4, ExitCode.QUARANTINE_EXCEEDED),
        ("5%", 10, ExitCode.DONE),
        ("5%", 11, ExitCode.QUARANTINE_EXCEEDED),
    ],
)
def test_more_quarantined_rows_than_allowed_is_4_and_says_so(allowed, quarantined, status, tmp_path, capsys):
    job = SimpleNamespace(plans=PLANS, layout=StoreLayout(tmp_path))
    summary = SimpleNamespace(quarantined=Counter({"too_long": quarantined}))
    assert _verdict(job, RunSettings(max_quarantine=allowed), summary) == status
    assert (f"{quarantined} rows were quarantined" in capsys.readouterr().err) == (status != ExitCode.DONE)
