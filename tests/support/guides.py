"""The commands of a page in docs/ as they stand there, for a test that makes what they ask for and runs them."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def commands_of(page: str, instead: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Module and arguments of each `python -m` line in the bash blocks of *page*; *instead* replaces words of it."""
    for block in re.findall(
        r"^```bash\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["python", "-m"]:
                yield words[2], [instead.get(word, word) for word in words[3:]]
