"""The table of `tests/gpu/README.md` names every place of the code that is for GPUs, and what stands in for one."""

import ast
import re

import pytest

from tests.support.branches import ROOT, branches, found_in

README = ROOT / "tests" / "gpu" / "README.md"
MOST_REMAINING = 10


def rows():
    """Place and cells of each line of the table."""
    lines = re.findall(r"^\| `((?:trainer|shared)/[^`]+)` \| (.*) \| (.*) \|$", README.read_text(), re.MULTILINE)
    return {place: (on_gpu, stand_in) for place, on_gpu, stand_in in lines}


def names_of_tests():
    """The names of all tests."""
    trees = (ast.parse(path.read_text()) for path in (ROOT / "tests").rglob("test_*.py"))
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_place_for_gpus_stands_in_the_table_once_and_no_other_does():
    lines = [line for line in README.read_text().splitlines() if line.startswith(("| `trainer/", "| `shared/"))]
    assert len(lines) == len(rows())
    assert sorted(rows()) == sorted(branches())


def test_each_names_what_runs_it_on_a_gpu_and_tests_that_exist():
    known = names_of_tests()
    for place, (on_gpu, stand_in) in rows().items():
        named = re.findall(r"`(test_\w+)`", stand_in)
        assert on_gpu.strip(), place
        assert named, place
        assert not set(named) - known, place


def test_what_only_a_gpu_can_tell_fits_on_ten_lines():
    remaining = README.read_text().partition("### What remains")[2]
    lines = [line for line in remaining.splitlines() if line.strip()]
    assert 1 <= len(lines) - 1 <= MOST_REMAINING
    assert all(re.match(r"\d+\. ", line) for line in lines[1:])


@pytest.mark.parametrize(
    "code",
    [
        "if device.type == 'cuda': pass",
        "if device.type != 'cpu': pass",
        "if 'cuda' in str(device): pass",
        "torch.cuda.synchronize()",
        "from torch import cuda",
        "from torch.cuda import is_available",
        "import torch.cuda as gpu",
        "torch.accelerator.is_available()",
        "x = torch.zeros(3, device='cuda:1')",
        "name = f'cuda:{number}'",
        "if tensor.is_cuda: pass",
        "if self.ranks.is_cuda: pass",
        "try: pass\nexcept torch.OutOfMemoryError: pass",
        "tensor.pin_memory()",
        "backend = 'nccl' if gpus else 'gloo'",
        "match device.type:\n    case 'cuda': pass",
        "torch.backends.cudnn.benchmark = True",
        "async def f(): torch.cuda.synchronize()",
    ],
)
def test_what_is_for_gpus_is_seen(code):
    assert len(found_in(code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        "'''On cuda: faster.'''",
        "x = 'cuda is a word here'",
        "device = torch.device('cpu')",
        "half(device)",
        "import torch",
    ],
)
def test_what_is_not_is_not(code):
    assert not found_in(code)
