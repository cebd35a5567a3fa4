"""A signal has its name, and one that has none is told by its number."""

import pytest

from shared.system.signal_names import signal_name


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (11, "SIGSEGV"), (40, "signal 40")])
def test_a_signal_is_told_by_its_name_or_number(number, name):
    assert signal_name(number) == name
