"""Loops that numba compiles."""

import importlib.util

import pytest
from numba import njit

from preprocess import compiled

CALLED = "from preprocess.compiled import compiled\n\n\n@compiled\ndef step() -> int:\n    return {}\n"
KEPT = """\
import called
from preprocess.compiled import kept


@kept("i8()", called)
def value():
    return called.step()
"""


def test_where_nothing_can_be_kept_the_loops_are_compiled_in_each_process():
    space = {}
    exec("def twice(number):\n    return 2 * number\n", space)  # it has no file, so no folder beside it
    with pytest.raises(RuntimeError, match="cannot cache"):
        njit(cache=True)(space["twice"])
    assert compiled.kept("i8(i8)")(space["twice"])(3) == 6


def opened(monkeypatch, folder, name):
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(__import__("sys").modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_machine_code_is_made_anew_where_what_it_calls_changed_in_another_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    (tmp_path / "kept_loop.py").write_text(KEPT)
    found = []
    for number in (1, 2, 2):
        (tmp_path / "called.py").write_text(CALLED.format(number))
        opened(monkeypatch, tmp_path, "called")
        found.append(opened(monkeypatch, tmp_path, "kept_loop").value)
    assert [value() for value in found] == [1, 2, 2]
    assert [sum(value.stats.cache_hits.values()) for value in found] == [0, 0, 1]
