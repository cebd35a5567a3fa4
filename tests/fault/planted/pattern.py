"""Python code as a pattern, compared as a tree: formatting, quotes and comments do not matter.

In a pattern `...` stands for any one expression, any arguments or elements, or any statements; `_1` to `_9` for one
expression or statement each, the same one where the number comes again. In what replaces it they are what was found:
the dots in their order. `f(..., key=True)` also takes other keywords; `f(key=True)` takes this one alone.
An f-string is found as a whole: where its parts stand Python 3.11 does not say.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

Held = tuple[tuple[str, tuple[ast.AST, ...]], ...]
"""What dots and numbered holes were found to be, in the order of the pattern."""
Found = tuple[list[ast.AST], Held]
"""One expression, or statements that follow each other, and what the pattern's holes are there."""

_DOTS = "..."


def parsed(old: str, new: str) -> tuple[list[ast.AST], list[ast.AST]]:
    """Both as one expression each, or else as statements; raises SyntaxError."""
    before, after = ast.parse(old).body, ast.parse(new).body
    if all(len(side) == 1 and isinstance(side[0], ast.Expr) for side in (before, after)):
        return [before[0].value], [after[0].value]
    return list(before), list(after)


def find(pattern: Sequence[ast.AST], tree: ast.AST) -> Iterator[Found]:
    """Every place within *tree* that *pattern* fits."""
    if isinstance(tree, ast.JoinedStr):
        spots: Iterator[list[ast.AST]] = iter([[tree]])
    elif isinstance(pattern[0], ast.stmt):
        spots = _runs(tree)
    else:
        spots = iter([[tree]] if isinstance(tree, ast.expr) else [])
    for spot in spots:
        if (held := next(_several(pattern, spot, ()), None)) is not None:
            yield spot, held
    if not isinstance(tree, ast.JoinedStr):
        for child in ast.iter_child_nodes(tree):
            yield from find(pattern, child)


def edited(source: str, changes: Sequence[tuple[Found, Sequence[ast.AST]]]) -> str:
    """*source* with what was found replaced; raises ValueError where that cannot be written or is the same."""
    text = source.encode()
    starts = [0, *(end.end() for end in re.finditer(b"\n", text))]
    pieces = []
    for (nodes, held), new in changes:
        first, last = nodes[0], nodes[-1]
        begin, end = starts[first.lineno - 1] + first.col_offset, starts[last.end_lineno - 1] + last.end_col_offset
        if text.startswith(b"elif", begin):
            raise ValueError("an elif cannot be replaced, but what it asks can")
        piece = _written(_filled(new, held), first)
        if piece == _written(nodes, first):
            raise ValueError("it changes nothing")
        pieces.append((begin, end, piece.encode()))
    pieces.sort(reverse=True)
    if any(before[1] > after[0] for after, before in pairwise(pieces)):
        raise ValueError("two of its changes overlap")
    for begin, end, piece in pieces:
        text = text[:begin] + piece + text[end:]
    return text.decode()


def _runs(tree: ast.AST) -> Iterator[list[ast.AST]]:
    for _, block in ast.iter_fields(tree):
        if isinstance(block, list) and block and isinstance(block[0], ast.stmt):
            yield from (block[start:stop] for start in range(len(block)) for stop in range(start + 1, len(block) + 1))


def _hole(node: object) -> str:
    bare = node.value if isinstance(node, ast.Expr) else node
    if isinstance(bare, ast.Constant) and bare.value is ...:
        return _DOTS
    return bare.id if isinstance(bare, ast.Name) and re.fullmatch(r"_[1-9]", bare.id) else ""


def _fits(pattern: Any, node: Any, held: Held) -> Iterator[Held]:
    if isinstance(pattern, list):
        yield from _several(pattern, node, held)
    elif name := _hole(pattern):
        if all(_same(node, earlier[0]) for known, earlier in held if known == name != _DOTS):
            yield (*held, (name, (node,)))
    elif type(pattern) is type(node):
        if isinstance(pattern, ast.Call):
            yield from _call_fits(pattern, node, held)
        elif isinstance(pattern, ast.AST):
            fields = [(getattr(pattern, name), getattr(node, name)) for name in pattern._fields]
            yield from _all_fit(fields, held)
        elif pattern == node:
            yield held


def _all_fit(pairs: Sequence[tuple[Any, Any]], held: Held) -> Iterator[Held]:
    if not pairs:
        yield held
        return
    for found in _fits(*pairs[0], held):
        yield from _all_fit(pairs[1:], found)


def _several(patterns: Sequence[Any], nodes: Sequence[Any], held: Held) -> Iterator[Held]:
    if not patterns:
        if not nodes:
            yield held
    elif _hole(patterns[0]) == _DOTS:
        for taken in range(len(nodes), -1, -1):
            yield from _several(patterns[1:], nodes[taken:], (*held, (_DOTS, tuple(nodes[:taken]))))
    elif nodes:
        for found in _fits(patterns[0], nodes[0], held):
            yield from _several(patterns[1:], nodes[1:], found)


def _call_fits(pattern: ast.Call, node: ast.Call, held: Held) -> Iterator[Held]:
    # Keywords come in any order; what is not asked for is left to the dots.
    asked = {keyword.arg: keyword for keyword in pattern.keywords}
    given = {keyword.arg: keyword for keyword in node.keywords}
    others = [keyword for keyword in node.keywords if keyword.arg not in asked]
    if asked.keys() <= given.keys():
        named = [(asked[name], given[name]) for name in asked]
        yield from _all_fit([(pattern.func, node.func), (pattern.args, [*node.args, *others]), *named], held)


def _same(one: ast.AST, other: ast.AST) -> bool:
    return ast.dump(one) == ast.dump(other)


class _Filling(ast.NodeTransformer):
    """Puts what was held in the place of dots and holes."""

    def __init__(self, held: Held) -> None:
        self.dots = iter([nodes for name, nodes in held if name == _DOTS])
        self.named = {name: nodes for name, nodes in held if name != _DOTS}

    def visit(self, node: ast.AST) -> Any:
        name = _hole(node)
        if not name:
            return super().visit(node)
        nodes = next(self.dots, None) if name == _DOTS else self.named.get(name)
        if nodes is None:
            raise ValueError(f"{name} is nothing that was found")
        return nodes[0] if len(nodes) == 1 else list(nodes)

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        keywords = [argument for argument in node.args if isinstance(argument, ast.keyword)]
        node.args = [argument for argument in node.args if not isinstance(argument, ast.keyword)]
        node.keywords = [*keywords, *node.keywords]
        return node


def _filled(new: Sequence[ast.AST], held: Held) -> list[ast.AST]:
    around = ast.Module(body=list(new), type_ignores=[])
    return _Filling(held).visit(around).body


def _written(nodes: Sequence[ast.AST], first: ast.AST) -> str:
    # An expression in parentheses fits everywhere.
    if isinstance(first, ast.expr):
        return f"({ast.unparse(nodes[0])})"
    return "\n".join(ast.unparse(node) for node in nodes).replace("\n", "\n" + " " * first.col_offset)
