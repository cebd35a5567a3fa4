"""Which rank a process is, and what of its environment cannot be: told at once, before anything waits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import UsageError
from trainer.distributed.place import Place, read_place, require_one_task

ROOT = Path(__file__).parents[3]
MEETING = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
TORCHRUN = MEETING | {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "none",
}
LAUNCHED = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "TRAINER_RENDEZVOUS": "file:///proc/self/fd/9",
    "TRAINER_LAUNCHER": "77",
}
WRONG = [
    ({"WORLD_SIZE": "2"}, "RANK is not"),
    ({"RANK": "1"}, "WORLD_SIZE is not"),
    ({"RANK": "", "WORLD_SIZE": "2"}, "RANK=''"),
    ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR and MASTER_PORT"),
    ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here"}, "MASTER_PORT, where"),
    ({"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "x"}, "MASTER_PORT='x'"),
    ({"RANK": "2", "WORLD_SIZE": "2", **MEETING}, "ranks count from 0"),
    ({"RANK": "-1", "WORLD_SIZE": "2", **MEETING}, "RANK='-1'"),
    ({"RANK": "0", "WORLD_SIZE": "0"}, "at least 1"),
    ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": ""}, "LOCAL_RANK=''"),
    ({"RANK": "²", "WORLD_SIZE": "2"}, "has to be a number"),
]


@pytest.mark.parametrize(("environment", "words"), WRONG)
def test_variables_that_contradict_each_other_are_named(environment, words):
    with pytest.raises(UsageError, match="unset") as caught:
        read_place(environment)
    assert words in caught.value.message


def test_who_is_who():
    assert read_place({}) == read_place({"RANK": "0", "WORLD_SIZE": "1", **MEETING}) == Place()
    assert read_place(TORCHRUN) == Place(1, 2, 1, 2, "env://", elastic=True)
    assert read_place(LAUNCHED) == Place(1, 2, 1, 2, "file:///proc/self/fd/9", launcher=77)


def test_who_meets_by_torchs_rendezvous_is_told_of_the_risk():
    assert "--nproc-per-node 2" in read_place(TORCHRUN).warning
    many = read_place(TORCHRUN | {"WORLD_SIZE": "4"}).warning
    assert "private network" in many
    assert "--nproc-per-node" not in many
    assert read_place(LAUNCHED).warning == read_place({}).warning == ""


@pytest.mark.parametrize(
    "tasks",
    [
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "2", "SLURM_NTASKS": "2"},
        {"SLURM_PROCID": "1", "SLURM_NTASKS": "2"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"},
        {"PMI_RANK": "1", "PMI_SIZE": "2"},
    ],
)
@pytest.mark.parametrize("launches", [True, False])
def test_several_processes_that_do_not_know_of_each_other_are_refused(tasks, launches):
    with pytest.raises(UsageError, match="alone makes no ranks"):
        require_one_task(tasks, launches=launches)
    require_one_task(tasks | TORCHRUN, launches=False)


def test_a_batch_script_of_several_tasks_may_launch_ranks():
    script = {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}
    require_one_task(script, launches=True)
    require_one_task({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, launches=False)
    with pytest.raises(UsageError, match="srun"):
        require_one_task(script, launches=False)


def test_the_command_says_so_with_status_2_before_torch_is_imported(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "WORLD_SIZE": "2", "RANK": ""}
    command = [sys.executable, "-X", "importtime", "-m", "trainer.train", "--store", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: RANK=''" in done.stderr
    assert "| torch\n" not in done.stderr
