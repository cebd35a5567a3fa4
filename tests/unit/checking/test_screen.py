"""A check's lines on a terminal of 80 x 24, and one below the other elsewhere."""

import io

import pytest

from shared.command.terminal import Screen
from tests.support.made_up_machines import MACHINE, NO_CARD, NONE, TWO, examined, one_gpu
from trainer.checking.checks import CHECKS
from trainer.checking.screen import Telling, ending, fitted, line_of
from trainer.checking.verdict import State, Verdict, fix, left_out, ok
from trainer.checking.world import Outcome

HEIGHT = 24
HANGS = Outcome(trouble="did not end within 120 s")


def rows(observed, machine=MACHINE):
    world, _ = examined(observed, machine)
    shown = fitted(list(world.verdicts.items()), 80, HEIGHT - 5)
    return [row.plain for row in shown] + ending(world.verdicts.values(), "trainer-check.json", 193.0)


@pytest.mark.parametrize(
    ("observed", "machine"),
    [
        (TWO, MACHINE),
        (NONE, NO_CARD),
        (one_gpu(), MACHINE),
        (TWO | {"links": HANGS}, MACHINE),
        (TWO | dict.fromkeys(("links", "halves", "cap", "moments"), HANGS), MACHINE),
        (dict.fromkeys(TWO, HANGS), MACHINE),
    ],
)
def test_all_of_it_is_one_screen(observed, machine):
    found = rows(observed, machine)
    assert len(found) <= HEIGHT - 3
    assert all(len(row) <= 80 for row in found)


def test_where_all_is_well_every_check_has_its_own_row():
    found = rows(TWO)
    assert [row[4:17].strip() for row in found[: len(CHECKS)]] == [check.name for check in CHECKS]
    assert all(row.startswith("ok ") for row in found[: len(CHECKS)])
    assert found[-2:] == ["nothing to fix, after 3 min 13 s", "all figures, to paste into a bug: trainer-check.json"]


def test_what_is_to_be_fixed_has_what_to_do_below_it():
    assert line_of("ranks", fix("hangs", "try this " * 12), 80) == [
        "FIX ranks        hangs",
        "    -> try this try this try this try this try this try this try this try this",
        "       try this try this try this try this",
    ]


def test_where_there_is_too_much_to_say_what_is_well_shares_a_row_and_nothing_else_is_lost():
    bad = [(f"bad {number}", fix("it hangs", "do this")) for number in range(8)]
    good = [(f"good {number}", ok("it is well")) for number in range(5)]
    found = [row.plain for row in fitted([*good, *bad, ("left", left_out("why"))], 80, 19)]
    assert len(found) == 2 * len(bad) + 2
    assert found[-1] == "ok  the rest     good 0, good 1, good 2, good 3, good 4"


def test_what_a_driver_says_moves_no_cursor():
    found = line_of("driver", fix("\x1b[2Jcleared\nand more", ""), 80)
    assert "\x1b" not in "".join(found)
    assert len(found) == 1


def test_the_end_counts():
    verdicts = [fix("a", "b"), left_out("c"), left_out("d"), ok("e")]
    assert ending(verdicts, "r.json", 1.0)[0] == "1 to fix, 2 left out, after 1.0 s"


def test_without_a_terminal_a_line_is_printed_when_it_is_known(capsys):
    told = Telling(Screen(file=io.StringIO(), width=80))
    told.begin("disk")
    assert capsys.readouterr().out == ""
    told.add("disk", Verdict(State.OK, "room enough"))
    assert capsys.readouterr().out == "ok  disk         room enough\n"


def test_a_terminal_shows_what_is_being_tried():
    output = io.StringIO()
    screen = Screen(file=output, width=80, force_terminal=False)
    told = Telling(screen)
    told.verdicts.append(("disk", ok("room enough")))
    told.begin("training")
    screen.print(told)
    assert "ok  disk         room enough\n... training" in output.getvalue()
