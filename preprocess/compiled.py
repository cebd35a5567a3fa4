"""Loops that numba compiles: how, and where the machine code is kept.

Compiling takes seconds; what comes of it is kept beside the source, or where numba keeps such things
(`NUMBA_CACHE_DIR`), and made anew in every process only where neither can be written. Importing this takes a third of a
second: modules that a driver needs import their loops where they are used.
"""

from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from numba import njit

PLACE = 0xFFFFFFFF
"""`place & PLACE` is a place that is seen to be no less than 0; any other is first looked at for its sign, as Python
counts those from the end."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """*function* as part of compiled ones that call it, for mypy still itself."""
    return cast("_Function", njit(function))


def kept(signature: str, *modules: ModuleType) -> Callable[[_Function], _Function]:
    """Compiles a function for arguments of *signature* when it is defined, or takes what an earlier time kept.

    *modules* are those whose compiled functions it calls. What was kept is used while they, its own module and this one
    have the same text: numba itself looks at its own file alone, and would go on with the machine code of older loops.
    """

    def decorate(function: _Function) -> _Function:
        options: dict[str, Any] = {"error_model": "numpy"}
        found: Any
        try:
            found = njit(cache=True, **options)(function)
        except RuntimeError:  # numba found no folder that it may write to
            found = njit(**options)(function)
        else:
            found._cache._cache_file._source_stamp = _stamp(function.__code__.co_filename, modules)  # noqa: SLF001
        found.compile(signature)
        found.disable_compile()
        return cast("_Function", found)

    return decorate


def _stamp(own: str, modules: Iterable[ModuleType]) -> str:
    files = (own, __file__, *(str(module.__file__) for module in modules))
    return sha256(b"\0".join(Path(file).read_bytes() for file in files)).hexdigest()
