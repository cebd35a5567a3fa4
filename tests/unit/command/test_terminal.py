"""What strangers wrote is shown, and never obeyed."""

import io
import json

import pytest
from rich.panel import Panel
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from shared.command.cli import run_command
from shared.command.terminal import Screen, complain_of, json_line, say
from shared.errors import StoreError

HOSTILE = "a\x1b]0;owned\x07\x9b2J\u202eb\u2066[/red][bold]\r\u2028:smile:\udc80"
FORBIDDEN = "\x1b\x07\x9b\u202e\u2066\r\u2028\udc80"


def harmless(text):
    return not any(character in text for character in FORBIDDEN)


def table(cell):
    found = Table(title=cell)
    found.add_column(cell)
    found.add_row(cell)
    return found


@pytest.mark.parametrize("what", [str, Text, table, lambda cell: Panel(Text(cell))])
def test_a_screen_shows_a_hostile_name_whole_and_passes_no_control_on(what):
    stream = io.StringIO()
    Screen(file=stream, width=200).print(what(HOSTILE))
    assert harmless(stream.getvalue())
    assert "[/red][bold]" in stream.getvalue()
    assert ":smile:" in stream.getvalue()


def test_a_screen_keeps_its_own_colours_and_cursor():
    stream = io.StringIO()
    screen = Screen(file=stream, force_terminal=True, width=80)
    with Progress(console=screen) as progress:
        progress.add_task("working", total=2)
        screen.print(Text("red\x1b[2J", "red"))
    assert "\x1b[31mred\ufffd[2J\x1b[0m" in stream.getvalue()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_old_terminal_takes_every_text(encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    say(f"größer → {HOSTILE}", stream)
    Screen(file=stream).say(f"größer → {HOSTILE}")
    stream.seek(0)
    assert harmless(stream.read())


def test_an_error_is_one_line_and_its_remedy_another(capsys):
    complain_of(StoreError(f"{HOSTILE}\n  -> rm -rf /", f"look at {HOSTILE}"))
    said = capsys.readouterr().err
    assert harmless(said)
    assert [line[:5] for line in said.splitlines()] == ["error", "  -> "]


def test_a_command_that_fails_on_a_hostile_name_passes_no_control_on(capsys):
    def command(_argv):
        raise OSError(5, "it failed", HOSTILE)

    assert run_command(command, []) == 1
    assert harmless(capsys.readouterr().err)


def test_json_is_a_line_that_can_be_printed_and_read_again():
    line = json_line({"name": f"Grüße {HOSTILE}\U000e0001"})
    assert harmless(line)
    assert line.isprintable()
    assert "Grüße" in line
    assert json.loads(line) == {"name": f"Grüße {HOSTILE}\U000e0001"}
