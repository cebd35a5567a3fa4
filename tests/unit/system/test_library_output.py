"""What libraries print to stderr is kept, handed on once, and bounded."""

import os
import subprocess
import sys

from shared.system import library_output
from shared.system.library_output import MORE, MOST_LINES, LibraryOutput


def test_what_is_printed_inside_is_handed_on_and_reaches_no_terminal(capfd):
    with LibraryOutput() as output:
        os.write(2, b"[src/libmpg123/id3.c] error: no comment\n\nNote: \x1b[31mred")
        assert output.lines() == ["[src/libmpg123/id3.c] error: no comment"]
        print("python says", file=sys.__stderr__)
    assert output.lines() == ["Note: \x1b[31mredpython says"]
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_what_a_child_prints_is_kept_too_and_a_line_is_told_once():
    with LibraryOutput() as output:
        for _ in range(2):
            subprocess.run([sys.executable, "-S", "-c", "import os; os.write(2, b'lost\\n')"], check=True)
    assert output.lines() == ["lost"]


def test_a_flood_takes_neither_memory_nor_lines_without_end(monkeypatch):
    monkeypatch.setattr(library_output, "_MOST_BYTES", 1_000)
    told = []
    with LibraryOutput() as output:
        for number in range(200):
            os.write(2, b"line %d\n" % number)
            told += output.lines()
            assert os.fstat(2).st_size <= 1_020
    assert told == [*(f"line {number}" for number in range(MOST_LINES)), MORE]
