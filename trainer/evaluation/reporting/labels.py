"""What stands for a model in tables and plots: its name, or a letter where names are long. Pure."""

from collections.abc import Sequence
from string import ascii_uppercase

from shared.text import one_line

LONGEST_NAME = 16
"""Names of a table's lines up to this many characters leave room for its figures on 80 columns."""


def labels(names: Sequence[str]) -> dict[str, str]:
    """Each of *names* and what stands for it; letters for all as soon as one is too long."""
    shown = {name: one_line(name) for name in names}
    if all(len(text) <= LONGEST_NAME for text in shown.values()):
        return shown
    return {name: _letter(number) for number, name in enumerate(names)}


def legend(names: Sequence[str]) -> list[tuple[str, str]]:
    """Letter and name of each of *names*; [] where names stand for themselves."""
    return [(label, one_line(name)) for name, label in labels(names).items() if label != one_line(name)]


def _letter(number: int) -> str:
    """A, B ... Z, A2, B2 ..."""
    round_, letter = divmod(number, len(ascii_uppercase))
    return ascii_uppercase[letter] + (str(round_ + 1) if round_ else "")
