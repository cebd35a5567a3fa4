"""What tests of several parts of the trainer need."""

import pytest
import torch


@pytest.fixture(scope="module")
def one_thread():
    """Computes with one thread, as every process of the project does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
