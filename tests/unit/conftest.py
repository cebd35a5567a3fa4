"""What tests of several parts of `preprocess` need."""

import pytest

import preprocess.job
from preprocess.forecast import sample_rows


@pytest.fixture
def quick_plans(monkeypatch):
    """Plans take their sample in this process; tests/unit/test_sampling.py shows that another one takes the same."""
    monkeypatch.setattr(preprocess.job, "sample_apart", sample_rows)
