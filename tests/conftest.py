"""Fixtures that many tests share: real German speech and a tiny model, made once a session."""

from pathlib import Path

import pytest

from preprocess.demo.corpus import build_corpus
from preprocess.demo.model import build_model


@pytest.fixture(scope="session")
def demo_corpus(tmp_path_factory) -> Path:
    """A data set in the Hub's Parquet layout: 48 train and 12 test clips, some of them too long for Whisper."""
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    build_corpus(folder, train_clips=48, test_clips=12)
    return folder


@pytest.fixture(scope="session")
def demo_model(tmp_path_factory) -> Path:
    """A tiny Whisper model's folder with 80 mel bins and the real special tokens."""
    folder = tmp_path_factory.mktemp("demo") / "model"
    build_model(folder)
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """Computes with one thread, as every process of the project does."""
    import torch  # noqa: PLC0415 - two seconds that most tests need not pay

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
