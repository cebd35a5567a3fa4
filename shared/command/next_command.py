"""The command to type next, printed so that it can be copied to a shell as it stands. Pure."""

import shlex
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from shared.text import printable

_NEXT, _CONTINUED = "Next:", " \\"


def next_lines(command: Sequence[str], width: int) -> list[Text]:
    """*command*, quoted for a shell and broken with backslashes at *width* columns, under an empty line.

    A word that is longer than a line stays whole: print with `crop=False`, and the terminal breaks it, not the copy.
    """
    if not command:
        return []
    lines = [""]
    for word in map(printable, map(shlex.quote, command)):
        if lines[-1] and cell_len(f"{_NEXT}{lines[-1]} {word}{_CONTINUED}") > width:
            lines.append("")
        lines[-1] += f" {word}"
    text = f"{_CONTINUED}\n{' ' * len(_NEXT)}".join(lines)
    return [Text(), Text.assemble((_NEXT, "dim"), (text, "bold"), no_wrap=True, overflow="ignore")]
