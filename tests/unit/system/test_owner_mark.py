"""Who owns a file is told by its mark; only who is gone for certain is called dead."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.system.owner_mark import Life, OwnerMark, is_provably_dead, own_mark, process_start

HERE = OwnerMark("vm-1", "0123456789ab", 4026531836, 10, 500)
STARTED = {5: 77, 6: 88}
"""The processes of this host and namespace."""


def life(**changes):
    return replace(HERE, **({"pid": 5, "started": 77} | changes)).life(HERE, STARTED.get)


def test_a_process_that_runs_is_alive_and_one_that_is_gone_is_dead():
    assert life() is Life.ALIVE
    assert life(pid=7) is Life.DEAD


def test_a_later_process_of_the_same_number_is_not_the_owner():
    assert life(started=76) is Life.DEAD


def test_no_process_outlives_its_boot():
    assert life(boot="ba9876543210") is Life.DEAD
    assert life(boot="ba9876543210", namespace=1) is Life.DEAD


@pytest.mark.parametrize("pid", [5, 7])
@pytest.mark.parametrize(
    "elsewhere", [{"host": "vm-2"}, {"host": "vm-2", "boot": "ba9876543210"}, {"namespace": 4026532000}]
)
def test_of_another_host_or_container_nothing_is_known(elsewhere, pid):
    assert life(pid=pid, **elsewhere) is Life.UNKNOWN


def test_a_host_that_has_no_boot_id_is_believed_to_run_on():
    assert life(boot="") is Life.ALIVE
    assert replace(HERE, pid=5, started=77).life(replace(HERE, boot=""), STARTED.get) is Life.ALIVE


def test_a_mark_of_an_earlier_version_is_judged_by_host_and_process():
    marks = [OwnerMark.parse(text) for text in ("vm-1-77-5", "vm-1-77-7", "vm-2-77-7")]
    assert [mark.life(HERE, STARTED.get) for mark in marks] == [Life.ALIVE, Life.DEAD, Life.UNKNOWN]


MARKS = st.builds(
    OwnerMark,
    st.text(st.characters(exclude_characters="\n"), min_size=1),
    st.text("0123456789abcdef", min_size=12, max_size=12) | st.just(""),
    st.integers(0, 2**32),
    st.integers(1, 4_194_304),
    st.integers(0, 2**63),
)


@given(MARKS)
def test_a_mark_is_what_its_text_says(mark):
    assert OwnerMark.parse(mark.text) == mark


@pytest.mark.parametrize("text", ["", "vm", "vm~1", "vm~0123456789ab~1~0~5", "vm~0123~1~2~5", "~0123456789ab~1~2~5"])
def test_a_text_that_is_no_mark_names_nobody(text):
    assert OwnerMark.parse(text) is None


def test_this_process_lives_and_its_mark_fits_into_a_name():
    mark = own_mark()
    assert (mark.host, mark.pid, mark.started) == (os.uname().nodename, os.getpid(), process_start(os.getpid()))
    assert not is_provably_dead(mark)
    assert is_provably_dead(replace(mark, pid=9_999_999))
    assert len(replace(mark, host="h" * 64, pid=4_194_304).text) < 120


def test_a_zombie_runs_no_more():
    started = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, started.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(started.pid) is None
    started.wait()
    assert process_start(started.pid) is None
    assert process_start(os.getpid()) is not None
