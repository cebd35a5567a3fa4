"""What a cluster of our own sees of the user's environment: nothing that is meant for another Ray."""

import os
import subprocess
import sys

import pytest

from preprocess.workspace.environment import LOCAL_RAY, local_ray_environment, set_environment


def test_rays_variables_of_the_users_shell_do_not_reach_our_ray():
    """With RAY_ADDRESS it would join his cluster."""
    theirs = {
        "RAY_ADDRESS": "10.0.0.1:6379",
        "RAY_REDIS_ADDRESS": "10.0.0.1:6380",
        "RAY_GCS_SERVER_PORT": "1",
        "RAY_AUTH_MODE": "disabled",
        "RAY_AUTH_TOKEN_PATH": "/home/me/token",
        "RAY_memory_usage_threshold": "0.1",
        "RAY_OVERRIDE_RESOURCES": "{}",
        "RAY_RUNTIME_ENV_HOOK": "a.b",
    }
    found = local_ray_environment(theirs | {"HOME": "/home/me", "RAYON_NUM_THREADS": "1"})
    assert {name: value for name, value in found.items() if name.startswith("RAY_")} == LOCAL_RAY
    assert (found["HOME"], found["RAYON_NUM_THREADS"]) == ("/home/me", "1")


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_a_proxy_stays_for_the_hub_and_is_never_taken_to_this_machine(name):
    found = local_ray_environment(
        {name: "http://proxy:3128", "no_proxy": "example.org, localhost", "grpc_proxy": "p:1"}
    )
    assert found[name] == "http://proxy:3128"
    assert "grpc_proxy" not in found
    for spared in ("no_proxy", "NO_PROXY"):
        assert {"localhost", "127.0.0.1", "::1"} <= set(found[spared].split(","))
    assert found["no_proxy"].startswith("example.org,")


def test_the_process_itself_has_them_no_more(monkeypatch):
    monkeypatch.setattr(os, "environ", {"RAY_ADDRESS": "10.0.0.1:6379", "HOME": "/"})
    set_environment("mark", local_ray=True)
    assert "RAY_ADDRESS" not in os.environ
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_cluster_that_is_joined_keeps_what_the_user_says_of_it(monkeypatch):
    monkeypatch.setattr(os, "environ", {"RAY_AUTH_TOKEN": "x", "HOME": "/"})
    set_environment("mark", local_ray=False)
    assert os.environ["RAY_AUTH_TOKEN"] == "x"


def test_an_array_is_made_without_pandas_where_that_is_left_out():
    """In a process of its own: pyarrow looks for pandas once."""
    program = (
        "import sys, pyarrow as pa; from preprocess.workspace.environment import leave_pandas_out; leave_pandas_out();"
        "table = pa.table({'rows': [[1, 2], []]}); assert table['rows'].to_pylist() == [[1, 2], []];"
        "import json.tool; sys.exit('pandas' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
