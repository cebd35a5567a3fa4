"""A process that does without pandas, which pyarrow would import for it."""

import sys
from importlib.abc import MetaPathFinder


def leave_pandas_out() -> None:
    """Spares this process pandas, which pyarrow imports at its first array where it is installed: 0.3 s and 30 MB.

    For a process that is ours alone, as a command's, before it makes an array; to what asks for pandas there it is not
    installed.
    """
    sys.meta_path.insert(0, _NoPandas())


class _NoPandas(MetaPathFinder):
    """Says of pandas alone that it is not there. A None in `sys.modules` is enough for Python, not for Cython."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Raises ModuleNotFoundError for pandas; the others are for those who come after."""
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is left out of this process", name=fullname)
