"""A planted fault is found by what the code says, wherever it stands and however it is written."""

import ast
from textwrap import dedent

import pytest

from tests.fault.planted.faults import Fault, read_faults
from tests.fault.planted.pattern import edited, find, parsed
from tests.fault.planted.places import Places
from tests.fault.planted_campaign import obstacle

SEAL = """
class Durable:
    def seal(self):
        self.flush()  # first
        if self.synced:
            os.fsync(self.fd)
        return "grün", f"{self.fd}"
"""
SYNC = Fault("durability/file-not-synced", "Durable.seal", (("os.fsync(...)", "pass"),), ("test_sync",))


def planted(source, old, new):
    before, after = parsed(old, new)
    return edited(source, [(found, after) for found in find(before, ast.parse(source))])


def same(one, other):
    return ast.dump(ast.parse(one)) == ast.dump(ast.parse(other))


def tree(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".py").write_text(text)
    return Places(folder, "product")


@pytest.mark.parametrize(
    ("source", "old", "new", "expected"),
    [
        pytest.param("f(a,\n  'x')  # why", 'f(a, "x")', "g", "g", id="whatever the formatting, quotes and comments"),
        pytest.param("f(a, *b, c=1)", "f(...)", "g(...)", "g(a, *b, c=1)", id="dots are any arguments"),
        pytest.param("f(a, b=1, c=2)", "f(..., c=2)", "f(..., c=3)", "f(a, b=1, c=3)", id="and keywords not asked for"),
        pytest.param("f(b=1, c=2)", "f(c=2, b=1)", "g", "g", id="keywords have no order"),
        pytest.param("f(b=1, c=2)", "f(c=2)", "g", "f(b=1, c=2)", id="without dots there are no other keywords"),
        pytest.param("[a, b, c]", "[..., c]", "[c, ...]", "[c, a, b]", id="dots are any elements"),
        pytest.param("x = a.b + 1", "... + 1", "...", "x = a.b", id="dots are any one expression"),
        pytest.param("if a:\n    b\n    c", "if a: ...", "...", "b\nc", id="dots are any statements"),
        pytest.param(
            "if a:\n    b\nelse:\n    c", "if a: ...", "pass", "if a:\n    b\nelse:\n    c", id="no more than all"
        ),
        pytest.param("f(a, b)", "f(_1, _2)", "f(_2, _1)", "f(b, a)", id="numbered ones can change places"),
        pytest.param("f(a, b)", "f(_1, _1)", "g", "f(a, b)", id="a number stands for the same everywhere"),
        pytest.param("a()\nb()", "_1; b()", "b(); _1", "b()\na()", id="a number can be a statement"),
        pytest.param("not (a)", "a", "b or c", "not (b or c)", id="what is put in is held together"),
        pytest.param("sum(x for x in y)", "(x for x in y)", "z", "sum(z)", id="a generator without parentheses"),
        pytest.param("'ä' + a", "a", "b", "'ä' + b", id="columns are bytes"),
        pytest.param("a = a", "a", "b", "a = b", id="a value is no target"),
        pytest.param("f'{a}'", "a", "b", "f'{a}'", id="a part of an f-string is not looked for"),
        pytest.param("f'{a}'", "f'{a}'", "f'{b}'", "f'{b}'", id="an f-string is"),
        pytest.param(
            "def f():\n  a()\n  b()", "a()", "if c: a()", "def f():\n  if c: a()\n  b()", id="as deep as before"
        ),
    ],
)
def test_code_is_compared_and_replaced_as_a_tree(source, old, new, expected):
    assert same(planted(source, old, new), expected)


@pytest.mark.parametrize(
    ("source", "old", "new", "reason"),
    [
        ("if a: x\nelif b: y", "if b: ...", "pass", "elif"),
        ("a", "a", "_1", "_1 is nothing"),
        ("f(a)", "f(...)", "f(...) + ...", "... is nothing"),
        ("f( a )", "f(...)", "f(a)", "changes nothing"),
    ],
)
def test_what_cannot_be_put_in_is_said(source, old, new, reason):
    with pytest.raises(ValueError, match=reason):
        planted(source, old, new)


def test_two_changes_of_a_fault_may_not_overlap():
    changes = [
        (next(find(before, ast.parse("f(g(a))"))), after) for before, after in (parsed("g(a)", "1"), parsed("a", "2"))
    ]
    with pytest.raises(ValueError, match="overlap"):
        edited("f(g(a))", changes)


def test_only_what_is_changed_is_written_anew(tmp_path):
    _, after = SYNC.plant(tree(tmp_path, product__durable=SEAL))
    assert after == SEAL.replace("os.fsync(self.fd)", "pass")


def test_a_fault_survives_a_move_and_a_reformatting(tmp_path):
    reformatted = ast.unparse(ast.parse(SEAL)).replace("    ", "  ").replace("(self.fd)", "(\n    self . fd,\n  )")
    _, before = SYNC.plant(tree(tmp_path / "before", product__durable=SEAL))
    file, after = SYNC.plant(tree(tmp_path / "after", product__rooms__disk=reformatted, product__durable=""))
    assert str(file) == "product/rooms/disk.py"
    assert same(before, after)


def test_of_two_places_with_one_name_the_one_that_it_fits_is_meant(tmp_path):
    places = tree(tmp_path, product__one="def kind(): f()", product__rooms__two="def kind(): g()")
    assert str(Fault("", "kind", (("g()", "f()"),), ()).plant(places)[0]) == "product/rooms/two.py"
    assert str(Fault("", "rooms:kind", (("_1", "pass"),), ()).plant(places)[0]) == "product/rooms/two.py"
    with pytest.raises(ValueError, match=r"it fits kind of product/one.py and of product/rooms/two.py"):
        Fault("", "kind", (("_1", "pass"),), ()).plant(places)


def test_methods_constants_and_modules_are_places(tmp_path):
    places = tree(tmp_path, product__sensors="LIMIT = 3\nf(LIMIT)\nclass A:\n    limit: int = 3")
    for place, old in (("LIMIT", "3"), ("A.limit", "3"), ("sensors:", "f(LIMIT)"), ("A", "3")):
        assert Fault("", place, ((old, "4"),), ()).plant(places)[1].count("4") == 1


def test_what_keeps_a_fault_from_being_planted_is_said_in_a_line(tmp_path):
    renamed, twice = SEAL.replace("Durable", "Sealed"), SEAL.replace("self.flush()", "os.fsync(0)")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("def test_sync(): pass")
    tests = Places(tmp_path, "tests")
    unnoticed = Fault(SYNC.name, SYNC.place, SYNC.changes, ("test_gone",))
    wrong = Fault(SYNC.name, SYNC.place, (("os.(", "pass"),), SYNC.tests)
    sound, moved, doubled = (
        tree(tmp_path / name, product__a=text) for name, text in zip("abc", (SEAL, renamed, twice), strict=True)
    )
    assert obstacle(SYNC, sound, tests) == ""
    assert obstacle(SYNC, moved, tests) == "nothing is called Durable.seal; it would fit Sealed.seal"
    assert obstacle(SYNC, doubled, tests) == "`os.fsync(...)` stands 2 times in Durable.seal of product/a.py"
    assert obstacle(unnoticed, sound, tests) == "there is no test test_gone"
    assert obstacle(wrong, sound, tests).startswith("`os.( => pass` is no Python: ")


def test_a_data_file_says_name_place_changes_and_tests():
    text = """\
        # Why.
        area/one @ Some.place
            a => b
            test_one test_two

        area/two @ other
            if a: b
                c =>
                if a: b
            d => e
            test_three
        """
    one, two = read_faults(dedent(text))
    assert one == Fault("area/one", "Some.place", (("a", "b"),), ("test_one", "test_two"))
    assert two == Fault("area/two", "other", (("if a: b\nc", "if a: b"), ("d", "e")), ("test_three",))
