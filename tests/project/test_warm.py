"""A warm process is a process of its own: what it is given, what it says and how it ends."""

import os
import signal
import subprocess
import time

import pytest

from tests.support.warm import WarmProcess


@pytest.fixture
def start(tmp_path):
    """Starts a program, given as text."""

    def start(program, *arguments, **more):
        file = tmp_path / "program.py"
        file.write_text(program)
        return WarmProcess(str(file), arguments, **more)

    return start


def test_it_has_its_own_arguments_environment_and_output(start):
    program = "import os, sys\nprint(sys.argv[1:], os.environ)\nprint('wrong', file=sys.stderr)\nsys.exit(3)"
    process = start(program, "--a", "b", environment={"ONLY": "this"})
    said, _ = process.communicate(60)
    assert "['--a', 'b'] environ({'ONLY': 'this'})\n" in said
    assert "wrong\n" in said
    assert process.returncode == 3


def test_it_begins_with_a_trainings_modules_and_no_other_thread(start):
    """Of a thread that was not forked with it, the locks would be held for ever."""
    program = (
        "import sys, torch\n"
        "with open('/proc/self/status') as status:\n"
        "    print(*(line.split()[1] for line in status if line.startswith('Threads')), torch.get_num_threads())\n"
        "print({'trainer.training.run', 'trainer.data.fill', 'torch._dynamo'} - sys.modules.keys())"
    )
    assert start(program).communicate(60)[0] == "1 1\nset()\n"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_ends_it_as_any_process(start, number):
    process = start("import time\ntime.sleep(60)")
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    process.send_signal(number)
    assert process.wait(30) == -number


def test_ctrl_c_interrupts_it(start, tmp_path):
    process = start(f"import time\nopen({str(tmp_path / 'here')!r}, 'w')\ntime.sleep(60)")
    while not (tmp_path / "here").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(30)
    assert "KeyboardInterrupt" in said
    assert process.returncode == 1


def test_an_error_is_told(start):
    process = start("raise ValueError('no such thing')")
    said, _ = process.communicate(60)
    assert "ValueError: no such thing" in said
    assert process.returncode == 1


def test_ranks_find_each_other_and_one_that_fails_ends_the_others(start):
    program = (
        "import os, sys, time, torch, torch.distributed as dist\n"
        "dist.init_process_group('gloo')\n"
        "found = torch.tensor([dist.get_rank() + 1])\n"
        "dist.all_reduce(found)\n"
        # A print is several writes, which those of the other rank may come between.
        "os.write(1, f\"sum {found.item()} {os.environ['LOCAL_RANK']}\\n\".encode())\n"
        "dist.barrier()\n"
        "sys.exit(5) if dist.get_rank() == 1 else time.sleep(60)\n"
    )
    process = start(program, environment=dict(os.environ), ranks=2)
    said, _ = process.communicate(60)
    assert sorted(said.splitlines())[-2:] == ["sum 3 0", "sum 3 1"]
    assert process.returncode == 5
