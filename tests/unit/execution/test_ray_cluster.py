"""Which Ray clusters may be joined: those of this machine, whatever its name. Where Ray's own words go."""

import os
import socket
import threading
from types import SimpleNamespace

import psutil
import pytest
import ray
import ray._private.worker

from preprocess import run
from preprocess.execution.ray_cluster import foreign_nodes
from shared.command.cli import run_command
from shared.system.library_output import LibraryOutput

HERE = os.uname().nodename
OURS = next(entry.address for entries in psutil.net_if_addrs().values() for entry in entries if "." in entry.address)


def node(address, host=HERE, *, alive=True):
    return {"Alive": alive, "NodeManagerAddress": address, "NodeManagerHostname": host}


@pytest.mark.parametrize("address", ["127.0.0.1", OURS, "localhost"])
@pytest.mark.parametrize("host", [HERE, "speech-prep-head-x2k4q"])
def test_nodes_of_this_machine_or_pod_are_welcome(address, host):
    assert foreign_nodes([node(address, host), node(address, host)]) == []


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "no-such-host.invalid"])
def test_a_machine_of_our_name_is_another_machine(address):
    assert foreign_nodes([node("127.0.0.1"), node(address)]) == [f"{address} ({HERE})"]


def test_a_node_that_is_gone_is_no_hindrance():
    assert foreign_nodes([node("192.0.2.7", alive=False)]) == []


@pytest.fixture
def listening():
    """An address where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_cluster_over_several_machines_is_refused_before_anything_is_written(
    listening, tmp_path, monkeypatch, capsys
):
    for name, answer in (
        ("init", None),
        ("shutdown", None),
        ("nodes", [node("127.0.0.1"), node("192.0.2.7", "gpu-2")]),
    ):
        monkeypatch.setattr(ray, name, lambda *_, answer=answer, **__: answer)
    folders = ["--base-dir", str(tmp_path / "base"), "--store", str(tmp_path / "store")]
    assert run_command(run.main, ["--demo", "--ray-address", listening, *folders]) == 2
    assert "nodes on other machines: 192.0.2.7 (gpu-2)" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_that_does_not_answer_is_told(listening, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise ConnectionError("ray client connection timeout")

    monkeypatch.setattr(ray, "init", refuse)
    assert run_command(run.main, ["--demo", "--ray-address", listening, "--store", str(tmp_path / "store")]) == 1
    assert f"cannot join the Ray cluster at {listening}: ray client connection timeout" in capsys.readouterr().err


def hear_of(message, monkeypatch):
    """Ray's own thread hears *message* from its cluster, and ends."""
    over = threading.Event()

    def poll():
        over.set()
        return b"", {"job_id": None, "error_message": message}

    job = SimpleNamespace(binary=lambda: b"1")
    subscriber = SimpleNamespace(subscribe=lambda: None, poll=poll)
    monkeypatch.setattr(ray._private.worker, "_internal_kv_initialized", lambda: False)
    worker = SimpleNamespace(gcs_error_subscriber=subscriber, current_job_id=job)
    ray._private.worker.listen_error_messages(worker, over)


def test_what_ray_says_of_a_lost_worker_is_no_line_of_stdout_but_a_librarys(capfd, monkeypatch):
    with LibraryOutput() as output:
        hear_of("A worker died or was killed while executing a task.\nWorker ID: 7", monkeypatch)
        assert output.lines() == ["Ray: A worker died or was killed while executing a task. Worker ID: 7"]
    assert capfd.readouterr() == ("", "")
