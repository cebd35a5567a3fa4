"""`tests/gpu/measure.py`: rehearsed on the CPU, all of it runs but the CUDA calls; without a GPU it says so."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from shared.command.cli import run_command
from tests.gpu.measure import GIB, LONG, OWN, PADDED, SHARES, SHORT, WORST, main, targets
from tests.gpu.trial import Figures, Memory, Trial, Workload
from tests.support.synthetic import MINI
from trainer.distributed.ranks import Ranks
from trainer.training.step import OutOfMemory, Stepper

CPU = Ranks(0, 1, torch.device("cpu"))
CAP, FIT = 16 * GIB, 12 * GIB
GOOD = Figures(SHORT, OWN, FIT, 24_000, 24_000, 50.0, 0.01, 0.03, 0, 0, 0.4, 10 * GIB, 11 * GIB)


def figures():
    """Of a GPU that meets every target."""
    kinds = [(name, contexts) for name in (SHORT, LONG) for contexts in SHARES] + [(WORST, OWN)]
    return [
        replace(
            GOOD,
            workload=name,
            contexts=contexts,
            cap_bytes=cap,
            samples_per_second=10.0 if contexts == PADDED else 50.0,
        )
        for cap in (CAP, FIT)
        for name, contexts in kinds
    ]


def missed(found):
    return [target.name for target in targets(found, CAP, FIT) if not target.met]


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """The report of a rehearsal."""
    file = tmp_path_factory.mktemp("gpu") / "report.json"
    assert run_command(main, ["--rehearse", "--batch", "1", "--steps", "1", "--rounds", "1", "--json", str(file)]) == 0
    return json.loads(file.read_text())


def test_a_rehearsal_goes_through_every_data_set_under_both_caps(rehearsal):
    assert rehearsal["failures"] == []
    found = [(one["cap_bytes"], one["workload"], one["contexts"]) for one in rehearsal["figures"]]
    assert found == [(one.cap_bytes, one.workload, one.contexts) for one in figures()]
    for one in rehearsal["figures"]:
        assert one["samples_per_second"] > 0
        assert 0 <= one["data_wait_share"] <= 1


def test_a_rehearsal_claims_nothing_of_memory_and_no_target(rehearsal):
    assert {one["reserved_bytes"] for one in rehearsal["figures"]} == {None}
    assert {one["met"] for one in rehearsal["targets"]} == {None}
    assert "no measurement" in rehearsal["machine"]["name"]


def test_without_a_gpu_nothing_is_measured_and_the_exit_status_is_2(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run_command(main, []) == 2
    assert "no GPU" in capsys.readouterr().err


def test_every_target_is_met_by_good_figures():
    assert missed(figures()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"samples_per_second": 49.9}, "4.5 s under 12 GiB: own length at least 5 x padded"),
        ({"reserved_bytes": FIT + 1}, "4.5 s with 8-bit AdamW within 12 GiB"),
        ({"reserved_bytes": None}, "4.5 s with 8-bit AdamW within 12 GiB"),
        ({"data_wait_share": 0.021}, "data wait at most 2%"),
    ],
)
def test_a_target_that_is_not_reached_is_missed(change, words):
    found = [replace(one, **change) if (one.cap_bytes, one.workload) == (FIT, SHORT) else one for one in figures()]
    found = [replace(one, samples_per_second=10.0) if one.contexts == PADDED else one for one in found]
    assert missed(found) == [words]


def test_a_data_set_that_did_not_fit_misses_its_targets():
    found = [one for one in figures() if (one.cap_bytes, one.workload) != (FIT, WORST)]
    assert missed(found) == ["43 s, 448 tokens with 8-bit AdamW within 12 GiB"]
    assert len(missed([])) == len(list(targets([], CAP, FIT)))


def test_a_step_that_runs_out_of_memory_is_repeated_with_smaller_micro_batches_and_counted(monkeypatch):
    run, tries = Stepper.run, []

    def run_out_once(self, plan, batches, rate):
        tries.append([len(batch.clips) for batch in plan.ranks[0]])
        if len(tries) == 1:
            raise OutOfMemory
        return run(self, plan, batches, rate)

    monkeypatch.setattr(Stepper, "run", run_out_once)
    trial = Trial(CPU, MINI, steps=1, rounds=1)
    (found,) = trial.run(Workload("long", np.full(trial.clips(4), 25.0), 4, {OWN: 0.0}), CAP)
    assert found.lowered == 1
    assert tries[0] == [4]
    assert len(tries[1]) > 1
    assert found.frames < 12_000


def test_a_cpu_tells_nothing_of_memory():
    memory = Memory(CPU.device)
    memory.start()
    assert memory.peaks() == (None, None)
