"""Loops that numba compiles."""

from preprocess import compiled


def test_where_nothing_can_be_kept_the_loops_are_compiled_in_each_process(monkeypatch):
    asked = []

    def njit(_signature, **options):
        asked.append(options.get("cache", False))
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled, "njit", njit)
    assert compiled.kept("void(f4)")(print) is print
    assert asked == [True, False]
