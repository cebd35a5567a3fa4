"""Where our code does something for a GPU: every function that asks for one, speaks to one, or hears of its memory."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRIES_A_GPU = ("trainer/check.py", "trainer/checking/")
"""`python -m trainer.check` is run on GPUs to try them, and each of its lines says what it found."""
_NAMES = {"is_cuda", "pin_memory", "OutOfMemoryError", "OutOfMemory", "NVMLError", "get_default_backend_for_device"}
_TEXTS = ("cuda", "nccl", "PYTORCH_CUDA_ALLOC_CONF", "libcublas", "nvidia.cublas")
"""How texts begin that name a device, a backend, a variable or a library; help and messages begin otherwise."""


def branches(root: Path = ROOT) -> dict[str, list[int]]:
    """Lines of each, by `trainer/model/device.py::choose_device`; `::` alone where it is in no function."""
    found: dict[str, list[int]] = {}
    for path in sorted(file for package in ("trainer", "shared") for file in (root / package).rglob("*.py")):
        name = str(path.relative_to(root))
        if not name.startswith(TRIES_A_GPU):
            for place, line in _of(ast.parse(path.read_text()), ""):
                found.setdefault(f"{name}::{place}", []).append(line)
    return found


def _of(node: ast.AST, place: str) -> Iterator[tuple[str, int]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef)):
            yield from _of(child, f"{place}.{child.name}".lstrip("."))
        elif isinstance(child, (ast.Import, ast.ImportFrom)) or _is_docstring(child):
            continue
        else:
            if _is_for_gpus(child):
                yield place, child.lineno  # type: ignore[attr-defined] # only expressions are
            yield from _of(child, place)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_gpus(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in _NAMES or ast.unparse(node) in {"torch.cuda", "torch.backends.cuda"}
    if isinstance(node, ast.Name):
        return node.id in _NAMES
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.startswith(_TEXTS) and " " not in node.value
    # `device.type != "cpu"` asks the same.
    return isinstance(node, ast.Compare) and any(ast.unparse(part) == "'cpu'" for part in node.comparators)
