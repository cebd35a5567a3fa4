"""How ranks agree: in numbers and JSON, which cannot do anything where they are read."""

import ast
import signal
import socket
from pathlib import Path

import pytest
import torch

import trainer.distributed.ranks
import trainer.distributed.ranks as ranks_module
from shared.errors import RanksMissingError, UsageError
from trainer.distributed.place import Place
from trainer.distributed.ranks import Ranks, _as_bytes, _device, _from_bytes, join_ranks

ROOT = Path(__file__).parents[3]
PICKLED = {"all_gather_object", "broadcast_object_list", "gather_object", "scatter_object_list", "send_object_list"}
PICKLED |= {"recv_object_list", "consolidate_state_dict"}


def test_nothing_that_ranks_tell_each_other_is_pickled():
    paths = (ROOT / "trainer").rglob("*.py")
    called = {
        node.attr for path in paths for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
    }
    assert "all_gather" in called
    assert not called & PICKLED


@pytest.mark.parametrize("value", [None, [], "Größe \U0001f600 \ud800", [[0, {"step": [[], "float32"]}]], 1 << 62, 0.1])
def test_a_value_arrives_as_it_was_told(value):
    assert _from_bytes(_as_bytes(value)) == value


def test_one_rank_agrees_with_itself():
    alone = Ranks(0, 1, torch.device("cpu"))
    assert alone.any(flag=True) is True
    assert alone.any(flag=False) is False
    assert alone.least(7) == 7
    assert alone.gather("a") == ["a"]
    assert alone.from_main("a") == "a"


@pytest.mark.parametrize("rank", [0, 1])
def test_every_rank_finds_that_there_are_too_few_gpus(rank, monkeypatch):
    """One that alone stayed away would be waited for, and what it says is left out."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UsageError, match="2 ranks for 1 GPU") as caught:
        _device(Place(rank, 2, rank, 2, "file:///x", launcher=1))
    assert "--nproc-per-node 1" in caught.value.remedy


def test_ranks_that_never_come_are_told_and_ctrl_c_ends_the_waiting(monkeypatch):
    found = []
    meet = trainer.distributed.ranks.rendezvous

    def waits(*arguments, **options):
        found.append(signal.getsignal(signal.SIGINT))
        return meet(*arguments, **options)

    monkeypatch.setattr("trainer.distributed.ranks.rendezvous", waits)
    monkeypatch.setattr("trainer.distributed.ranks._JOIN_TIMEOUT", trainer.distributed.ranks.timedelta(seconds=1))
    variables = {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "0",
        "CUDA_VISIBLE_DEVICES": "",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RanksMissingError, match="the 2 ranks"), join_ranks():
        pass
    assert found == [signal.SIG_DFL]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_port_to_meet_at_that_is_taken_is_told_as_that(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, value)
        told = f"another program listens on MASTER_PORT {port}"
        with pytest.raises(RanksMissingError, match=told) as caught, join_ranks():
            pass
    assert "a free one on every rank" in caught.value.remedy


def test_a_rank_computes_on_the_gpu_of_its_number(monkeypatch):
    taken = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", taken.append)
    assert _device(Place(3, 4, 1, 2, "file:///x", launcher=1)) == torch.device("cuda", 1)
    assert taken == [torch.device("cuda", 1)]


@pytest.mark.parametrize(("device", "backend"), [("cpu", "gloo"), ("cuda:1", "nccl")])
def test_tensors_travel_as_the_device_has_it_and_small_values_by_gloo(device, backend, monkeypatch):
    made = []
    monkeypatch.setattr(ranks_module, "rendezvous", lambda *_, **__: iter([(Store(), 1, 2)]))
    monkeypatch.setattr(ranks_module, "_groups", {})
    monkeypatch.setattr(ranks_module.dist, "init_process_group", lambda backend, **_: made.append(backend))
    monkeypatch.setattr(ranks_module.dist, "new_group", lambda **options: made.append(options["backend"]))
    ranks_module._meet(Place(1, 2, 1, 2, "file:///x", launcher=1), torch.device(device))
    assert made == [backend, "gloo"]


class Store:
    """What ranks meet at."""

    def set_timeout(self, _timeout):
        """As torch's."""
