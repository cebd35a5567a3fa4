import json
import os
import re
from dataclasses import asdict, fields, replace
from io import BytesIO, StringIO, TextIOWrapper
from xml.etree import ElementTree as ET

import pytest
from rich.cells import cell_len
from rich.console import Console

from preprocess.monitoring.live_screen import render
from preprocess.monitoring.snapshot import ActorState, ActorView, Snapshot
from preprocess.monitoring.views import json_line, make_view, plain_line
from preprocess.phases import Phase
from shared.command.ending import Ending
from tests.support.live_picture import save_svg

GB = 10**9
CURSOR_HIDDEN, CURSOR_SHOWN, ALTERNATE_SCREEN = "\x1b[?25l", "\x1b[?25h", "\x1b[?1049h"
ACTORS = (
    ActorView(1, ActorState.WORKING, "train-00226-of-00431", 1_203, 2_240, 141.2, 182_000_000),
    ActorView(2, ActorState.RESTARTING, "train-00227-of-00431", 2_011, 2_240, 0.0, 0, 1),
    ActorView(3, ActorState.BISECTING, "train-00113-of-00431", 8, 2_240, 3.4, 164_000_000, 3),
    ActorView(4, ActorState.STARTING),
    ActorView(5, ActorState.IDLE, memory_bytes=73_000_000),
)
MIDWAY = Snapshot(
    elapsed_seconds=1_391.0,
    rows_total=970_064,
    rows_done=507_344,
    rows_resumed=120_000,
    rows_quarantined=12,
    audio_seconds=2_130_844.8,
    units_total=431,
    units_done=225,
    rows_per_second=684.2,
    audio_seconds_per_second=1_116.0,
    eta_seconds=3_840.0,
    disk_used_bytes=58 * GB,
    disk_forecast_bytes=112 * GB,
    disk_free_bytes=312 * GB,
    ram_own_bytes=900_000_000,
    ram_used_bytes=12_100_000_000,
    ram_total_bytes=64 * GB,
    actors=ACTORS,
)
EVENTS = ("one", "two", "three", "four")


@pytest.fixture(autouse=True)
def an_ordinary_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


def screen(snapshot=MIDWAY, *, title="demo", events=EVENTS, width=80, height=24):
    console = Console(file=StringIO(), width=width, record=True, force_terminal=True)
    console.print(render(snapshot, title, events, width, height))
    return console.export_text().splitlines()


def text_of(stream):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def at(seconds, **changes):
    return replace(MIDWAY, elapsed_seconds=seconds, **changes)


def lines_of(kind, *, updates, **changes):
    stream = StringIO()
    with make_view(kind, title="demo", stream=stream, is_terminal=False, stamp=str, **changes) as view:
        for snapshot in updates:
            view.update(snapshot)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 72, 80, 100, 120, 200])
def test_the_screen_with_five_actors_fits_24_lines_and_its_width(width):
    lines = screen(width=width)
    assert len(lines) < 24
    assert max(map(cell_len, lines)) <= width
    assert all(any(re.match(rf"\s*{actor.number}  {actor.state}", line) for line in lines) for actor in ACTORS)


def test_the_screen_at_80_columns_says_all_that_a_person_looks_for():
    text = "\n".join(screen())
    for words in (
        "507,344 of 970,064, 52.3 %",
        "684 clips/s",
        "real time 1,116 x",
        "ETA 1 h 04 min",
        "resumed 120,000",
        "quarantined 12",
        "shards 225 / 431",
        "58.0 GB of 370 GB, 112 GB forecast",
        "900 MB own, 12.1 GB of 64.0 GB in use",
        "train-00226-of-00431",
        "182 MB",
    ):
        assert words in text


def test_bars_grow_with_the_terminal():
    def bar(width):
        return screen(width=width)[2].count("━")

    assert bar(80) < bar(120) < bar(200)


def test_a_wide_terminal_shows_the_rows_of_each_open_unit():
    assert any("1,203 / 2,240" in line for line in screen(width=120))


@pytest.mark.parametrize("width", [60, 80])
def test_actors_that_do_not_fit_the_height_are_counted(width):
    lines = screen(replace(MIDWAY, actors=ACTORS * 10), width=width)
    shown = sum("clips/s" not in line and bool(re.match(r"\s+[1-5]  ", line)) for line in lines)
    assert len(lines) < 24
    assert f"and {50 - shown} more actors" in lines[-5]


def test_the_height_stays_the_same_whatever_happens_so_that_nothing_jumps():
    start = Snapshot(
        elapsed_seconds=0.0, rows_total=0, actors=tuple(ActorView(n, ActorState.STARTING) for n in range(5))
    )
    assert len(screen(start, events=())) == len(screen())


def test_only_the_last_three_events_are_shown():
    assert screen()[-3:] == ["two", "three", "four"]


@pytest.mark.parametrize("rows_done", [970_063, 969_999])
def test_a_run_reads_100_percent_only_when_every_row_is_done(rows_done):
    assert "99.9 %" in plain_line(replace(MIDWAY, rows_done=rows_done))
    assert "100.0 %" in plain_line(replace(MIDWAY, rows_done=970_064))


def test_a_plan_without_rows_and_figures_that_are_not_known_yet_are_shown_without_failing():
    unknown = Snapshot(elapsed_seconds=0.0, rows_total=0, rows_per_second=float("nan"), eta_seconds=float("inf"))
    assert "ETA -" in "\n".join(screen(unknown))
    assert "ETA -" in plain_line(replace(unknown, eta_seconds=None))


def test_names_from_the_data_are_neither_markup_nor_terminal_commands():
    text = "\n".join(screen(title="[red]Übung[/red]", events=["[bold]a\x1b[2Jb\nc"]))
    assert "[red]Übung[/red]" in text
    assert "[bold]a\N{REPLACEMENT CHARACTER}[2Jb c" in text


def test_the_live_view_shows_the_last_state_and_never_takes_the_cursor():
    stream = StringIO()
    with make_view("live", title="demo", stream=stream, is_terminal=True) as view:
        view.update(MIDWAY)
        view.event("actor 2 restarted")
        view.update(replace(MIDWAY, rows_done=970_064))
    assert "970,064 of 970,064, 100.0 %" in text_of(stream)
    assert "actor 2 restarted" in text_of(stream)
    assert CURSOR_HIDDEN not in stream.getvalue()
    assert ALTERNATE_SCREEN not in stream.getvalue()


def run_that_fails(kind, stream, *, is_terminal):
    with make_view(kind, title="demo", stream=stream, is_terminal=is_terminal, stamp=str) as view:
        view.update(at(0.0))
        view.update(at(0.1, rows_done=600_000))
        raise KeyboardInterrupt


def test_the_live_view_leaves_the_cursor_alone_when_the_run_fails():
    stream = StringIO()
    with pytest.raises(KeyboardInterrupt):
        run_that_fails("live", stream, is_terminal=True)
    assert CURSOR_HIDDEN not in stream.getvalue()


@pytest.mark.parametrize("kind", ["plain", "json"])
def test_line_views_show_the_last_state_when_the_run_fails(kind):
    stream = StringIO()
    with pytest.raises(KeyboardInterrupt):
        run_that_fails(kind, stream, is_terminal=False)
    assert re.search("600,?000", stream.getvalue().splitlines()[-1])


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = StringIO()
    with make_view("live", title="demo", stream=stream, is_terminal=True) as view:
        view.update(MIDWAY)
    assert not re.search(r"\x1b\[[0-9;]*(3[0-9]|9[0-7])[0-9;]*m", stream.getvalue())


@pytest.mark.parametrize(("terminal", "term", "is_live"), [(True, "xterm", 1), (True, "dumb", 0), (False, "xterm", 0)])
def test_auto_is_live_only_on_a_terminal_that_can_move_its_cursor(monkeypatch, terminal, term, is_live):
    monkeypatch.setenv("TERM", term)
    stream = StringIO()
    with make_view("auto", title="demo", stream=stream, is_terminal=terminal) as view:
        view.update(MIDWAY)
    assert (CURSOR_SHOWN in stream.getvalue()) == bool(is_live)
    assert (plain_line(MIDWAY) in stream.getvalue()) != bool(is_live)


def test_plain_lines_come_every_five_seconds_of_the_run_and_first_and_last_always():
    updates = [at(seconds / 2) for seconds in range(24)]
    wanted = [at(0.0), at(5.0), at(10.0), at(11.5)]
    assert lines_of("plain", updates=updates) == ["demo", *map(plain_line, wanted)]


def test_the_last_state_is_not_written_twice():
    assert lines_of("plain", updates=[at(0.0), at(5.0)]) == ["demo", plain_line(at(0.0)), plain_line(at(5.0))]


def test_a_run_without_an_update_writes_its_title_alone():
    assert lines_of("plain", updates=[]) == ["demo"]


def test_events_are_written_at_once():
    stream = StringIO()
    with make_view("plain", title="demo", stream=stream, is_terminal=False) as view:
        view.update(at(0.0))
        view.event("actor 2\nrestarted")
        assert stream.getvalue().endswith("actor 2 restarted\n")


def test_a_plain_line_says_how_far_how_fast_how_long_and_what_went_wrong():
    assert plain_line(MIDWAY) == (
        "52.3 %, 507,344/970,064 rows, 684 clips/s, 1,116 x real time, ETA 1 h 04 min, shards 225/431, "
        "disk 58.0 GB of 370 GB, RAM 900 MB own, 12.1 GB of 64.0 GB in use, resumed 120,000, level normal, "
        "quarantined 12, actor restarts 4"
    )


def test_a_plain_line_leaves_out_troubles_that_did_not_happen():
    line = plain_line(replace(MIDWAY, rows_resumed=0, rows_quarantined=0, actors=()))
    assert line.endswith("12.1 GB of 64.0 GB in use, level normal")


@pytest.mark.parametrize("kind", ["plain", "live", "auto"])
def test_a_stream_in_an_old_encoding_gets_escapes_instead_of_an_exception(kind):
    buffer = TextIOWrapper(raw := BytesIO(), encoding="ascii")
    with make_view(kind, title="Übung", stream=buffer, is_terminal=True, stamp=str) as view:
        view.update(MIDWAY)
    assert raw.getvalue().startswith(b"\\xdcbung\n52.3 %")


def test_json_lines_carry_every_field_of_a_snapshot_under_its_own_name():
    record = json.loads(json_line(MIDWAY))
    assert list(record) == [field.name for field in fields(Snapshot)]
    assert record["actors"][1] == asdict(ACTORS[1])


def test_json_lines_say_null_for_what_is_not_a_number():
    record = json.loads(json_line(replace(MIDWAY, eta_seconds=float("inf"), rows_per_second=float("nan"))))
    assert (record["eta_seconds"], record["rows_per_second"]) == (None, None)


def test_json_lines_come_every_second_with_events_between_them():
    stream = StringIO()
    with make_view("json", title="demo", stream=stream, is_terminal=True) as view:
        for tenth in range(0, 25, 5):
            view.update(at(tenth / 10))
        view.event("Übung\nzwei")
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record.get("elapsed_seconds") for record in records] == [0.0, 1.0, 2.0, None]
    assert records[-1] == {"event": "Übung\nzwei"}


def test_the_picture_for_the_readme_is_an_svg_with_the_run_in_it(tmp_path):
    save_svg(MIDWAY, tmp_path / "live.svg", title="Übung", events=EVENTS)
    drawn = "".join(ET.parse(tmp_path / "live.svg").getroot().itertext()).replace("\N{NO-BREAK SPACE}", " ")
    assert "Übung" in drawn
    assert "507,344 of 970,064" in drawn


def test_the_picture_is_coloured_whatever_the_environment_says(tmp_path, monkeypatch):
    save_svg(MIDWAY, tmp_path / "one.svg", title="demo")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    save_svg(MIDWAY, tmp_path / "two.svg", title="demo")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize("kind", ["plain", "json", "live"])
def test_a_phase_is_shown_before_there_is_anything_to_show(kind):
    stream = StringIO()
    view = make_view(kind, title="demo", stream=stream, is_terminal=False)
    view.phase(Phase.LISTING)
    assert "listing the source" in stream.getvalue()


def test_the_live_screen_says_what_the_run_is_at():
    stream = StringIO()
    with make_view("live", title="demo", stream=stream, is_terminal=False) as view:
        view.update(MIDWAY)
        view.phase(Phase.STARTING_ACTORS)
    assert "demo: starting actors" in stream.getvalue()


def test_a_plain_line_says_when_it_was():
    stream = StringIO()
    with make_view("plain", title="demo", stream=stream, is_terminal=False, stamp=lambda: "12:03:04 ") as view:
        view.update(at(0.0))
    assert [line[:9] for line in stream.getvalue().splitlines()] == ["12:03:04 "] * 2


@pytest.mark.parametrize(("kind", "told"), [("json", True), ("plain", False), ("live", False)])
def test_programs_are_told_at_the_end_how_it_ended(kind, told):
    stream = StringIO()
    view = make_view(kind, title="demo", stream=stream, is_terminal=False)
    view.ended(Ending(3, "the disk is full", "make room"))
    lines = stream.getvalue().splitlines()
    outcome = {"exit_code": 3, "error": "the disk is full", "remedy": "make room"}
    assert [json.loads(line) for line in lines] == ([{"outcome": outcome}] if told else [])


def test_what_happens_before_the_first_figures_is_shown_on_the_live_screen():
    stream = StringIO()
    with make_view("live", title="demo", stream=stream, is_terminal=False) as view:
        view.phase(Phase.STARTING_RAY)
        view.event("a stop was asked for")
    assert "demo: starting Ray\na stop was asked for" in text_of(stream)


@pytest.mark.parametrize(("width", "height"), [(60, 15), (60, 13), (80, 15), (80, 12), (40, 18), (72, 20)])
def test_a_low_terminal_shows_whole_actors_and_the_last_event(width, height):
    lines = screen(width=width, height=height)
    assert len(lines) < height
    assert lines[-1] == "four"
    shown = sum(bool(re.match(r"\s+[1-5]  ", line)) for line in lines)
    assert shown > 0
    hidden = [line for line in lines if "more actor" in line]
    assert hidden == ([f"and {5 - shown} more actor{'s' if shown < 4 else ''}"] if shown < 5 else [])


def test_a_terminal_without_room_for_actors_counts_them_under_no_heading():
    text = "\n".join(screen(width=60, height=12))
    assert "5 actors" in text
    assert "state" not in text


@pytest.mark.parametrize("width", [60, 72, 80, 100])
def test_no_figure_loses_its_end(width):
    longest = replace(
        MIDWAY, elapsed_seconds=43_440.0, audio_seconds=3_218.0, rows_per_second=1_234.0, rows_resumed=970_064,
        rows_quarantined=12_345,
    )  # fmt: skip
    assert not any("…" in line for line in screen(longest, width=width)[6:10])


def test_a_window_of_another_size_is_cleared_once_so_that_no_half_of_the_last_picture_stays(monkeypatch):
    size = os.terminal_size((100, 30))
    monkeypatch.setattr("rich.console.os.get_terminal_size", lambda _descriptor: size)
    stream = StringIO()
    cleared = "\x1b[H\x1b[2J"
    with make_view("live", title="demo", stream=stream, is_terminal=True) as view:
        view.update(MIDWAY)
        view._live.refresh()
        assert cleared not in stream.getvalue()
        size = os.terminal_size((60, 15))
        view._live.refresh()
        view._live.refresh()
    assert stream.getvalue().count(cleared) == 1
    after = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue().split(cleared)[1])
    assert max(map(cell_len, after.splitlines())) <= 60
