"""Where our code does something for a GPU: every function that asks for one, speaks to one, or hears of its memory."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRIES_A_GPU = ("trainer/check.py", "trainer/checking/")
"""`python -m trainer.check` is run on GPUs to try them, and each of its lines says what it found."""
_NAMES = {"is_cuda", "pin_memory", "OutOfMemoryError", "OutOfMemory", "NVMLError", "get_default_backend_for_device"}
_MODULES = ("torch.cuda", "torch.accelerator", "torch.backends.cud")
_TEXTS = ("cuda", "nccl", "PYTORCH_CUDA_ALLOC_CONF", "libcublas", "nvidia.cublas")
"""How texts begin that name a device, a backend, a variable or a library; help and messages begin otherwise."""


def branches(root: Path = ROOT) -> list[str]:
    """Each, as `trainer/model/device.py::choose_device`; what is in no function has nothing after `::`."""
    files = (file for package in ("trainer", "shared") for file in (root / package).rglob("*.py"))
    names = {str(file.relative_to(root)): file for file in files}
    return sorted(
        f"{name}::{place}"
        for name, file in names.items()
        if not name.startswith(TRIES_A_GPU)
        for place in found_in(file.read_text())
    )


def found_in(code: str) -> set[str]:
    """The functions of *code*, with their class, that do something for a GPU; "" for what is in none."""
    return set(_of(ast.parse(code), ""))


def _of(node: ast.AST, place: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _of(child, f"{place}.{child.name}".lstrip("."))
        elif not _is_docstring(child):
            if _is_for_gpus(child):
                yield place
            yield from _of(child, place)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_gpus(node: ast.AST) -> bool:
    return any(name in _NAMES or name.startswith(_MODULES) for name in _named(node)) or _is_device(node)


def _named(node: ast.AST) -> list[str]:
    """What *node* names: in full, and its last part alone."""
    match node:
        case ast.Attribute(attr=name):
            return [ast.unparse(node), name]
        case ast.Name(id=name):
            return [name]
        case ast.Import(names=names):
            return [each.name for each in names]
        case ast.ImportFrom(module=module, names=names):
            return [f"{module}.{each.name}" for each in names]
    return []


def _is_device(node: ast.AST) -> bool:
    match node:
        case ast.Constant(value=str(text)):
            return text.startswith(_TEXTS) and " " not in text
        case ast.Compare(comparators=parts):
            # `device.type != "cpu"` asks the same.
            return any(isinstance(part, ast.Constant) and part.value == "cpu" for part in parts)
    return False
