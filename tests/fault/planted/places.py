"""Where something of a name stands, found by the syntax tree: files may move and be reformatted."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A function, class, assignment or module: its *node* in *file*, relative to the tree's root, of text *source*."""

    file: Path
    node: ast.AST
    source: str
    name: str


class Places:
    """All that has a name in *folders* of the tree in *root*, each file read and parsed once.

    Names are `function`, `Class.method`, `NAME` or, for a module, nothing; before it may stand a folder or module that
    it lies in, as `trainer:kind` or `sensors:`.
    """

    def __init__(self, root: Path, *folders: str) -> None:
        self._named: dict[str, list[Place]] = {}
        for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
            source = path.read_text()
            tree = ast.parse(source)
            for name, node in (("", tree), *_named(tree, "")):
                self._named.setdefault(name, []).append(Place(path.relative_to(root), node, source, name))

    def called(self, name: str) -> list[Place]:
        """All that are called so."""
        around, _, own = name.rpartition(":")
        return [place for place in self._named.get(own, []) if around in ("", *place.file.with_suffix("").parts)]

    def functions(self) -> Iterator[Place]:
        """Every function and method."""
        for places in self._named.values():
            yield from (place for place in places if isinstance(place.node, ast.FunctionDef))


def _named(tree: ast.AST, around: str) -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield around + node.name, node
            yield from _named(node, f"{around}{node.name}.")
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not isinstance(tree, ast.FunctionDef):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((around + target.id, node) for target in targets if isinstance(target, ast.Name))
