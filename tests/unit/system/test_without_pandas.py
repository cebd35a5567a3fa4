"""Processes of our own do without pandas, which pyarrow would import at the first array."""

import subprocess
import sys

import pytest


def test_an_array_is_made_without_pandas_where_that_is_left_out():
    """In a process of its own: pyarrow looks for pandas once."""
    program = (
        "import sys, pyarrow as pa; from shared.system.without_pandas import leave_pandas_out; leave_pandas_out();"
        "table = pa.table({'rows': [[1, 2], []]}); assert table['rows'].to_pylist() == [[1, 2], []];"
        "import json.tool; sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("command", ["run", "plan", "verify"])
def test_a_command_that_makes_arrays_has_no_pandas(command):
    program = (
        "import contextlib, runpy, sys; sys.argv = ['', '--help']\n"
        f"with contextlib.suppress(SystemExit): runpy.run_module('preprocess.{command}', run_name='__main__')\n"
        "import pandas"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pandas is left out of this process" in done.stderr
