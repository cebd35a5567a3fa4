"""What messages tell a reader to type exists: every option and every `python -m` command in a string of the source."""

import ast
import contextlib
import importlib
import io
import re
from functools import cache

import pytest

from shared.command.commands import COMMANDS
from tests.support.deploy import DEPLOY

ROOT = DEPLOY.parent
PACKAGES = ("preprocess", "trainer", "shared")
OPTION = re.compile(r"(?<!var\()(?<![\w-])--(?!plot-)[a-z][a-z0-9-]*(?![\w-]|:\S)")
COMMAND = re.compile(r"python -m ((?:preprocess|trainer)[.\w]*)([^,;:()\n]*)")
FOREIGN = {
    *("--force-reinstall", "--head", "--pytorch"),
    *("--host", "--load", "--logdir", "--port", "--load_fast"),
    *("--version", "--no-json"),
    *("--exclude", "--include", "--local-dir", "--gpus", "--shm-size"),
}
"""Options of pip, Ray, other converters, TensorBoard, the Hub's and container engines, and of `speech-prep` itself."""


def strings(tree):
    """Line and text of each string but docstrings of modules, classes and functions; a placeholder reads VALUE."""
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    said = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(part.value if isinstance(part, ast.Constant) else "VALUE" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said | inside:
            yield node.lineno, node.value


@cache
def told():
    """Where, and what, of every string of the source."""
    return [
        (f"{path.relative_to(ROOT)}:{line}", text)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in strings(ast.parse(path.read_text()))
    ]


@cache
def options_of(module):
    """What the parser of *module* says that it takes."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    return frozenset(OPTION.findall(said.getvalue()))


@cache
def all_options():
    return frozenset().union(*map(options_of, COMMANDS.values()))


def test_every_option_that_a_message_names_is_one_of_a_command():
    unknown = {
        where: option
        for where, text in told()
        for option in OPTION.findall(text)
        if option not in all_options() | FOREIGN
    }
    assert unknown == {}


def test_every_command_that_a_message_names_exists_and_takes_the_options_beside_it():
    found = [(where, *match.groups()) for where, text in told() for match in COMMAND.finditer(text)]
    modules = {module.removesuffix(".__main__") for module in COMMANDS.values()}
    assert {(where, module) for where, module, _ in found if module.rstrip(".") not in modules | set(PACKAGES)} == set()
    wrong = {
        (where, option)
        for where, module, rest in found
        for option in OPTION.findall(rest)
        if option not in options_of(module.rstrip("."))
    }
    assert wrong == set()
    assert len(found) > 20


@pytest.mark.parametrize("text", ["use --no-such-option", "python -m preprocess.verify --no-such-option"])
def test_an_option_that_is_none_would_be_found(text):
    assert OPTION.findall(text) == ["--no-such-option"]
    assert "--no-such-option" not in all_options()
