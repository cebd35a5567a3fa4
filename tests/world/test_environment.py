"""The user's shell and machine as public threads had them: our own Ray starts all the same, or says at once why not."""

import os
import socket
import subprocess
import sys
import time

import pytest

from preprocess import run
from preprocess.execution.ray_start import remedy_of
from preprocess.workspace.environment import local_ray_environment
from shared.command.cli import run_command
from shared.errors import ExitCode
from tests.support.runs import REPOSITORY

ELSEWHERE = "127.0.0.1:9"
"""Where nobody listens."""
THEIRS = [
    {"RAY_ADDRESS": ELSEWHERE},
    {"http_proxy": f"http://{ELSEWHERE}", "https_proxy": f"http://{ELSEWHERE}", "RAY_grpc_enable_http_proxy": "1"},
    {"RAY_REDIS_ADDRESS": ELSEWHERE, "RAY_GCS_SERVER_PORT": "1"},
    {"RAY_START_HOOK": "no.such.module", "RAY_RUNTIME_ENV_HOOK": "no.such.module"},
]
"""What a user's shell says of another Ray, and of the way out."""
START = """
import sys, tempfile
from preprocess.workspace.environment import set_environment
set_environment("a-mark", local_ray=True)
import ray
with tempfile.TemporaryDirectory(prefix="r") as folder:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _temp_dir=folder)
    print("answer", ray.get(ray.remote(lambda: 42).remote()), [node["NodeManagerAddress"] for node in ray.nodes()])
    ray.shutdown()
"""


@pytest.mark.parametrize("theirs", THEIRS)
def test_what_is_meant_for_another_ray_or_a_proxy_is_not_ours(theirs):
    found = local_ray_environment(os.environ | theirs)
    assert not [name for name in theirs if name.startswith("RAY_") and name in found]
    assert {"127.0.0.1", "localhost"} <= set(found["no_proxy"].split(","))


@pytest.mark.campaign
@pytest.mark.parametrize("theirs", THEIRS)
def test_our_ray_starts_in_an_environment_that_was_made_for_another(theirs):
    environment = os.environ | theirs | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert "answer 42 ['127.0.0.1']" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (ELSEWHERE, "nothing listens there"),
        ("no-port", "is not an address of a Ray cluster"),
        ("127.0.0.1:100000", "is not an address of a Ray cluster"),
    ],
)
def test_a_wrong_address_is_told_at_once_and_nothing_is_written(address, said, tmp_path, capsys):
    started = time.monotonic()
    options = [
        "--demo",
        "--ray-address",
        address,
        "--base-dir",
        str(tmp_path / "base"),
        "--store",
        str(tmp_path / "store"),
    ]
    assert run_command(run.main, options) == ExitCode.USAGE
    assert time.monotonic() - started < 20
    told = capsys.readouterr().err
    assert said in told
    assert "leave" in told
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told_with_how_to_find_who_has_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use") as caught:
            socket.create_server(taken.getsockname())
        assert "ss -ltnp" in remedy_of(caught.value)


def test_a_node_that_timed_out_is_told_with_what_a_machine_lacks():
    told = "The current node timed out during startup. This could happen because some of the raylet failed to startup."
    assert "processors or memory" in remedy_of(RuntimeError(told))
