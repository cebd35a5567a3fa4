"""torch's allocator lets a GPU's segments grow, unless the user has said something of it under either of its names."""

import importlib
import os

import pytest

import trainer

OLD, NEW = "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"
OURS, THEIRS = "expandable_segments:True", "max_split_size_mb:64"


@pytest.mark.parametrize(
    ("said", "holds"), [({}, {NEW: OURS}), ({NEW: THEIRS}, {NEW: THEIRS}), ({OLD: THEIRS}, {OLD: THEIRS})]
)
def test_segments_grow_where_nobody_says_otherwise(said, holds, monkeypatch):
    for name in (OLD, NEW):
        monkeypatch.setenv(name, said.get(name, ""))
        if name not in said:
            del os.environ[name]
    importlib.reload(trainer)
    assert {name: os.environ[name] for name in (OLD, NEW) if name in os.environ} == holds
