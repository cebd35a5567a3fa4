"""What is pasted into a bug tells all that was seen, and not whose machine it is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.made_up_machines import NO_CARD, NONE, TWO, examined
from trainer.checking.report import gather, redacted, report
from trainer.checking.world import Outcome


def told(observed=TWO, environment=None):
    world, _ = examined(observed)
    return report(world, packages={"torch": "2.13.0"}, environment=environment or {}, seconds=193.4)


def test_it_has_every_line_and_every_figure():
    found = told()
    assert len(found["lines"]) == 15
    assert found["probes"]["training"]["facts"]["samples_per_second"] == 16.0
    assert found["scope"]["size"] == "large-v3-turbo"
    assert json.loads(json.dumps(found))["lines"] == found["lines"]


def test_what_a_probe_said_before_it_hung_is_in_it():
    hung = Outcome(trouble="did not end within 120 s", said="NCCL WARN Call to posix_memalign failed\nmore")
    found = told(TWO | {"links": hung})["probes"]["links"]
    assert found["said"] == ["NCCL WARN Call to posix_memalign failed", "more"]
    assert found["trouble"] == "did not end within 120 s"


def test_of_the_environment_it_tells_what_decides_cuda_and_nothing_else():
    environment = {"NCCL_P2P_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "0,1", "HF_TOKEN": "x", "PATH": "/usr/bin"}
    assert told(environment=environment)["environment"] == {"NCCL_P2P_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "0,1"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/anna/work/x.py", "~/work/x.py"),
        ("in /home/anna", "in ~"),
        ("/home/annabel/x", "/home/annabel/x"),
        ("user anna on box7", "user USER on HOST"),
        ("hannah", "hannah"),
        ("token hf_abcdefgh12345678 sent", "token *** sent"),
        ("https://anna:secret@host/x", "https://***host/x"),
        ("key is pa55word-of-mine", "key is ***"),
        ("0123456789abcdef0123456789abcdef01234567", "***"),
        ("losses 7.65 to 7.64", "losses 7.65 to 7.64"),
    ],
)
def test_names_of_people_and_places_and_secrets_are_not_in_it(text, shown):
    names = {"/home/anna": "~", "anna": "USER", "box7": "HOST"}
    assert redacted({"said": [text]}, names, {"pa55word-of-mine"}) == {"said": [shown]}


def test_of_this_machine_neither_home_nor_folder_nor_tokens_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "not-shaped-like-one")
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    monkeypatch.chdir(tmp_path)
    said = f"{tmp_path}/somebody/.cache {tmp_path}/check/worker.log {Path(__file__)} not-shaped-like-one"
    world, _ = examined(NONE | {"halves": Outcome(trouble="x", said=said)}, replace(NO_CARD))
    found = json.dumps(gather(world, tmp_path / "check", 1.0))
    assert "~/.cache CHECK/worker.log PROJECT/tests" in found
    assert str(tmp_path) not in found
    assert "not-shaped" not in found


def test_numbers_stay_numbers():
    assert redacted({"a": [1, 2.5, None, True]}, {"1": "x"}, set()) == {"a": [1, 2.5, None, True]}


def test_a_loss_that_is_no_number_leaves_the_report_json(tmp_path):
    world, _ = examined(TWO | {"training": replace(TWO["training"], losses=[10.9, float("nan"), float("inf")])})
    found = json.dumps(gather(world, tmp_path, 1.0), allow_nan=False)
    assert json.loads(found)["probes"]["training"]["facts"]["losses"] == [10.9, "nan", "inf"]
